"""Curves of many seeds: their mean, its 95 % interval, and a picture of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

# Student's t, 97.5 %, of 1 to 10 degrees of freedom; beyond, a series is exact to three digits.
FEW_DEGREES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
NORMAL = 1.959964
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#222222")
DASHES = ("-", "--", ":")  # for more curves than colours


class Interval(NamedTuple):
    """A mean over seeds and half the width of its 95 % interval; None of one seed."""

    mean: float
    half_width: float | None


def interval(values: np.ndarray) -> Interval:
    """Mean and 95 % interval, by Student's t, of one value for each seed."""
    count = len(values)
    if count < 2:
        return Interval(float(values.mean()), None)
    error = float(values.std(ddof=1)) / np.sqrt(count)
    return Interval(float(values.mean()), student_t(count - 1) * error)


def student_t(degrees: int) -> float:
    """The 97.5 % quantile (Abramowitz and Stegun 26.7.5)."""
    if degrees <= len(FEW_DEGREES):
        return FEW_DEGREES[degrees - 1]
    z = NORMAL
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / degrees + second / degrees**2 + third / degrees**3


def draw_curves(
    path: Path,
    curves: Mapping[str, np.ndarray],
    *,
    title: str,
    y_label: str,
    x_label: str = "trials",
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
            spread = student_t(len(values) - 1) * values.std(axis=0, ddof=1) / np.sqrt(len(values))
            axes.fill_between(trials, means - spread, means + spread, color=colour, alpha=0.15, lw=0)
    if logarithmic:
        axes.set_yscale("log")
    seeds = max((len(values) for values in curves.values()), default=0)
    axes.set(title=title, xlabel=x_label, ylabel=f"{y_label}; mean of {seeds} seeds, 95 % interval")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, format="png")
