"""Intervals of figures: of shares, of means and their differences, and of any figure by resampling."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy  # its parts load at their first use

NORMAL = 1.959964  # 97.5 % quantile: half of a 95 % interval, in standard errors
RESAMPLES = 1_000
ALIKE = 1e-6  # values that are closer than this do not vary: shares of equal counts of images, rounding


class Estimate(NamedTuple):
    """A figure and its 95 % interval; NaN where too little is known."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure and its 95 % interval as they are printed; None where nothing tells how the figure varies."""

    value: float
    low: float | None
    high: float | None


def interval_of(found: Estimate) -> Interval:
    """An estimate as it is printed: with both ends of its interval, or none."""
    value, low, high = map(float, found)
    known = math.isfinite(low) and math.isfinite(high)
    return Interval(value=value, low=low if known else None, high=high if known else None)


def share(hits: float, count: float) -> Estimate:
    """A share of `count` cases, with Wilson's interval (also right for 0 and for all)."""
    if not count:
        return Estimate(np.nan, np.nan, np.nan)
    p, z2 = hits / count, NORMAL**2
    centre = (p + z2 / (2 * count)) / (1 + z2 / count)
    half = NORMAL * np.sqrt(p * (1 - p) / count + z2 / (4 * count**2)) / (1 + z2 / count)
    return Estimate(p, max(centre - half, 0.0), min(centre + half, 1.0))


def student_t(degrees: float) -> float:
    """The 97.5 % quantile of Student's distribution: half of a 95 % interval, in standard errors."""
    return float(scipy.special.stdtrit(degrees, 0.975))


def half_width(values: np.ndarray) -> np.ndarray:
    """Half of Student's interval of the mean over the first axis; NaN of fewer than two values."""
    count = len(values)
    if count < 2:
        return np.full(values.shape[1:], np.nan)
    return np.asarray(student_t(count - 1) * values.std(axis=0, ddof=1) / np.sqrt(count))


def vary(values: np.ndarray) -> bool:
    """True if values tell how they vary: several, which are not all alike but for rounding."""
    return len(values) > 1 and bool(np.ptp(values) >= ALIKE)


def mean(values: np.ndarray) -> Estimate:
    """A mean with Student's interval."""
    value, half = float(values.mean()) if len(values) else np.nan, float(half_width(values))
    return Estimate(value, value - half, value + half)


def difference(first: np.ndarray, second: np.ndarray) -> Estimate:
    """Difference of two means, with Welch's interval; NaN where nothing tells how values vary."""
    if not _are_testable(first, second):
        value = float(first.mean() - second.mean()) if len(first) and len(second) else np.nan
        return Estimate(value, np.nan, np.nan)
    value, error, freedom = _welch(first, second)
    half = student_t(freedom) * error
    return Estimate(value, value - half, value + half)


def welch_p_value(first: np.ndarray, second: np.ndarray) -> float | None:
    """Probability of means so far apart, or farther, where there is no difference (Welch's test, two-sided).

    None where nothing tells how values vary: fewer than two on a side, or all alike on both.
    """
    if not _are_testable(first, second):
        return None
    value, error, freedom = _welch(first, second)
    return float(2 * scipy.special.stdtr(freedom, -abs(value) / error))


def _are_testable(first: np.ndarray, second: np.ndarray) -> bool:
    """True if both sides have two values at least, and one of them tells how values vary."""
    return min(len(first), len(second)) > 1 and (vary(first) or vary(second))


def _welch(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """Difference of two means, its standard error, and the degrees of freedom of Welch and Satterthwaite."""
    parts = [float(x.var(ddof=1)) / len(x) for x in (first, second)]
    total = sum(parts)  # variance of the difference
    value = float(first.mean() - second.mean())
    # The degrees of freedom of two variances that may differ.
    freedom = total**2 / sum(p**2 / (len(x) - 1) for p, x in zip(parts, (first, second), strict=True))
    return value, math.sqrt(total), freedom


def resampled(figure: Callable[[np.ndarray], float], count: int) -> Estimate:
    """A figure of cases given by their indices, with the percentile interval of the bootstrap.

    With fewer than 5 cases the interval is NaN: a bootstrap of so few says too little.
    """
    value = figure(np.arange(count))
    if count < 5:
        return Estimate(value, np.nan, np.nan)
    # As many cases are drawn with replacement, again and again; the spread of the figure over these draws
    # stands for its spread over samples.
    rng = np.random.default_rng(0)
    draws = np.array([figure(rng.integers(0, count, count)) for _ in range(RESAMPLES)])
    draws = draws[np.isfinite(draws)]  # a draw may hold one case alone, which has no order
    if not len(draws):
        return Estimate(value, np.nan, np.nan)
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(value, float(low), float(high))
