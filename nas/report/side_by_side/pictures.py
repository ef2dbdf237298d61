"""Pictures of several runs: best rewards so far against a budget, and the finalists of each run."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from analysis.finalists import Standing
from analysis.frame import floats
from analysis.numbers import duration
from analysis.pictures import LABELS
from analysis.run_comparison import mean_curve
from nas.report.axes import BOTTOM, HEIGHT, TOP, WIDTH, Scale, picture, x_axis, x_scale, y_axis, y_scale
from nas.report.markup import Markup, join, tag
from nas.report.progress_picture import steps, time_unit
from nas.report.side_by_side.sides import Side, Sides

COLOURS = 7
DASHES = (None, "7 4", "2 3", "9 3 2 3")  # for who cannot tell the colours
MOST_LABELS = 10  # beside curves: more would not fit
LABEL = 15.0  # height of one
ROOM = 38.0  # for them, at the right
PLACES = 200  # of a mean curve
SETTLED = 0.08  # share of the budget before which curves rise from anywhere
ROW = 22.0
LEFT_OF_FINALISTS = 104.0
MOST_FINALISTS = 5  # of a run


def look(group: str) -> dict[str, Any]:
    """Class of the colour and dashes of a letter."""
    # Neighbours differ in both, for who sees no colours; all pairs differ, since 7 and 4 share no factor.
    place = ord(group) - ord("A")
    return {"class_": f"c{place % COLOURS + 1}", "dash": DASHES[place % len(DASHES)]}


def swatch(group: str) -> Markup:
    """A short line as the curves of a letter are drawn."""
    line = tag(
        "line", class_=f"curve {look(group)['class_']}", x1=0.0, x2=26.0, y1=6.0, y2=6.0,
        stroke_dasharray=look(group)["dash"],
    )  # fmt: skip
    return tag("svg", line, viewBox="0 0 26 12", width=26, height=12, aria_hidden="true", class_="swatch")


def best_so_far(found: Sides, by: Literal["trials", "device_seconds"]) -> Markup:
    """The best reward so far of each run; of several runs of equal settings also their mean."""
    spent = max(side.device_seconds for side in found.compared)
    factor, unit = time_unit(spent) if by == "device_seconds" else (1.0, "")
    label = f"device time spent, {unit}" if unit else LABELS["trials"]
    groups = found.groups
    curves = {side.label: side.curve for side in found.compared}
    # Scales: from 0 on, with room for letters at the right; what lies far below at the start is cut off.
    widest = x_scale(np.concatenate([[0.0], *(floats(curve, by) * factor for curve in curves.values())]))
    x = Scale(0.0, widest.high, widest.start, widest.end - ROOM, whole=by == "trials")
    y = y_scale(np.concatenate([_settled(curve, by) for curve in curves.values()]))
    parts = [x_axis(x, label), y_axis(y, LABELS["reward"])]
    at = found.at_trials if by == "trials" else found.at_seconds
    if at is not None:
        parts.append(tag("line", class_="thin", x1=x(at * factor), x2=x(at * factor), y1=y.start, y2=y.end))
    for group, sides in groups.items():
        several = len(sides) > 1
        if several:
            parts.append(_mean_of_runs(group, sides, by, factor, x, y))
        for side in sides:
            parts.append(_curve(side, by, factor, x, y, is_thin=several))
    parts += _letters(found, by, factor, x, y)
    words = "trials" if by == "trials" else "device time"
    return picture(*parts, label=f"best reward so far against {words}, a curve for each run", height=HEIGHT)


def _settled(curve: pd.DataFrame, by: str) -> np.ndarray:
    """Best rewards after the first part of a run, in which they rise from anywhere."""
    places = floats(curve, by)
    return floats(curve, "best")[places >= SETTLED * places[-1]] if len(curve) else np.array([])


def _curve(side: Side, by: str, factor: float, x: Scale, y: Scale, *, is_thin: bool) -> Markup:
    # Only trials that raise the best, and the last one, are needed of a step function.
    curve = side.curve
    best, places = floats(curve, "best"), floats(curve, by) * factor
    kept = np.flatnonzero(np.isfinite(best) & (np.diff(best, prepend=np.nan) != 0))
    kept = np.unique(np.append(kept, len(best) - 1)) if len(kept) else kept
    line = steps([x(place) for place in places[kept]], [min(y(value), y.start) for value in best[kept]])
    own = look(side.group)
    return tag(
        "path", class_=f"curve {own['class_']}{' faint' if is_thin else ''}", d=line or None,
        stroke_dasharray=own["dash"],
    )  # fmt: skip


def _mean_of_runs(
    group: str,
    sides: Sequence[Side],
    by: Literal["trials", "device_seconds"],
    factor: float,
    x: Scale,
    y: Scale,
) -> Markup:
    """The mean over runs with its 95 % interval, as far as all of them went."""
    ends = [float(side.curve[by].iloc[-1]) for side in sides if len(side.curve)]
    if len(ends) < len(sides):
        return Markup("")
    middle = mean_curve([side.curve for side in sides], np.linspace(0.0, min(ends), PLACES), by=by).dropna()
    own = look(group)

    def clipped(values: Iterable[float]) -> list[float]:
        return [min(max(y(value), y.end), y.start) for value in values]

    across = [x(place * factor) for place in middle["place"]]
    if not across:
        return Markup("")
    top, bottom = clipped(middle["high"]), clipped(middle["low"])
    points = [*zip(across, top, strict=True), *reversed(list(zip(across, bottom, strict=True)))]
    outline = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in points) + "Z"
    line = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(across, clipped(middle["mean"]), strict=True))
    return join(
        [
            tag("path", class_=f"band {own['class_']}", d=outline),
            tag("path", class_=f"curve {own['class_']}", d=line, stroke_dasharray=own["dash"]),
        ]
    )


def _letters(found: Sides, by: str, factor: float, x: Scale, y: Scale) -> list[Markup]:
    """A mark at the end of each run's curve, and its label beside it where there are few."""
    ends = [side for side in found.compared if len(side.curve) and np.isfinite(side.curve["best"].iloc[-1])]
    heights = {side.label: min(y(float(side.curve["best"].iloc[-1])), y.start) for side in ends}
    placed = _spread(heights, low=y.end + 4, high=y.start)
    parts = []
    for side in ends:
        last = side.curve.iloc[-1]
        across = x(float(last[by]) * factor)
        words = (
            f"{side.label}: {side.facts.name}, {side.facts.config.strategy.name}\nbest reward "
            f"{last['best']:.4f} after {last['trials']:,} trials and {duration(side.device_seconds)} of "
            "device time"
        )
        colour = look(side.group)["class_"]
        mark = {"cx": across, "cy": heights[side.label], "r": 4.2, "tabindex": 0}
        parts.append(tag("circle", tag("title", words), class_=f"solid {colour}", **mark))
        if len(ends) <= MOST_LABELS:
            at = {"x": x.end + 10, "y": placed[side.label] + 4.5}
            parts.append(tag("text", side.label, class_=f"direct {colour}", **at))
    return parts


