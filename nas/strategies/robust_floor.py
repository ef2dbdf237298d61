"""A floor under the rewards that strategies learn from, which clips outliers from below."""

import numpy as np

DEVIATIONS = 3.0  # robust standard deviations below the median
DEVIATION = 1.4826  # of a normal distribution: standard over median absolute deviation


def robust_floor(values: np.ndarray) -> float:
    """Three robust standard deviations below the median; the median itself where more than half are equal."""
    median = float(np.median(values))
    deviation = DEVIATION * float(np.median(np.abs(values - median)))
    return median - DEVIATIONS * deviation
