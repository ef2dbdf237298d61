"""The picture of a comparison: accuracy with its interval against step time, parameters and seconds."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.intervals import Interval
from analysis.numbers import short_count
from analysis.plain_text import drawable, plain_text
from analysis.plots import COLOURS
from nas.comparing.figures import ComparisonFigures, NetworkFigures
from trials.objective import in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "osD^vP*X"
WIDE = 4.0  # largest over smallest, from which on an axis is logarithmic
LEGEND_COLUMNS = 4


@dataclass(frozen=True)
class _Drawn:
    """A network with a colour and a marker, by which it is known also in grey."""

    network: NetworkFigures
    accuracy: Interval
    colour: str
    marker: str


Value = Callable[[NetworkFigures], float | None]


@plain_text
def picture_of(figures: ComparisonFigures) -> bytes:
    """A PNG: each network is a mark with the 95 % interval of its accuracy; a dotted line is the first one's.

    Networks of which no training has ended are left out, and a panel for what was not measured of any.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = [
        _Drawn(each, each.accuracy, COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)])
        for i, each in enumerate(figures.networks)
        if each.accuracy is not None
    ]
    first = drawable(figures.networks[0].name)
    panels: list[tuple[str, Value]] = [
        (f"training step time (× {first})", lambda each: each.step_time_ratio),
        (f"parameters ({figures.conditions.num_classes:,} classes)", lambda each: float(each.params)),
        ("seconds of a training", lambda each: each.seconds),
    ]
    panels = [
        (label, value) for label, value in panels if any(value(each.network) is not None for each in drawn)
    ]
    rows = -(-len(drawn) // LEGEND_COLUMNS)
    figure = Figure(figsize=(4.2 * len(panels), 4.0 + 0.25 * rows), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    every = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    of_first = figures.networks[0].accuracy
    for axes, (label, value) in zip(every, panels, strict=True):
        _panel(axes, drawn, value, label)
        if of_first is not None:
            axes.axhline(of_first.value, color="0.55", linestyle=":", linewidth=1, zorder=0)
    every[0].set_ylabel(f"{in_words(figures.objective)} on {figures.evaluated_on} (0-1)")
    _legend(figure, drawn)
    figure.suptitle(_title(figures), x=0.01, ha="left", fontsize=11)
    data = io.BytesIO()
    figure.savefig(data, format="png", metadata={"Software": None})
    return data.getvalue()


def _panel(axes: "Axes", drawn: Sequence[_Drawn], value: Value, label: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    shown = [(each, x) for each in drawn if (x := value(each.network)) is not None]
    for each, x in shown:
        accuracy = each.accuracy
        low, high = accuracy.low, accuracy.high
        spread = (
            [[accuracy.value - low], [high - accuracy.value]]
            if low is not None and high is not None
            else None
        )
        axes.errorbar(
            [x], [accuracy.value], yerr=spread, color=each.colour, fmt=each.marker, markersize=7, capsize=4,
            linewidth=1.4,
        )  # fmt: skip
    xs = [x for _, x in shown]
    if max(xs) > WIDE * min(xs):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlim(min(xs) / 1.3, max(xs) * 1.3)
    else:
        room = 0.15 * ((max(xs) - min(xs)) or max(xs))
        axes.set_xlim(min(xs) - room, max(xs) + room)
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: _tick(tick)))
    axes.set_xlabel(label)
    axes.grid(color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(figure: "Figure", drawn: Sequence[_Drawn]) -> None:
    """Every network that is drawn, also one that is not in all panels."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=each.colour, marker=each.marker, markersize=7, linestyle="none")
        for each in drawn
    ]
    legend = figure.legend(
        handles, [str(i) for i in range(len(handles))],
        loc="outside lower center", ncols=LEGEND_COLUMNS, frameon=False, fontsize=9,
    )  # fmt: skip
    # matplotlib leaves out labels that begin with an underscore, but not such texts.
    for text, each in zip(legend.get_texts(), drawn, strict=True):
        text.set_text(drawable(each.network.name))


def _tick(value: float) -> str:
    if value < 1000:
        return f"{value:.3g}"
    number, _, unit = short_count(round(value)).partition(" ")
    return f"{float(number):g} {unit}"


def _title(figures: ComparisonFigures) -> str:
    counts = sorted({len(each.trainings) for each in figures.networks})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    equal = "as many epochs" if figures.equal == "epochs" else "as much training time"
    plural = "" if counts == [1] else "s"
    return f"{equal} for each, {seeds} seed{plural}, 95 % intervals of the mean"