def _spread(heights: Mapping[str, float], *, low: float, high: float) -> dict[str, float]:
    """Heights of labels, moved apart so that none covers another, inside [low, high]."""
    order = sorted(heights, key=lambda label: heights[label])
    placed: dict[str, float] = {}
    for label in order:  # downwards: each below the one before it
        placed[label] = max(heights[label], max(placed.values(), default=low - LABEL) + LABEL)
    below = high + LABEL
    for label in reversed(order):  # what is pushed beyond the lower end goes up again
        below = placed[label] = min(placed[label], below - LABEL)
    return placed


# ---------------------------------------------------------------------- finalists


def finalists_picture(sides: Sequence[Side]) -> Markup:
    """The best finalists of each run: means over their trainings with intervals, and each training."""
    rows = [(side, standing) for side in sides for standing in side.facts.standings[:MOST_FINALISTS]]
    values = [
        value
        for _, standing in rows
        for value in (standing.low, standing.high, *standing.finalist.rewards)
        if value is not None
    ]
    left, height = LEFT_OF_FINALISTS, TOP + BOTTOM + ROW * len(rows)
    x = x_scale(np.array(values), left=left)
    parts = [x_axis(x, "reward", height=height, left=left)]
    for i, (side, standing) in enumerate(rows):
        y = TOP + 11 + ROW * i
        if i and rows[i - 1][0] is not side:
            parts.append(tag("line", class_="grid", x1=0.0, x2=WIDTH, y1=y - ROW / 2, y2=y - ROW / 2))
        parts.append(_finalist(side, standing, x, y, left, is_first=standing is side.facts.standings[0]))
    return picture(*parts, label="rewards of the finalists of each run", height=height)


def _finalist(side: Side, standing: Standing, x: Scale, y: float, left: float, *, is_first: bool) -> Markup:
    finalist, colour = standing.finalist, look(side.group)["class_"]
    name = f"{side.label} trial {finalist.trial_id}"
    parts = [
        tag("text", name, class_="strong" if is_first else "label", x=left - 10, y=y + 4.5, text_anchor="end")
    ]
    if standing.low is not None and standing.high is not None:
        ends = {"x1": x(standing.low), "x2": x(standing.high)}
        parts.append(tag("line", class_=f"whisker {colour}", y1=y, y2=y, **ends))
    for reward in finalist.rewards:
        parts.append(tag("circle", class_=f"dot {colour}", cx=x(reward), cy=y, r=2.2))
    interval = f", 95 % {standing.low:.4f} to {standing.high:.4f}" if standing.low is not None else ""
    words = f"{name}: mean of {len(finalist.rewards)} trainings {finalist.mean:.4f}{interval}"
    mark = {"cx": x(finalist.mean), "cy": y, "r": 4.6, "tabindex": 0}
    parts.append(tag("circle", tag("title", words), class_=f"solid {colour}", **mark))
    return join(parts)
