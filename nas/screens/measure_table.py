"""A table of block times on the screen: a part for each stage, and how well networks are predicted by it."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from search_spaces.networks.architecture import op_name

Figures = Mapping[str, Any]


def table_screen(figures: Figures) -> RenderableType:
    """The conditions, every stage's blocks, what is around them, and the error of sums; fits 80 columns."""
    lines: list[RenderableType] = [
        Text(
            f"{figures['device_name']}, {figures['precision']}, {figures['resolution']} px, batch "
            f"{figures['batch_size']}, {figures['num_classes']:,} classes",
            style="bold",
        ),
        Text(
            f"{figures['blocks']:,} blocks, measured in {figures['parted_networks']} networks; ms, one step"
        ),
    ]
    for number, options in enumerate(figures["stages"], start=1):
        side = options[0]["side"]
        lines += [Text(""), Text(f"stage {number}, from {side} px", style="bold"), _stage_table(options)]
    return Group(*lines, Text(""), *map(Text, _ends(figures)))


def _stage_table(options: list[Figures]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("op", no_wrap=True)
    for header in ("k", "e", "SE", "channels", "first: forward", "backward", "repeated: forward", "backward"):
        table.add_column(header, justify="right")
    for option in options:
        table.add_row(
            op_name(option["op"]),
            str(option["kernel_size"]),
            str(option["expansion_ratio"]),
            f"{option['se_ratio']:g}" if option["se_ratio"] else "-",
            f"{option['in_channels']}→{option['channels']}",
            *(
                _milliseconds(option.get(f"{which}_{way}_seconds"))
                for which in ("first", "repeated")
                for way in ("forward", "backward")
            ),
        )
    return table


def _milliseconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    value = seconds * 1000
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ends(figures: Figures) -> list[str]:
    errors = [abs(error) for error in figures["leave_one_out_errors"]]
    return [
        f"stem {_milliseconds(figures['stem_seconds'])}, head and loss "
        f"{_milliseconds(figures['top_seconds'])}, update {_milliseconds(figures['update_seconds'])} and "
        f"{_milliseconds(figures['update_seconds_per_million_parameters'])} per million parameters; "
        f"reference {_milliseconds(figures['reference_seconds'])}",
        f"prediction of a network that the fit has not seen: off by {figures['leave_one_out_error']:.1%} "
        f"(mean of {figures['whole_networks']}, at most {max(errors):.1%})",
        f"measured in {figures['measured_seconds'] / 60:.1f} min    {figures['file']}",
    ]
