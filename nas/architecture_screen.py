"""An architecture on the screen: its stages as a table, and its totals."""

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from search_spaces.architecture import Architecture


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
