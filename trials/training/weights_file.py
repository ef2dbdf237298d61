"""Weights as safetensors files that also hold the architecture and a checksum."""

import errno
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load as load_bytes
from safetensors.torch import save as save_bytes
from torch import Tensor, nn

from search_spaces.networks.architecture import Architecture
from search_spaces.networks.bounds import LARGEST_RESOLUTION
from search_spaces.networks.counting import on_meta
from search_spaces.networks.network import Network, build_network
from search_spaces.networks.provenance import DEFAULT_RESOLUTION
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.json_text import json_value
from search_spaces.settings.sentences import first_line
from search_spaces.settings.yaml_files import from_mapping, to_mapping
from trials.log.durable_files import DurableFiles
from trials.log.run_places import is_in_store, object_at, place_of
from trials.pictures import CROPS, INTERPOLATIONS, PictureView, evaluation_view
from trials.recipe import Recipe

FORMAT = "training-aware-nas/1"
HEADER_BYTES = 8  # a safetensors file begins with its header's length, little-endian

EVALUATION_FACTS = ("evaluation_crop", "evaluation_interpolation")  # keys of recipes, and of these files
MAX_HEADER = 100_000_000  # bytes, the limit of the format


@dataclass(frozen=True)
class WeightsFile:
    """The contents of a weights file: an architecture, tensors by name on the CPU, and facts about them."""

    architecture: Architecture
    tensors: dict[str, Tensor]
    facts: dict[str, Any]  # JSON: num_classes, classes, resolution, accuracy, epoch, …

    @property
    def num_classes(self) -> int:
        """The number of classes that the network distinguishes."""
        return int(self.facts["num_classes"])

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; their numbers where nobody has named them."""
        return tuple(self.facts.get("classes") or map(str, range(self.num_classes)))

    @property
    def resolution(self) -> int:
        """The resolution that its training evaluated at (pixels); published networks' where there is none."""
        return int(self.facts.get("resolution", DEFAULT_RESOLUTION))

    def view(self, resolution: int) -> PictureView:
        """The way from pictures to squares of this resolution: as by earlier versions where nothing says."""
        crop, interpolation = (self.facts.get(name) for name in EVALUATION_FACTS)
        return evaluation_view(crop, interpolation, resolution=resolution)

    def network(self) -> Network:
        """Builds the network and loads the weights into it."""
        network = build_network(self.architecture, num_classes=self.num_classes)
        network.load_state_dict(self.tensors, strict=True)  # counters of batches may be missing
        return network


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], *, files: DurableFiles | None = None
) -> None:
    """Writes tensors and JSON facts atomically and durably, with a checksum of both; by `files`, if given."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(dict(facts), sort_keys=True)
    metadata = {"format": FORMAT, "facts": text, "sha256": _digest(plain, text)}
    (files or DurableFiles()).write(path, save_bytes(plain, metadata))


def load_tensors(
    path: Path, *, files: DurableFiles | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads the tensors and facts of a file that `save_tensors` wrote; by `files`, or it may be a URL.

    Raises:
        ConfigError: the file cannot be read, is of another kind, or is damaged.
    """
    name = place_of(path)
    try:
        return tensors_of(_bytes_at(path) if files is None else files.read_back(path), name)
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}") from error


