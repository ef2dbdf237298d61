"""Numbers in words; counts and durations are tested where the screen of a search shows them."""

import re

import pytest
from places import SOURCES

from analysis.numbers import counted, milliseconds, percent, precise_duration, probability, three_figures


@pytest.mark.parametrize(
    ("value", "text"), [(0.012345, "0.0123"), (1.0, "1"), (12.345, "12.3"), (99.95, "100"), (1234.5, "1,234")]
)
def test_values_and_milliseconds_are_shown_with_three_figures(value: float, text: str) -> None:
    assert three_figures(value) == text
    assert milliseconds(value / 1000) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 trials"), (1, "1 trial"), (2000, "2,000 trials")])
def test_a_counted_noun_is_plural_but_for_one(number: int, text: str) -> None:
    assert counted(number, "trial") == text


def test_a_share_is_shown_in_percent() -> None:
    assert (percent(0.125), percent(0.1234, digits=1)) == ("12 %", "12.3 %")
    assert (percent(0.125, signed=True), percent(-0.05, digits=1, signed=True)) == ("+12 %", "-5.0 %")


def test_no_share_is_written_in_another_way() -> None:
    """Python's own form ("12%") beside `percent` ("12 %") would stand on the same screen."""
    assert SOURCES
    assert [path.name for path in SOURCES if re.search(r"\d%\}", path.read_text())] == []


@pytest.mark.parametrize(("value", "text"), [(0.5, "50 %"), (0.99, "99 %"), (0.9999, "more than 99 %")])
def test_a_probability_is_never_100_percent(value: float, text: str) -> None:
    assert probability(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0123, "0.012 s"),
        (1.44, "1.4 s"),
        (45.0, "45 s"),
        (100_000.0, "27 h 47 min"),
        (200_000.0, "2.31 days"),
    ],
)
def test_short_durations_have_two_figures_and_long_ones_days(seconds: float, text: str) -> None:
    assert precise_duration(seconds) == text
