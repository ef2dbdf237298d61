"""What a file describes: an architecture's stages, parameters and MACs, or a space's decisions and size."""

from typing import Any

from rich.console import RenderableType

from nas.screens.architecture import architecture_screen
from nas.screens.describe_space import space_figures, space_screen
from search_spaces.choices.described import read_described
from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import count
from search_spaces.networks.network import check_resolution
from search_spaces.networks.provenance import DEFAULT_CLASSES, DEFAULT_RESOLUTION, provenance_number
from search_spaces.settings.yaml_files import ConfigError


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
