"""Curves of many seeds: their mean, its 95 % interval, and a picture of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from analysis.intervals import half_width
from analysis.plain_text import drawable, plain_text

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#222222")
DASHES = ("-", "--", ":")  # for more curves than colours


class Interval(NamedTuple):
    """A mean over seeds and half the width of its 95 % interval; None of one seed."""

    mean: float
    half_width: float | None


def interval(values: np.ndarray) -> Interval:
    """Mean and 95 % interval, by Student's t, of one value for each seed."""
    half = None if len(values) < 2 else float(half_width(values))
    return Interval(float(values.mean()), half)


@plain_text
def draw_curves(
    path: Path,
    curves: Mapping[str, np.ndarray],
    *,
    title: str,
    y_label: str,
    logarithmic: bool = False,
) -> None:
    """A PNG of each curve's mean over seeds, the 95 % interval shaded; curves are (seeds, trials)."""
    from matplotlib.figure import Figure  # a second, and only pictures need it

    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for i, (name, values) in enumerate(curves.items()):
        trials = np.arange(1, values.shape[1] + 1)
        means = values.mean(axis=0)
        colour, dash = COLOURS[i % len(COLOURS)], DASHES[i // len(COLOURS) % len(DASHES)]
        axes.plot(trials, means, label=name, linewidth=1.6, color=colour, linestyle=dash)
        if len(values) > 1:
            spread = half_width(values)
            axes.fill_between(trials, means - spread, means + spread, color=colour, alpha=0.15, lw=0)
    if logarithmic:
        axes.set_yscale("log")
    seeds = max((len(values) for values in curves.values()), default=0)
    axes.set(
        title=drawable(title), xlabel="trials", ylabel=f"{y_label}; mean of {seeds} seeds, 95 % interval"
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, format="png")
