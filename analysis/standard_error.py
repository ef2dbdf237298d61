"""The sampling error of a share, as of an accuracy by its images; without scipy, for all who train."""

from typing import TypeVar

import numpy as np

A = TypeVar("A", float, np.ndarray)


def standard_error(share: A, count: A) -> A:
    """The standard error of a share (0-1) of `count` cases, by their number alone."""
    error: A = (share * (1 - share) / count) ** 0.5
    return error
