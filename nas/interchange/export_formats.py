"""Exports of a run, a training, weights or an architecture, in six formats."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from nas.interchange.library_check import library_check
from nas.interchange.onnx_export import write_onnx
from nas.interchange.proved_weights import write_proved_weights
from nas.results.export import exported_row
from nas.search.best_file import architecture_of, best_yaml, classes_of
from nas.training.checkpoints import TrainingFolder
from search_spaces.choices.described import read_described
from search_spaces.choices.space import SearchSpace
from search_spaces.interchange.files import FORMATS, to_text
from search_spaces.networks.architecture import Architecture, Padding
from search_spaces.networks.counting import count, on_meta
from search_spaces.networks.network import Network, build_network
from search_spaces.networks.provenance import DEFAULT_CLASSES, DEFAULT_RESOLUTION, provenance_number
from search_spaces.networks.resolutions import check_resolution
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.near_names import VERY_CLOSE, close_names
from search_spaces.settings.output_files import refuse_existing, writing
from search_spaces.settings.setting_errors import refused_as
from search_spaces.settings.yaml_files import from_mapping, parse_yaml, yaml_text
from trials.log.row_types import measured
from trials.log.run_places import is_in_store
from trials.pictures import SQUASHED
from trials.training.weights_file import WeightsFile, load_weights

CHANGED = (
    "the same parameters and MACs, other outputs where strides are 2; train the network with this padding"
)


@dataclass(frozen=True)
class Source:
    """A network that is exported."""

    name: str
    architecture: Architecture
    find_num_classes: Callable[[], int]  # refuses where a run's rows do not say it
    resolution: int  # pixels
    yaml: str  # its YAML text
    weights: WeightsFile | None = None

    @property
    def num_classes(self) -> int:
        """The number of classes.

        Raises:
            ConfigError: nothing says it.
        """
        return self.find_num_classes()

    def network(self) -> Network:
        """The network with its weights, or with fresh ones, the same each time."""
        if self.weights is not None:
            return self.weights.network().eval()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return build_network(self.architecture, num_classes=self.num_classes).eval()


@dataclass(frozen=True)
class Exported:
    """An export: its text where there is one, what was proved of it, and what was changed, in words."""

    text: str | None
    proof: str
    changed: str | None = None


def read_source(source: str, *, trial: int | None, output: Path | None = None) -> Source:
    """A trial of a run (default: the winner), the best weights of a training, weights, an architecture.

    Raises:
        ConfigError: it is none of these.
    """
    path = Path(source)
    if (best := TrainingFolder(path).weights("best")).is_file():
        return _of_weights(source, load_weights(best), output)
    if path.suffix == ".safetensors" and (path.is_file() or is_in_store(source)):
        return _of_weights(source, load_weights(path), output)
    if _is_description(source):
        described = read_described(source)
        if isinstance(described, SearchSpace):
            raise ConfigError(f"{source}: this is a space; an architecture, or a run, is expected")
        return _of_architecture(source, described, output)
    row, standing = exported_row(path, trial=trial)  # says what is wrong with what is no run
    return Source(
        name=path.name,
        architecture=architecture_of(row),
        find_num_classes=partial(classes_of, row, run=path),
        resolution=int(measured(row, "resolution")),
        yaml=best_yaml(
            row, run=path, file=output or f"{path.name}-{row['trial_id']}.yaml", standing=standing
        ),
    )


def _is_description(source: str) -> bool:
    """True of a YAML file, or the name of a shipped one, misspelt maybe; anything else must be a run."""
    shipped = {path.stem for kind in (Architecture, SearchSpace) for path in kind.SHIPPED.glob("*.yaml")}
    path = Path(source)
    if path.exists():
        return path.is_file() and path.suffix in (".yaml", ".yml")
    return bool(close_names(source, shipped, VERY_CLOSE))


def _of_weights(source: str, weights: WeightsFile, output: Path | None) -> Source:
    return Source(
        name=source,
        architecture=weights.architecture,
        find_num_classes=lambda: weights.num_classes,
        resolution=weights.resolution,
        yaml=yaml_text(
            weights.architecture, header=f"nas describe {output or 'FILE'}\nThe architecture of {source}"
        ),
        weights=weights,
    )


def _of_architecture(source: str, architecture: Architecture, output: Path | None) -> Source:
    classes = provenance_number(architecture, "num_classes", DEFAULT_CLASSES, name=source)
    return Source(
        name=source,
        architecture=architecture,
        find_num_classes=lambda: classes,
        resolution=provenance_number(architecture, "resolution", DEFAULT_RESOLUTION, name=source),
        yaml=yaml_text(architecture, header=f"nas describe {output or Path(source).name}"),
    )


def export_source(
    source: str,
    format_name: str,
    *,
    trial: int | None,
    output: Path | None,
    force: bool,
    padding: Padding | None = None,
) -> Exported:
    """Writes the source in a format, to `output` where that is given, and proves what was written.

    In another project's format the architecture is written with `padding` instead of its own, if given.

    Raises:
        ConfigError: `source` is nothing that can be exported, the format cannot express it, it has weights,
            which hold for their own padding, or `output` cannot be written, or exists and `force` is not
            given.
    """
    refuse_existing(output, force=force)
    found = read_source(source, trial=trial, output=output)
    if trial is not None and (found.weights is not None or not Path(source).is_dir()):
        raise ConfigError(f"--trial: {source} is no run; leave it out")
    changed = None
    if padding is not None and padding != found.architecture.padding:
        changed = f"padding: {padding} instead of {found.architecture.padding}: {CHANGED}"
        found = _padded(found, padding)
    if format_name in TEXTS:
        exported = replace(TEXTS[format_name](found), changed=changed)
        assert exported.text is not None
        if output is not None:
            with writing(output):
                output.write_text(exported.text, encoding="utf-8")
        return exported
    if output is None:
        raise ConfigError(f"--format {format_name} writes a file; name it with -o")
    return FILES[format_name](found, output)


def _padded(source: Source, padding: Padding) -> Source:
    """The source's architecture with another padding.

    Raises:
        ConfigError: it has weights, or no other padding.
    """
    if source.weights is not None:
        raise ConfigError(
            f"--padding {padding}: {source.name} holds weights, which were trained with padding: "
            f"{source.architecture.padding} and give other outputs with another one; leave it out, or export "
            "the architecture: a run or a YAML file (nas export writes one)"
        )
    with refused_as(f"--padding {padding}: {source.name}"):
        return replace(source, architecture=replace(source.architecture, padding=padding))


def _yaml(source: Source) -> Exported:
    back = from_mapping(Architecture, parse_yaml(source.yaml, name=source.name), name=source.name)
    assert back == source.architecture, "another network came back"
    return Exported(source.yaml, f"{_params(source):,} parameters, read back")


def _foreign(format_name: str) -> Callable[[Source], Exported]:
    def write(source: Source) -> Exported:
        text = to_text(format_name, source.architecture)
        proof = f"{_params(source):,} parameters, read back as the same network"
        check = library_check(format_name, source.architecture)
        return Exported(text, f"{proof}; {check}" if check else proof)

    return write


def _onnx(source: Source, output: Path) -> Exported:
    with refused_as(source.name):
        check_resolution(source.architecture, source.resolution)
    facts = source.weights.facts if source.weights else {}
    proof = write_onnx(
        source.network(),
        source.architecture,
        output,
        resolution=source.resolution,
        classes=facts.get("classes") or [],
        view=source.weights.view(source.resolution) if source.weights else SQUASHED,
    )
    return Exported(None, proof + _freshness(source))


def _torch(source: Source, output: Path) -> Exported:
    network = source.network()
    facts = dict(source.weights.facts) if source.weights else {}
    facts |= {"num_classes": source.num_classes, "resolution": source.resolution}
    write_proved_weights(output, network, source.architecture, **facts)
    proof = f"{_params(source):,} parameters, read back with the same outputs"
    return Exported(None, proof + _freshness(source))


def _params(source: Source) -> int:
    architecture = source.architecture
    counted = count(architecture, num_classes=source.num_classes, resolution=architecture.total_stride).params
    built = sum(p.numel() for p in _on_meta(source).parameters())
    assert counted == built, f"{counted} parameters counted, {built} built"
    return counted


def _on_meta(source: Source) -> Network:
    return on_meta(lambda: build_network(source.architecture, num_classes=source.num_classes))


def _freshness(source: Source) -> str:
    return "" if source.weights else "; fresh weights: for measuring, not for predicting"


TEXTS: dict[str, Callable[[Source], Exported]] = {
    "yaml": _yaml,
    **{name: _foreign(name) for name in FORMATS},
}
FILES: dict[str, Callable[[Source, Path], Exported]] = {"onnx": _onnx, "torch": _torch}
