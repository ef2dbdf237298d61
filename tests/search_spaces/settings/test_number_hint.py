"""Texts that stand where a number is expected: the number that is meant, in the message."""

import pytest

from search_spaces.settings.number_hint import number_hint


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("0,07", "; write 0.07"),
        ("0,070", "; write 0.070"),
        ("-0,07", "; write -0.07"),
        ("1,000", "; write 1000"),
        ("12,500,000", "; write 12500000"),
        ("\u22120.07", "; '\u2212' is U+2212 and no minus sign: write -0.07"),
        ("1e\u22125", "; '\u2212' is U+2212 and no minus sign: write 1e-5"),
        ("\u20135", "; '\u2013' is U+2013 and no minus sign: write -5"),
        ("3\u20135", ""),
    ],
)
def test_commas_and_dashes_are_read_as_they_are_meant(text: str, hint: str) -> None:
    assert number_hint(text, is_whole=False) == hint
