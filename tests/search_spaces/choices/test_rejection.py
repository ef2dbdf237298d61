"""Draws are repeated until one is accepted, and not for ever."""

from collections.abc import Iterator
from itertools import count

from search_spaces.choices.rejection import MAX_REJECTIONS, first_accepted


def test_the_first_accepted_draw_is_returned_and_nothing_is_drawn_after_it() -> None:
    numbers: Iterator[int] = count()
    assert first_accepted(lambda: next(numbers), lambda number: number % 7 == 6) == 6
    assert next(numbers) == 7


def test_rejection_sampling_gives_up_after_its_most_draws() -> None:
    numbers: Iterator[int] = count()
    assert first_accepted(lambda: next(numbers), lambda number: number >= MAX_REJECTIONS) is None
    assert next(numbers) == MAX_REJECTIONS
