"""The picture of a family: parameters against MACs, and against step time where that was measured."""

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from analysis.numbers import short_count
from analysis.plain_text import drawable, plain_text
from nas.scaling.compound import Member
from nas.scaling.family import Scaled

MOST_NAMES = 10  # beside their points; of more only the first
WIDE_SPAN = 4.0  # largest over smallest: from here on logarithmic
BLUE, RED, GREY = "#1f5fa8", "#b5352c", "#6b6b6b"

Value = Callable[[Member], float | None]


@plain_text
def save_picture(result: Scaled, path: Path) -> None:
    """Writes a PNG: each member is a point with its name, the base a ring, each budget a dashed line."""
    measured = any(result.step(member) for member in result.members)
    figure = Figure(figsize=(11.5 if measured else 6.5, 4.8), dpi=130, layout="constrained")
    axes = figure.subplots(1, 2 if measured else 1, squeeze=False)[0]
    _panel(axes[0], result, lambda member: member.macs, "MACs of an image at inference", "macs")
    if measured:
        label = f"training step over {drawable(result.request.stem)}'s"
        _panel(axes[1], result, lambda member: _ratio(result, member), label, "step_time_ratio")
    figure.suptitle(f"{drawable(result.request.stem)} and its family", x=0.01, ha="left", fontsize=12)
    figure.savefig(path, format="png", metadata={"Software": None})


def _ratio(result: Scaled, member: Member) -> float | None:
    step = result.step(member)
    return step.ratio if step else None


def _panel(axes: Axes, result: Scaled, value: Value, label: str, limit: str) -> None:
    shown = [(member, y) for member in result.members if (y := value(member)) is not None]
    base = value(result.base)
    points = [(member.params, y) for member, y in shown]
    if not result.request.grid:
        line = sorted([*points, *([(result.base.params, base)] if base is not None else [])])
        axes.plot(*zip(*line, strict=True), color=BLUE, alpha=0.35, linewidth=1, zorder=1)
    axes.scatter([x for x, _ in points], [y for _, y in points], s=26, color=BLUE, zorder=2)
    if base is not None:
        axes.scatter([result.base.params], [base], s=60, facecolors="white", edgecolors=BLUE, zorder=3)
        shown = [(result.base, base), *shown]
    _names(axes, result, shown)
    drawn_x, drawn_y = _limits(axes, result, limit)
    _scale(axes, "x", [member.params for member, _ in shown] + drawn_x)
    _scale(axes, "y", [y for _, y in shown] + drawn_y)
    axes.set_xlabel(f"parameters ({result.base.num_classes:,} classes)")
    axes.set_title(label, loc="left", fontsize=10, color=GREY)
    axes.grid(color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _names(axes: Axes, result: Scaled, shown: Sequence[tuple[Member, float]]) -> None:
    for member, y in shown[: MOST_NAMES + 1]:
        budget = result.solution(member)
        name = f"{member.name}, {member.inference_resolution} px"
        text = drawable(result.request.stem if member is result.base else name)
        axes.annotate(
            text,
            (member.params, y),
            xytext=(-7, 3),
            textcoords="offset points",
            ha="right",
            fontsize=8,
            color=RED if budget else "0.15",
        )


def _limits(axes: Axes, result: Scaled, limit: str) -> tuple[list[float], list[float]]:
    """Draws the budgets and returns their places, so that the axes hold them."""
    every = [found.budget.limits for found in result.solutions]
    xs = [limits["params"] for limits in every if "params" in limits]
    ys = [limits[limit] for limits in every if limit in limits]
    for x in xs:
        axes.axvline(x, color=RED, linestyle="--", linewidth=0.9, zorder=0)
    for y in ys:
        axes.axhline(y, color=RED, linestyle="--", linewidth=0.9, zorder=0)
    return xs, ys


def _scale(axes: Axes, which: str, values: Sequence[float]) -> None:
    """Margins around the values, room at the left for names, and ticks that read 5.29 M."""
    axis: Axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = min(values), max(values)
    room = 0.6 if which == "x" else 0.12  # of the span
    if high / low > WIDE_SPAN:
        span = high / low
        limits = (low / span**room, high * span**0.08)
        axes.set(**{f"{which}scale": "log"})
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_minor_formatter(NullFormatter())
    else:
        span = (high - low) or 0.2 * high
        limits = (low - room * span, high + 0.12 * span)
        axis.set_major_locator(MaxNLocator(5))
    axes.set(**{f"{which}lim": limits})
    axis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))


def _tick(value: float) -> str:
    if value < 1000:
        return f"{value:g}"
    text = short_count(round(value))
    number, _, unit = text.partition(" ")
    return f"{float(number):g} {unit}"
