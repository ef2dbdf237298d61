"""Reads and writes architectures in other projects' formats, and finds those that they publish by name."""

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
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.near_names import suggestion
from search_spaces.settings.parsing import text_of_file
from search_spaces.settings.setting_errors import refused_as
from search_spaces.settings.yaml_files import from_mapping, parse_yaml, read_yaml, to_mapping

# Batch norm's constant: TensorFlow's, which timm and torchvision use for some of their networks; and torch's.
CODE_EPSILON, TORCH_EPSILON = 1e-3, 1e-5


@dataclass(frozen=True)
class Imported:
    """A network of another project: its architecture, and the conventions of its published weights."""

    architecture: Architecture
    epsilon: float = BATCH_NORM_EPSILON  # batch norm's constant
    pixels: Pixels = "ours"  # normalisation of the input images


@dataclass(frozen=True)
class Format:
    """The functions that convert to and from another project's format.

    Attributes:
        write: an architecture to a dataclass of the format; raises ConfigError if it cannot be expressed.
        read: parsed YAML or JSON, and the file's name for messages, to the network.
        published: the network that the project publishes under a name; None for an unknown name.
    """

    write: Callable[[Architecture], Any]
    read: Callable[[Any, str], Imported]
    published: Callable[[str], Imported | None]


def from_text(format_name: str, text: str, *, name: str) -> Imported:
    """The network that a text in another project's format describes; JSON or YAML.

    Raises:
        ConfigError: the text is not in that format, or describes what an Architecture cannot express.
    """
    try:
        return FORMATS[format_name].read(parse_yaml(text, name=name), name)
    except ConfigError as error:
        message = str(error)
        raise ConfigError(message if message.startswith(name) else f"{name}: {message}") from None


def to_text(format_name: str, architecture: Architecture) -> str:
    """The network as JSON text in another project's format, checked to read back to the same network.

    Raises:
        ConfigError: the project cannot express it; the message names the stage and the reason.
    """
    try:
        network = FORMATS[format_name].write(architecture)
    except ConfigError as error:
        raise ConfigError(f"{format_name} cannot express this network: {error}") from None
    text = _json_text(to_mapping(network))
    _check_round_trip(format_name, architecture, text)
    return text


def read_foreign(format_name: str, source: str) -> Imported:
    """The network of a file in another project's format, or of a name under which that project publishes it.

    Raises:
        ConfigError: there is neither such a file nor such a name.
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
    """The names of published networks that `read_foreign` accepts."""
    ours = sorted(path.stem for path in Architecture.SHIPPED.glob("*.yaml"))
    spelt = [name for stem in ours for name in _spellings(stem)]
    return [name for name in spelt if FORMATS[format_name].published(name) is not None]


def _spellings(stem: str) -> list[str]:
    """The names that any of the projects may give the network of a shipped file."""
    low = stem.replace("-", "_")
    found = [stem, low, f"tf_{low}", low.replace("efficientnetv2", "efficientnet_v2")]
    found += [name for name, ours in OTHERS_OF_TIMM.items() if ours == stem]
    return list(dict.fromkeys(found))


def _text_of(path: Path) -> str:
    with refused_as(path.name):
        return text_of_file(path)


def _check_round_trip(format_name: str, architecture: Architecture, text: str) -> None:
    """Reads what was written and compares blocks and parameters with the architecture's."""
    back = from_text(format_name, text, name=format_name).architecture
    assert back.architecture_id == architecture.architecture_id, f"{format_name}: another network came back"
    both = [count(a, num_classes=1000, resolution=a.total_stride).params for a in (architecture, back)]
    assert both[0] == both[1], f"{format_name}: {both[0]} parameters became {both[1]}"


def _json_text(mapping: dict[str, Any]) -> str:
    """JSON with each item of a list on a line of its own, so that the stages form a table."""
    lines = []
    for key, value in mapping.items():
        if isinstance(value, list):
            items = ",\n".join(f"    {json.dumps(item)}" for item in value)
            lines.append(f"  {json.dumps(key)}: [\n{items}\n  ]")
        else:
            lines.append(f"  {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


# ---------------------------------------------------------------------- published names


# Networks that timm calls otherwise; all their weights expect ImageNet's mean and deviation.
OTHERS_OF_TIMM = {"mobilenetv2_100": "mobilenetv2", "semnasnet_100": "mnasnet-a1"}


def _ours(stem: str, *, padding: Padding) -> Architecture | None:
    if not (Architecture.SHIPPED / f"{stem}.yaml").is_file():
        return None
    return replace(read_yaml(Architecture, stem), padding=padding)


def _published_by_timm(name: str) -> Imported | None:
    """The network of a timm name such as `tf_efficientnet_b0.ap_in1k`.

    The prefix `tf_` means TensorFlow's padding and batch-norm constant; the tag after the dot says how the
    weights were trained, which decides the normalisation of pixels.
    """
    model, _, tag = name.partition(".")
    if model in OTHERS_OF_TIMM:
        other = _ours(OTHERS_OF_TIMM[model], padding="symmetric")
        return Imported(other, TORCH_EPSILON, "imagenet") if other else None
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
    return Imported(architecture, epsilon, "half" if _expects_half(model, tag) else "imagenet")


def _expects_half(model: str, tag: str) -> bool:
    """True if timm's weights with this tag expect pixels from -1 to 1; no tag is timm's default weights."""
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
    """The network of a google/automl name, padded as TensorFlow does.

    V1's B3 is left out: the V2 code rounds its channels differently and builds another network of that name.
    """
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
