"""A table of block times on the screen: a part for each stage, and how well networks are predicted by it."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.numbers import milliseconds, percent
from nas.measuring.table_figures import BlockFigures, OptionFigures, TableFigures
from search_spaces.networks.ops import op_facts
from search_spaces.networks.stage_fields import SILU, kernel_words


def table_screen(figures: TableFigures) -> RenderableType:
    """The conditions, every stage's blocks, what is around them, and the error of sums; fits 80 columns."""
    conditions = figures.conditions
    lines: list[RenderableType] = [
        Text(
            f"{conditions.device_name}, {conditions.precision}, {conditions.resolution} px, batch "
            f"{conditions.batch_size}, {conditions.num_classes:,} classes",
            style="bold",
        ),
        Text(f"{figures.blocks:,} blocks, measured in {figures.parted_networks} networks; ms, one step"),
    ]
    for number, options in enumerate(figures.stages, start=1):
        title = f"stage {number}, from {options[0].side} px"
        lines += [Text(""), Text(title, style="bold"), _stage_table(options)]
    return Group(*lines, Text(""), *map(Text, _ends(figures)))


def _stage_table(options: Sequence[OptionFigures]) -> Table:
    shows_activation = any(option.activation != SILU for option in options)
    table = Table(box=None, pad_edge=False, padding=(0, 1 if shows_activation else 2, 0, 0))
    table.add_column("op", no_wrap=True)
    headers = ("k", "e", "SE", *(["activation"] if shows_activation else []), "channels")
    for header in (*headers, "first: forward", "backward", "repeated: forward", "backward"):
        table.add_column(header, justify="right", no_wrap=header == "activation")
    for option in options:
        table.add_row(
            op_facts(option.op).name,
            kernel_words(option.kernel_size, option.start_kernel_size),
            str(option.expansion_ratio),
            f"{option.se_ratio:g}" if option.se_ratio else "-",
            *([option.activation] if shows_activation else []),
            f"{option.in_channels}→{option.channels}",
            *_times(option.first),
            *_times(option.repeated),
        )
    return table


def _times(block: BlockFigures | None) -> tuple[str, str]:
    """Forward and backward; dashes of a block that there is not."""
    if block is None:
        return "-", "-"
    return milliseconds(block.forward_seconds), milliseconds(block.backward_seconds)


def _ends(figures: TableFigures) -> list[str]:
    most = max(abs(error) for error in figures.leave_one_out_errors)
    return [
        f"stem {milliseconds(figures.stem_seconds)}, head and loss {milliseconds(figures.top_seconds)}, "
        f"update {milliseconds(figures.update_seconds)} and "
        f"{milliseconds(figures.update_seconds_per_million_parameters)} per million parameters; "
        f"reference {milliseconds(figures.reference_seconds)}",
        "prediction of a network that the fit has not seen: off by "
        f"{percent(figures.leave_one_out_error, digits=1)} (mean of {figures.whole_networks}, "
        f"at most {percent(most, digits=1)})",
        f"measured in {figures.measured_seconds / 60:.1f} min    {figures.file}",
    ]
