"""Architectures from and to other projects: by their published names, and as the text of a file."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from search_spaces.interchange.automl_strings import AutomlNetwork, from_automl, to_automl
from search_spaces.interchange.timm_strings import Pixels, TimmNetwork, from_timm, to_timm
from search_spaces.interchange.torchvision_settings import (
    TorchvisionNetwork,
    from_torchvision,
    to_torchvision,
)
from search_spaces.networks.architecture import Architecture, Padding
from search_spaces.networks.counting import count
from search_spaces.networks.network import BATCH_NORM_EPSILON
from search_spaces.settings.messages import suggestion
from search_spaces.settings.parsing import text_of_file
from search_spaces.settings.yaml_files import ConfigError, from_mapping, parse_yaml, read_yaml, to_mapping

CODE_EPSILON = 1e-3  # TensorFlow's, in its code and where timm and torchvision follow it
TORCH_EPSILON = 1e-5


@dataclass(frozen=True)
class Imported:
    """A network of another project: what is built, and what its published weights take for granted."""

    architecture: Architecture
    epsilon: float = BATCH_NORM_EPSILON  # of its batch norms
    pixels: Pixels = "ours"


@dataclass(frozen=True)
class Format:
    """How another project writes networks down, both ways, and the networks that it publishes, by name."""

    write: Callable[[Architecture], Any]  # a dataclass; ConfigError for what the project cannot express
    read: Callable[[Any, str], Imported]  # plain values, and the file's name for messages
    published: Callable[[str], Imported | None]


def from_text(format_name: str, text: str, *, name: str) -> Imported:
    """The network that a file of another project's format describes; JSON or YAML.

    Raises:
        ConfigError: it is not such a file, or ours has no words for what it says.
    """
    try:
        return FORMATS[format_name].read(parse_yaml(text, name=name), name)
    except ConfigError as error:
        message = str(error)
        raise ConfigError(message if message.startswith(name) else f"{name}: {message}") from None


def to_text(format_name: str, architecture: Architecture) -> str:
    """The network as the JSON text of another project's format; reads back to the same network.

    Raises:
        ConfigError: the project cannot express it; with the stage and the reason.
    """
    try:
        network = FORMATS[format_name].write(architecture)
    except ConfigError as error:
        raise ConfigError(f"{format_name} cannot express this network: {error}") from None
    text = _json_text(to_mapping(network))
    _prove(format_name, architecture, text)
    return text


def read_foreign(format_name: str, source: str) -> Imported:
    """The network of a file, or of a name under which the other project publishes it.

    Raises:
        ConfigError: there is neither.
    """
    path = Path(source)
    if path.is_file():
        return from_text(format_name, _text_of(path), name=path.name)
    if path.is_dir():
        raise ConfigError(f"{source}: this is a folder; a file of {format_name}'s format is expected")
    found = FORMATS[format_name].published(source)
    if found is None:
        names = published_names(format_name)
        raise ConfigError(
            f"{source}: there is no such file, and {format_name} publishes no network of that name that we "
            f"have; names are {', '.join(names)}{suggestion(source, names)}"
        )
    return found


def published_names(format_name: str) -> list[str]:
    """The names that `read_foreign` knows."""
    ours = sorted(path.stem for path in Architecture.SHIPPED.glob("*.yaml"))
    spelt = [name for stem in ours for name in _spellings(stem)]
    return [name for name in spelt if FORMATS[format_name].published(name) is not None]


def _spellings(stem: str) -> list[str]:
    low = stem.replace("-", "_")
    return list(dict.fromkeys((stem, low, f"tf_{low}", low.replace("efficientnetv2", "efficientnet_v2"))))


def _text_of(path: Path) -> str:
    try:
        return text_of_file(path)
    except ValueError as error:
        raise ConfigError(f"{path.name}: {error}") from None


def _prove(format_name: str, architecture: Architecture, text: str) -> None:
    """What was written is read again: the same blocks with the same parameters."""
    back = from_text(format_name, text, name=format_name).architecture
    assert back.architecture_id == architecture.architecture_id, f"{format_name}: another network came back"
    both = [count(a, num_classes=1000, resolution=a.total_stride).params for a in (architecture, back)]
    assert both[0] == both[1], f"{format_name}: {both[0]} parameters became {both[1]}"


def _json_text(mapping: dict[str, Any]) -> str:
    """JSON with each item of a list in a line of its own, so that stages stand below each other."""
    lines = []
    for key, value in mapping.items():
        if isinstance(value, list):
            items = ",\n".join(f"    {json.dumps(item)}" for item in value)
            lines.append(f"  {json.dumps(key)}: [\n{items}\n  ]")
        else:
            lines.append(f"  {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


# ---------------------------------------------------------------------- published names


def _ours(stem: str, *, padding: Padding) -> Architecture | None:
    if not (Architecture.SHIPPED / f"{stem}.yaml").is_file():
        return None
    return replace(read_yaml(Architecture, stem), padding=padding)


def _published_by_timm(name: str) -> Imported | None:
    """`tf_efficientnet_b0.ap_in1k`: `tf_` pads as TensorFlow; the tag says how the weights were trained."""
    model, _, tag = name.partition(".")
    match = re.fullmatch(r"(tf_)?(efficientnet|efficientnetv2)_(b\d|l2|s|m|l|xl)", model)
    if match is None:
        return None
    ported, family, size = match.groups()
    if family == "efficientnetv2" and size.startswith("b") and not ported:
        return None
    architecture = _ours(f"{family}-{size}", padding="same" if ported else "symmetric")
    if architecture is None:
        return None
    epsilon = CODE_EPSILON if ported else TORCH_EPSILON
    return Imported(architecture, epsilon, "half" if _takes_half(model, tag) else "imagenet")


def _takes_half(model: str, tag: str) -> bool:
    """Whether timm's weights of that tag expect pixels of -1 to 1; the tag left out is the one it prefers."""
    if re.fullmatch(r"tf_efficientnetv2_(s|m|l|xl)", model) or tag.startswith(("ap_", "ra4_")):
        return True
    return model == "tf_efficientnetv2_b3" and (not tag or tag.startswith("in21k"))


