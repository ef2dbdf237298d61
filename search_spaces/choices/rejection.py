"""Rejection sampling: draws that are repeated until one is accepted."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

MAX_REJECTIONS = 10_000  # draws, after which the search for an accepted one is given up


def first_accepted(draw: Callable[[], T], accepts: Callable[[T], bool]) -> T | None:
    """The first draw that is accepted; None if none of MAX_REJECTIONS is."""
    for _ in range(MAX_REJECTIONS):
        drawn = draw()
        if accepts(drawn):
            return drawn
    return None
