"""What a file describes: an architecture's stages, parameters and MACs, or a space's decisions and size."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from nas.screens.architecture import architecture_screen
from nas.screens.describe_space import space_figures, space_screen
from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import count
from search_spaces.networks.network import check_resolution
from search_spaces.settings.yaml_files import ConfigError, peek_yaml, read_yaml

DEFAULT_CLASSES, DEFAULT_RESOLUTION = 1000, 224
MOST = {"num_classes": 1_000_000, "resolution": 4096, "training_resolution": 4096}


def read_described(source: str) -> Architecture | SearchSpace:
    """The architecture or the space of a file or a shipped name.

    Raises:
        ConfigError: it is neither.
    """
    path = Path(source)
    if not path.is_file():
        if source in {file.stem for file in SearchSpace.SHIPPED.glob("*.yaml")}:
            return read_yaml(SearchSpace, source)
        return read_yaml(Architecture, source)
    content = peek_yaml(path)
    if "space" in content:
        raise ConfigError(f"{source}: this is a search file; an architecture or a space is expected")
    if _offers_choices(content):
        return read_yaml(SearchSpace, path)
    return read_yaml(Architecture, path)


def _offers_choices(content: Mapping[str, Any]) -> bool:
    """Whether this looks like a space, which may well have mistakes in it, rather than an architecture."""
    stages = content.get("stages")
    rows = [row for row in stages if isinstance(row, dict)] if isinstance(stages, list) else []
    return bool({"reference", "limits"} & content.keys()) or any(
        isinstance(value, list) for row in rows for value in row.values()
    )


def describe_source(
    source: str, *, num_classes: int | None, resolution: int | None
) -> tuple[dict[str, Any], RenderableType]:
    """The figures of a file or shipped name, and the screen that shows them.

    Raises:
        ConfigError: it is no architecture or space, or the resolution is too small for it.
    """
    described = read_described(source)
    if isinstance(described, SearchSpace):
        figures = space_figures(described, name=source, num_classes=num_classes, resolution=resolution)
        return figures, space_screen(described, figures)
    figures = architecture_figures(described, name=source, num_classes=num_classes, resolution=resolution)
    return figures, architecture_screen(described, figures)


def provenance_number(architecture: Architecture, key: str, default: int, *, name: str) -> int:
    """What the file's provenance says, which anybody may have written; else the default.

    Raises:
        ConfigError: it is no number of classes or pixels.
    """
    value = (architecture.provenance or {}).get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 2 <= value <= MOST[key]:
        raise ConfigError(f"{name}: provenance.{key}: {value!r} is no whole number from 2 to {MOST[key]:,}")
    return value


def architecture_figures(
    architecture: Architecture, *, name: str, num_classes: int | None, resolution: int | None
) -> dict[str, Any]:
    """The figures of one architecture, keys named as the columns.

    Classes and resolution default to those of the trial that the file comes from, else 1,000 and 224.

    Raises:
        ConfigError: the resolution is too small for the network.
    """
    num_classes = num_classes or provenance_number(architecture, "num_classes", DEFAULT_CLASSES, name=name)
    resolution = resolution or provenance_number(architecture, "resolution", DEFAULT_RESOLUTION, name=name)
    try:
        check_resolution(architecture, resolution)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from error
    counts = count(architecture, num_classes=num_classes, resolution=resolution)
    return {
        "name": name,
        "architecture_id": architecture.architecture_id,
        "num_classes": num_classes,
        "resolution": resolution,
        "params": counts.params,
        "macs": counts.macs,
        "activations": counts.activations,
        "blocks": sum(1 for _ in architecture.blocks()),
        "total_stride": architecture.total_stride,
        "stages": [
            {
                "op": stage.op,
                "kernel_size": stage.kernel_size,
                "stride": stage.stride,
                "expansion_ratio": stage.expansion_ratio,
                "channels": stage.channels,
                "layers": stage.layers,
                "se_ratio": stage.se_ratio,
                "params": part.params,
                "macs": part.macs,
                "out_side": part.out_side,
            }
            for stage, part in zip(architecture.stages, counts.stages, strict=True)
        ],
        "provenance": architecture.provenance,
    }
