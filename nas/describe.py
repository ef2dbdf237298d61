"""What a file describes: an architecture's stages, parameters and MACs, or a space's decisions and size."""

from pathlib import Path
from typing import Any

import yaml
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from search_spaces.architecture import Architecture
from search_spaces.counting import count
from search_spaces.network import check_resolution
from search_spaces.space import SearchSpace
from search_spaces.yaml_io import ConfigError, read_yaml

DEFAULT_CLASSES, DEFAULT_RESOLUTION = 1000, 224


def read_described(source: str) -> Architecture | SearchSpace:
    """The architecture or the space of a file or a shipped name; a space's stages offer lists of options.

    Raises:
        ConfigError: it is neither.
    """
    path = Path(source)
    if not path.is_file():
        if source in {file.stem for file in SearchSpace.SHIPPED.glob("*.yaml")}:
            return read_yaml(SearchSpace, source)
        return read_yaml(Architecture, source)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.stat().st_size <= 1 << 20 else None
    except (yaml.YAMLError, UnicodeDecodeError, OSError, RecursionError):
        content = None  # read_yaml says what is wrong with it
    if isinstance(content, dict) and "space" in content:
        raise ConfigError(f"{source}: this is a search file; nas describe takes an architecture or a space")
    if isinstance(content, dict) and "reference" in content:
        return read_yaml(SearchSpace, path)
    return read_yaml(Architecture, path)


def describe_source(
    source: str, *, num_classes: int | None, resolution: int | None
) -> tuple[dict[str, Any], RenderableType]:
    """The figures of a file or shipped name, and the screen that shows them.

    Raises:
        ConfigError: it is no architecture or space, or the resolution is too small for it.
    """
    described = read_described(source)
    if isinstance(described, SearchSpace):
        figures = space_figures(described, name=source)
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
    provenance = architecture.provenance or {}
    num_classes = num_classes or int(provenance.get("num_classes", DEFAULT_CLASSES))
    resolution = resolution or int(provenance.get("resolution", DEFAULT_RESOLUTION))
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


def architecture_screen(architecture: Architecture, figures: dict[str, Any]) -> RenderableType:
    """The stage table with its totals."""
    table = stage_table(architecture)
    table.add_column("side", justify="right")
    table.add_column("params", justify="right")
    table.add_column("MACs", justify="right")
    rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in table.columns:
        rows.add_column(column.header, justify=column.justify)
    for cells, stage in zip(stage_cells(architecture), figures["stages"], strict=True):
        rows.add_row(*cells, str(stage["out_side"]), f"{stage['params']:,}", f"{stage['macs']:,}")
    lines: list[RenderableType] = [
        Text(f"{figures['name']}   {figures['architecture_id']}", style="bold"),
        Text(
            f"stem {architecture.stem_channels} channels, stride {architecture.stem_stride}; "
            f"head {architecture.head_channels}; {architecture.padding} padding"
        ),
        rows,
        Text(
            f"{figures['params']:,} parameters ({figures['num_classes']} classes)   "
            f"{figures['macs']:,} MACs at {figures['resolution']} px"
        ),
    ]
    if architecture.provenance:
        facts = architecture.provenance
        known = [f"{key} {facts[key]}" for key in ("run", "trial_id", "accuracy", "reward") if key in facts]
        lines.append(Text("from " + ", ".join(known)))
    return Group(*lines)


def stage_table(architecture: Architecture) -> Table:
    """The stages as a table, in the paper's column order."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in ("stage", "op", "kernel", "stride", "expansion", "channels", "layers", "SE"):
        table.add_column(header, justify="left" if header in ("stage", "op") else "right")
    for cells in stage_cells(architecture):
        table.add_row(*cells)
    return table


def stage_cells(architecture: Architecture) -> list[tuple[str, ...]]:
    """The cells of `stage_table`, a tuple per stage."""
    return [
        (
            str(i),
            stage.op,
            str(stage.kernel_size),
            str(stage.stride),
            str(stage.expansion_ratio),
            str(stage.channels),
            str(stage.layers),
            f"{stage.se_ratio:g}" if stage.se_ratio else "-",
        )
        for i, stage in enumerate(architecture.stages, start=1)
    ]


def space_figures(space: SearchSpace, *, name: str) -> dict[str, Any]:
    """A space's size and decisions."""
    return {
        "name": name,
        "size": space.size,
        "decisions": [
            {"stage": decision.stage + 1, "field": decision.field, "options": list(decision.options)}
            for decision in space.decisions
        ],
        "reference_architecture_id": space.reference.architecture_id,
    }


def space_screen(space: SearchSpace, figures: dict[str, Any]) -> RenderableType:
    """The stages with their options, the size, the extremes and the reference."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    headers = ("stage", "op", "kernel", "stride", "expansion", "channels", "layers")
    for header in headers:
        table.add_column(header)
    for i, stage in enumerate(space.stages, start=1):
        fields = (
            stage.op,
            stage.kernel_size,
            stage.stride,
            stage.expansion_ratio,
            stage.channels,
            stage.layers,
        )
        table.add_row(str(i), *("|".join(map(str, _options(field))) for field in fields))
    return Group(
        Text(f"{figures['name']}   {figures['size']:,} architectures", style="bold"),
        Text(f"{len(space.decisions)} decisions; stem {space.stem_channels}, head {space.head_channels}"),
        table,
        Text("reference network:"),
        stage_table(space.reference),
    )


def _options(field: object) -> tuple[object, ...]:
    return field if isinstance(field, tuple) else (field,)