def _published_by_torchvision(name: str) -> Imported | None:
    match = re.fullmatch(r"efficientnet_(?:(b[0-7])|v2_([sml]))", name)
    if match is None:
        return None
    first, second = match.groups()
    architecture = _ours(
        f"efficientnetv2-{second}" if second else f"efficientnet-{first}", padding="symmetric"
    )
    assert architecture is not None
    large = second is not None or first in ("b5", "b6", "b7")
    return Imported(
        architecture, CODE_EPSILON if large else TORCH_EPSILON, "half" if second == "l" else "imagenet"
    )


def _published_by_automl(name: str) -> Imported | None:
    """Without B3 of V1: the V2 code rounds it otherwise, and so has another network of that name."""
    match = re.fullmatch(r"efficientnetv2-(s|m|l|xl|b[0-3])|efficientnet-b[0124567]", name)
    architecture = _ours(name, padding="same") if match else None
    return Imported(architecture, CODE_EPSILON) if architecture else None


# ---------------------------------------------------------------------- the formats


def _read_timm(mapping: Any, name: str) -> Imported:
    network = from_mapping(TimmNetwork, mapping, name=name)
    return Imported(from_timm(network), network.bn_eps, network.pixels or "ours")


def _read_torchvision(mapping: Any, name: str) -> Imported:
    network = from_mapping(TorchvisionNetwork, mapping, name=name)
    return Imported(from_torchvision(network), network.norm_eps, network.pixels or "ours")


def _read_automl(mapping: Any, name: str) -> Imported:
    network = from_mapping(AutomlNetwork, mapping, name=name)
    return Imported(from_automl(network), CODE_EPSILON)


FORMATS = {
    "timm": Format(
        lambda architecture: to_timm(architecture, epsilon=BATCH_NORM_EPSILON), _read_timm, _published_by_timm
    ),
    "automl": Format(to_automl, _read_automl, _published_by_automl),
    "torchvision": Format(
        lambda architecture: to_torchvision(architecture, epsilon=BATCH_NORM_EPSILON),
        _read_torchvision,
        _published_by_torchvision,
    ),
}
