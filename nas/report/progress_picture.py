"""Progress of the search: the best so far, beside random search."""

import numpy as np
import pandas as pd

from analysis.frame import floats
from analysis.numbers import duration
from analysis.pictures import LABELS, lowest_reward_shown
from analysis.progress import progress, random_band
from nas.report.axes import (
    HEIGHT,
    Scale,
    label_at,
    picture,
    x_axis,
    x_scale,
    y_axis,
    y_scale,
)
from nas.report.facts import RunFacts
from nas.report.markup import Markup, figure, join, tag

MOST_POINTS = 2_000


def progress_section(facts: RunFacts) -> Markup:
    """The best reward so far against trials and against device-seconds."""
    curve, band = progress(facts.trials), random_band(facts.trials)
    if curve["best"].notna().sum() == 0:
        return tag("p", "No trial has completed yet.")
    hours, unit = time_unit(float(curve["device_seconds"].iloc[-1]))
    pictures = [
        figure(
            _curve(curve, band, "trials", 1.0, LABELS["trials"]),
            "The best reward so far; each dot is a trial.",
        ),
        figure(
            _curve(curve, band, "device_seconds", hours, f"device time spent, {unit}"),
            "The same against the time that devices worked.",
        ),
    ]
    return join([tag("p", _words(curve, band)), tag("div", *pictures, class_="figures")])


def _words(curve: pd.DataFrame, band: pd.DataFrame) -> str:
    best = float(curve["best"].iloc[-1])
    reached = curve[curve["best"] == best].iloc[0]
    text = (
        f"The best reward, {best:.4f}, came with trial {reached['trials']:,} of {len(curve):,} counted ones, "
        f"after {duration(float(reached['device_seconds']))} of device time."
    )
    if band.empty:
        return f"{text} The run has no uniform trials to compare with."
    single = float(np.median(curve.loc[curve["purpose"] == "baseline", "reward"]))
    whole = float(band["median"].iloc[-1])
    return (
        f"{text} A uniform trial's median is {single:.4f}; the best of {len(band)} uniform trials would be "
        f"about {whole:.4f} (the band holds 80 % of what random search finds, as far as the run's own "
        f"{len(band)} uniform trials tell)."
    )


def time_unit(seconds: float) -> tuple[float, str]:
    """The factor from seconds to the unit in which so long a time reads well, and its name."""
    if seconds > 2 * 3600:
        return 1 / 3600, "hours"
    return (1 / 60, "minutes") if seconds > 180 else (1.0, "seconds")


def _curve(curve: pd.DataFrame, band: pd.DataFrame, by: str, factor: float, label: str) -> Markup:
    # Scales: from 0 on.
    x = x_scale(np.append(floats(curve, by) * factor, 0.0))
    x = Scale(0.0, x.high, x.start, x.end, whole=by == "trials")
    best, reward = floats(curve, "best"), floats(curve, "reward")
    shown = [best[np.isfinite(best)], *(band[name].to_numpy() for name in ("low", "high"))]
    lowest = lowest_reward_shown(reward)
    y = y_scale(np.concatenate([*shown, [lowest] if lowest is not None else []]))
    parts = [x_axis(x, label), y_axis(y, LABELS["reward"])]
    # Dots of trials, thinned out where they are many.
    places = floats(curve, by) * factor
    step = max(len(curve) // MOST_POINTS, 1)
    for place, value, purpose in list(zip(places, reward, curve["purpose"], strict=True))[::step]:
        if y.low <= value:
            colour = "c0" if purpose == "baseline" else "c1"
            parts.append(tag("circle", class_=f"dot {colour}", cx=x(place), cy=y(value), r=1.8))
    # Random search's band below the curve of the best so far.
    if len(band) > 1:
        parts.append(_band(band, x, y, by, factor))
    line = steps([x(place) for place in places], [y(value) for value in best])
    parts.append(tag("path", class_="curve c2", d=line))
    parts += _labels(x, y, best, places, band, factor, by)
    return picture(*parts, label=f"best reward so far against {label}", height=HEIGHT)


def _band(band: pd.DataFrame, x: Scale, y: Scale, by: str, factor: float) -> Markup:
    across = [x(value * factor) for value in band[by]]
    top, bottom = [y(v) for v in band["high"]], [y(v) for v in band["low"]]
    points = [*zip(across, top, strict=True), *reversed(list(zip(across, bottom, strict=True)))]
    outline = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in points) + "Z"
    middle = "M" + "L".join(f"{a:.1f} {y(b):.1f}" for a, b in zip(across, band["median"], strict=True))
    last = y(float(band["median"].iloc[-1]))
    beyond = tag("line", class_="thin", x1=across[-1], x2=x.end, y1=last, y2=last)
    return join([tag("path", class_="band c3", d=outline), tag("path", class_="curve c3", d=middle), beyond])


def _labels(
    x: Scale, y: Scale, best: np.ndarray, places: np.ndarray, band: pd.DataFrame, factor: float, by: str
) -> list[Markup]:
    """The names of the curves: of the best so far above its end, of random search below its own."""
    end, top = x(float(places[-1])), y(float(best[-1])) - 7
    labels = [tag("text", "best so far", class_="direct c2", x=end, y=top, text_anchor="end")]
    if len(band) > 1:
        start = x(float(band[by].iloc[-1]) * factor)
        below = min(y(float(band["median"].iloc[-1])) + 18, y.start - 6)
        labels.append(label_at("random search", start, below, class_="c3"))
    return labels


def steps(x: list[float], y: list[float]) -> str:
    """A path that moves up only where the value does."""
    path, last = "", float("nan")
    for across, down in zip(x, y, strict=True):
        if np.isnan(down):
            continue
        if not path:
            path = f"M{across:.1f} {down:.1f}"
        elif down != last:
            path += f"H{across:.1f}V{down:.1f}"
        last = down
    return f"{path}H{x[-1]:.1f}" if path else ""
