"""JSON that others wrote: every text is a value or a ValueError."""

import json

import pytest

from search_spaces.settings.json_text import DEEPEST_JSON, json_value


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 100_000, "[" * 500 + "]" * 500,
     "[" * (DEEPEST_JSON + 2) + "]" * (DEEPEST_JSON + 2), "", "{", "1" * 5000, b"\xff\xfe"],
)  # fmt: skip
def test_texts_that_are_none_or_nested_too_deeply_are_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"nested more|Expecting|Exceeds|utf-8"):
        json_value(text)


@pytest.mark.parametrize("value", [None, 1, "a", [], {}, {"a": [1, {"b": []}]}, [[0, "x"]] * 3])
def test_values_are_read_as_they_are(value: object) -> None:
    assert json_value(json.dumps(value)) == value
    assert json_value("[" * DEEPEST_JSON + "]" * DEEPEST_JSON)
