"""Cost of the search: device time by kind, by worker and by purpose, idle time included."""

import numpy as np
import pandas as pd

from analysis.ledger import ALL_KINDS, by_purpose, ledger, pauses, utilisation, wall_seconds, work
from analysis.numbers import counted, duration, percent
from nas.report.axes import BOTTOM, HEIGHT, LEFT, TOP, WIDTH, Scale, picture, x_axis, y_axis
from nas.report.facts import RunFacts
from nas.report.markup import Markup, details, figure, join, table, tag

BINS = 60
COLOURS = {"train": "c1", "timing": "c2", "evaluate": "c3", "build": "c4", "other": "c0"}
NAMES = {
    "train": "training",
    "timing": "timing",
    "evaluate": "evaluating",
    "build": "building",
    "other": "other",
    "idle": "idle",
}


def cost_section(facts: RunFacts) -> Markup:
    """The workers' time by what it was spent on."""
    spent, found = ledger(facts.trials), work(facts.trials)
    if found.empty:
        return tag("p", "No trial has run.")
    total, used = float(spent["total"].sum()), utilisation(facts.trials)
    words = (
        f"{duration(wall_seconds(found))} on {counted(len(spent), 'worker')}: {duration(total)} of device "
        f"time; {percent(used)} of it went into training, timing and evaluating."
    )
    if stops := facts.starts - 1:
        words += f" The search was stopped {counted(stops, 'time')}, by whatever it was."
    if left_out := pauses(found):
        seconds = sum(end - begin for begin, end in left_out)
        words += f" {duration(seconds)} in which nobody worked are left out."
    drawn = figure(
        _utilisation_picture(found, len(spent)),
        "How many workers did what, over the time from the first trial to the last.",
    )
    kinds = [
        (NAMES[kind], f"{spent[kind].sum():,.1f} s", percent(spent[kind].sum() / total, digits=1))
        for kind in ALL_KINDS
    ]
    purposes = [
        (f"{row['purpose']}, {row['status']}", f"{row['trials']:,}", f"{row['seconds']:,.1f} s")
        for row in by_purpose(facts.trials).to_dict("records")
    ]
    workers = [
        (name, *(f"{row[kind]:,.1f}" for kind in ALL_KINDS)) for name, row in spent.head(200).iterrows()
    ]
    tables = tag(
        "div",
        table(("device time by kind", "", ""), kinds),
        table(("by purpose and end", "trials", ""), purposes),
    )
    listing = details(
        "By worker, in seconds", table(("worker", *(NAMES[kind] for kind in ALL_KINDS)), workers)
    )
    return join([tag("p", words), tag("div", drawn, tables, class_="figures"), listing])


def _utilisation_picture(found: pd.DataFrame, workers: int) -> Markup:
    # The mean number of workers at each kind of work, within BINS spans of the whole time.
    wall = max(float(found["end"].max()), 1e-3)
    factor, unit = (1 / 3600, "hours") if wall > 7200 else (1 / 60, "minutes") if wall > 180 else (1.0, "s")
    edges = np.linspace(0.0, wall, BINS + 1)
    x, y = Scale(0.0, wall * factor, LEFT, WIDTH - 94), Scale(0.0, workers, HEIGHT - BOTTOM, TOP, whole=True)
    busy = busy_by_kind(found, edges)
    shown = [kind for kind in COLOURS if busy[kind].sum() > 0.001 * sum(b.sum() for b in busy.values())]
    parts = [x_axis(x, f"time since the first trial, {unit}"), y_axis(y, "workers")]
    # Areas on top of each other: what is left above them is idle.
    below = np.zeros(BINS)
    for kind in shown:
        above = below + busy[kind]
        parts.append(tag("path", class_=f"area {COLOURS[kind]}", d=_area(edges * factor, below, above, x, y)))
        below = above
    # The key, at the right.
    for i, kind in enumerate([*shown, "idle"]):
        height = TOP + 14 + 20 * i
        class_ = f"solid {COLOURS[kind]}" if kind in COLOURS else "ring c0"
        parts.append(tag("rect", class_=class_, x=WIDTH - 88, y=height - 9, width=10.0, height=10.0, rx=2.0))
        parts.append(tag("text", NAMES[kind], class_="label", x=WIDTH - 74, y=height))
    return picture(*parts, label="what workers did over time")


def busy_by_kind(found: pd.DataFrame, edges: np.ndarray) -> dict[str, np.ndarray]:
    """The mean number of workers at each kind of work within each span.

    A trial builds, times, trains and evaluates; time that none of these names counts as before training.
    """
    width = float(edges[1] - edges[0]) or 1.0
    begin = found["start"].to_numpy(dtype=float)
    result = {}
    for kind in ("build", "timing", "other", "train", "evaluate"):
        end = begin + found[kind].to_numpy(dtype=float)
        # The time before an edge that is inside [begin, end], summed over trials, then differences.
        before = np.array([np.clip(edge - begin, 0.0, end - begin).sum() for edge in edges])
        result[kind] = np.diff(before) / width
        begin = end
    return result


def _area(edges: np.ndarray, below: np.ndarray, above: np.ndarray, x: Scale, y: Scale) -> str:
    top = [f"{x(edges[i + side]):.1f} {y(above[i]):.1f}" for i in range(BINS) for side in (0, 1)]
    bottom = [f"{x(edges[i + side]):.1f} {y(below[i]):.1f}" for i in range(BINS) for side in (0, 1)]
    return "M" + "L".join([*top, *reversed(bottom)]) + "Z"