def tensors_of(data: bytes, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and facts in the bytes of a file that `save_tensors` wrote.

    Raises:
        ConfigError: they are of another kind, or damaged; it begins with the file's `name`.
    """
    try:
        tensors, metadata = load_bytes(data), _metadata(data)
        text, expected = metadata["facts"], metadata["sha256"]
        facts = json_value(text)
    except Exception as error:  # SafetensorError, and whatever odd headers lead to in torch
        raise ConfigError(
            f"{name}: these are not weights that nas train wrote ({first_line(error)[:80]})"
        ) from error
    if _digest(tensors, text) != expected:
        raise ConfigError(f"{name}: damaged: its checksum is not that of what it holds; take another copy")
    return tensors, facts


def _bytes_at(path: Path) -> bytes:
    """All bytes of a file, or of an object by its URL."""
    if not is_in_store(path):
        return path.read_bytes()
    if (data := object_at(path)) is None:
        raise FileNotFoundError(errno.ENOENT, "there is no such object", place_of(path))
    return data


def save_weights(
    path: Path,
    network: nn.Module,
    architecture: Architecture,
    *,
    files: DurableFiles | None = None,
    **facts: Any,
) -> None:
    """Writes a network's parameters and batch-norm statistics with its architecture and JSON facts."""
    save_tensors(path, *copied_weights(network, architecture, **facts), files=files)


def copied_weights(
    network: nn.Module, architecture: Architecture, **facts: Any
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and facts of a network's weights file: copies, which further training does not change."""
    copies = {
        name: tensor.detach().to("cpu", copy=True) for name, tensor in floating_tensors(network).items()
    }
    return copies, {"architecture": to_mapping(architecture.without_provenance()), **facts}


def evaluation_facts(recipe: Recipe) -> dict[str, str]:
    """The facts that say how pictures are evaluated, where a recipe says so."""
    facts = {name: getattr(recipe, name) for name in EVALUATION_FACTS}
    return {name: value for name, value in facts.items() if value is not None}


def floating_tensors(network: nn.Module) -> dict[str, Tensor]:
    """The network's floating-point tensors; batch norm's counters of batches are of no use."""
    return {name: tensor for name, tensor in network.state_dict().items() if tensor.is_floating_point()}


def load_weights(path: Path, *, files: DurableFiles | None = None) -> WeightsFile:
    """Reads a file that `save_weights` wrote; by `files`, or it may be a URL.

    Raises:
        ConfigError: as `load_tensors`, or the file is a checkpoint.
    """
    tensors, facts = load_tensors(path, files=files)
    if "architecture" not in facts or not isinstance(facts.get("num_classes"), int):
        raise ConfigError(
            f"{place_of(path)}: a checkpoint, not weights; take weights/best.safetensors beside it"
        )
    architecture = from_mapping(
        Architecture, facts.pop("architecture"), name=f"{place_of(path)}: architecture"
    )
    weights = WeightsFile(architecture, tensors, facts)
    if fault := _contradiction(weights):
        raise ConfigError(f"{place_of(path)}: contradicts itself: {fault}; take another copy")
    return weights


def _contradiction(weights: WeightsFile) -> str:
    """A fact that is not one of these tensors, in words; empty if there is none."""
    facts, count = weights.facts, weights.facts["num_classes"]
    classes, resolution = facts.get("classes"), facts.get("resolution", DEFAULT_RESOLUTION)
    if count < 2:
        return f"num_classes is {count}"
    if classes is not None:
        are_texts = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
        if not are_texts or len(classes) not in (0, count) or len(set(classes)) < len(classes):
            return f"classes are no names of {count:,} classes"
    known = (CROPS, INTERPOLATIONS)
    for name, values in zip(EVALUATION_FACTS, known, strict=True):
        if facts.get(name) not in (None, *values):
            return f"{name} is none of {', '.join(values)}"
    if not isinstance(resolution, int) or not 1 <= resolution <= LARGEST_RESOLUTION:
        return "resolution is no number of pixels"
    # On the meta device it costs no memory, whatever they say.
    network = on_meta(lambda: build_network(weights.architecture, num_classes=count))
    needed = {name: tensor.shape for name, tensor in floating_tensors(network).items()}
    if needed != {name: tensor.shape for name, tensor in weights.tensors.items()}:
        return f"its tensors are not those of its architecture and {count:,} classes"
    return ""


def _metadata(data: bytes) -> dict[str, str]:
    """The metadata of a safetensors file, which the library does not return from bytes."""
    length = int.from_bytes(data[:HEADER_BYTES], "little")
    if length > min(len(data), MAX_HEADER):
        raise ValueError("no header")
    metadata = json_value(data[HEADER_BYTES : HEADER_BYTES + length])["__metadata__"]
    if metadata.get("format") != FORMAT:
        raise ValueError("no metadata of ours")
    return metadata


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    """SHA-256 of the facts and of every tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()
