"""Screen of measured training steps: the time that each part of a network takes."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from analysis.numbers import percent, three_figures
from nas.measuring.figures import MeasuredNetwork
from search_spaces.settings.sentences import one_line
from trials.timing.module_parts import BETWEEN, UPDATE, PartTime

SMALLEST_SHARE = 0.01  # of a part that has a line of its own
BAR = 24  # characters of a part that is all of the step


def parts_screen(networks: Sequence[MeasuredNetwork]) -> list[RenderableType]:
    """A table for each network whose parts were measured: forward, backward, and the share of the step."""
    lines: list[RenderableType] = []
    for network in networks:
        if network.parts:
            lines += [Text(""), Text(f"a training step of {one_line(network.name)}", style="bold")]
            lines.append(_table(network.parts))
    return lines


def _table(parts: Sequence[PartTime]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("part", max_width=28, no_wrap=True, overflow="ellipsis")
    for header in ("forward", "backward", "share"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("")
    for part in shown_parts(parts):
        table.add_row(
            one_line(part.part),
            _milliseconds(part.forward_seconds),
            _milliseconds(part.backward_seconds),
            percent(part.share),
            "█" * round(part.share * BAR),
        )
    return table


def shown_parts(parts: Sequence[PartTime]) -> list[PartTime]:
    """The parts in their order, what lies between them and the update at the end, small ones as one."""
    last = {BETWEEN: 1, UPDATE: 2}
    ordered = sorted(parts, key=lambda part: last.get(part.part, 0))
    small = [part for part in ordered if part.share < SMALLEST_SHARE and part.part not in last]
    if len(small) < 2:
        return ordered
    together = PartTime(
        part=f"{len(small)} smaller ones",
        forward_seconds=sum(part.forward_seconds for part in small),
        backward_seconds=sum(part.backward_seconds for part in small),
        share=sum(part.share for part in small),
    )
    kept = [part for part in ordered if part not in small]
    at = next((i for i, part in enumerate(kept) if part.part in last), len(kept))
    return [*kept[:at], together, *kept[at:]]


def _milliseconds(seconds: float) -> str:
    return f"{three_figures(1e3 * seconds)} ms" if seconds else ""
