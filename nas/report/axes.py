"""Frame of a picture: scales, round ticks, labels with units."""

import math
from dataclasses import dataclass

import numpy as np

from nas.report.markup import Markup, join, tag

WIDTH, HEIGHT = 440.0, 300.0  # of a picture; it is drawn as wide as the page lets it
LEFT, RIGHT, TOP, BOTTOM = 56.0, 14.0, 26.0, 46.0
CHARACTER = 6.8  # mean width of one, at the size of the labels
GAP = 8.0  # between a point and the word beside it


@dataclass(frozen=True)
class Scale:
    """Scale of an axis, from values to pixels."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False
    whole: bool = False  # of things that are counted: ticks at whole numbers

    def __call__(self, value: float) -> float:
        low, high = self._inner(self.low), self._inner(self.high)
        return self.start + (self._inner(value) - low) / (high - low) * (self.end - self.start)

    def _inner(self, value: float) -> float:
        return math.log(value) if self.logarithmic else value

    def ticks(self) -> list[float]:
        """Round values within the scale, about five."""
        if not self.logarithmic or self.high / self.low < 3:
            return _round_ticks(self.low, self.high, least=1.0 if self.whole else 0.0)
        # Powers of ten and 1, 2, 5 (or 1, 3) times them, as long as there are no more than seven.
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for steps in ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,)):
            found = [m * 10.0**p for p in powers for m in steps]
            found = [tick for tick in found if self.low <= tick <= self.high]
            if len(found) <= 7:
                return found
        return found[:: len(found) // 6 + 1]


def _round_ticks(low: float, high: float, *, least: float) -> list[float]:
    # The smallest of 1, 2, 2.5, 5 and 10 times a power of ten that gives no more than five steps.
    step = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = next(step * m for m in (1, 2, 2.5, 5, 10) if (high - low) / (step * m) <= 5.5)
    # Of counted things, a whole number; the first tick is its first multiple within the scale.
    step = max(step, least) if step < 2 or not least else float(round(step))
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def scale_of(values: np.ndarray, start: float, end: float, *, logarithmic: bool = False) -> Scale:
    """A scale that holds all finite values with some room."""
    values = values[np.isfinite(values) & ((values > 0) | (not logarithmic))]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    if logarithmic:
        low, high = low or 1e-3, high or 1.0
        room = max((high / low) ** 0.05, 1.02)
        return Scale(low / room, high * room, start, end, True)
    room = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
    return Scale(low - room, high + room, start, end)


def x_scale(values: np.ndarray, *, logarithmic: bool = False, left: float = LEFT) -> Scale:
    """The horizontal scale of a picture."""
    return scale_of(values, left, WIDTH - RIGHT, logarithmic=logarithmic)


def y_scale(values: np.ndarray) -> Scale:
    """The vertical scale of a picture."""
    return scale_of(values, HEIGHT - BOTTOM, TOP, logarithmic=False)


def picture(*content: Markup, label: str, height: float = HEIGHT) -> Markup:
    """An SVG that is as wide as its place; `label` is what is read out."""
    box = f"0 0 {WIDTH:.0f} {height:.0f}"
    return tag("svg", *content, viewBox=box, role="img", aria_label=label)


def x_axis(scale: Scale, label: str, *, height: float = HEIGHT, left: float = LEFT) -> Markup:
    """Ticks, their values and the label below."""
    bottom = height - BOTTOM
    ticks = scale.ticks()
    marks = [tag("line", class_="axis", x1=left, x2=WIDTH - RIGHT, y1=bottom, y2=bottom)]
    for tick, text in zip(ticks, tick_texts(ticks), strict=True):
        x = scale(tick)
        marks.append(tag("line", class_="grid", x1=x, x2=x, y1=TOP, y2=bottom))
        marks.append(tag("text", text, x=x, y=bottom + 17, text_anchor="middle"))
    middle = (left + WIDTH - RIGHT) / 2
    marks.append(tag("text", label, class_="label", x=middle, y=height - 8, text_anchor="middle"))
    return join(marks)


def y_axis(scale: Scale, label: str) -> Markup:
    """Ticks, their values, and the label above the axis, where it reads without turning the head."""
    ticks = scale.ticks()
    marks = [tag("text", label, class_="label", x=2.0, y=13.0)]
    for tick, text in zip(ticks, tick_texts(ticks), strict=True):
        y = scale(tick)
        marks.append(tag("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y))
        marks.append(tag("text", text, x=LEFT - 6, y=y + 4.5, text_anchor="end"))
    return join(marks)


def tick_texts(ticks: list[float]) -> list[str]:
    """Values with as many digits as tell them apart."""
    for digits in range(8):
        texts = [f"{tick:,.{digits}f}" for tick in ticks]
        close = all(math.isclose(round(tick, digits), tick, rel_tol=1e-6, abs_tol=1e-9) for tick in ticks)
        if close and len(set(texts)) == len(texts):
            return texts
    return [f"{tick:g}" for tick in ticks]


def label_at(text: str, x: float, y: float, *, class_: str) -> Markup:
    """A word beside a point, on the side where it fits."""
    fits = x + GAP + CHARACTER * len(text) < WIDTH - 4
    x, anchor = (x + GAP, "start") if fits else (x - GAP, "end")
    return tag("text", text, class_=f"direct {class_}", x=x, y=y, text_anchor=anchor)


def key(*marks: tuple[str, str], at: float) -> Markup:
    """Names of marks, each a class and its words, on the line of the axis's label from x = `at` on."""
    parts = []
    for class_, words in marks:
        parts.append(tag("circle", class_=class_, cx=at + 6, cy=9.0, r=4.5))
        parts.append(tag("text", words, class_="label", x=at + 16, y=13.5))
        at += 34 + 7.2 * len(words)
    return join(parts)
