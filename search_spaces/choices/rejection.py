"""Rejection sampling: draws that are repeated until one is accepted."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

MAX_REJECTIONS = 10_000  # what is rarer is refused: nobody waits for it


def first_accepted(draw: Callable[[], T], accepts: Callable[[T], bool]) -> T | None:
    """The first draw that is accepted; None where none of MAX_REJECTIONS is."""
    for _ in range(MAX_REJECTIONS):
        drawn = draw()
        if accepts(drawn):
            return drawn
    return None
