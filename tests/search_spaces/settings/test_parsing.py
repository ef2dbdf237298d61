"""YAML as it is read here: which words are numbers, which lines are refused, and what is said of them."""

from typing import Any

import pytest

from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.parsing import plain_values
from search_spaces.settings.yaml_files import parse_yaml, yaml_text


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("1:30", "1:30"),
        ("2026-11-29", "2026-11-29"),
        ("2026-13-45", "2026-13-45"),
        ("10%", "10%"),
        ("32px", "32px"),
        ("1e-3", 0.001),
        ("1.e5", 100_000.0),
        (".5e3", 500.0),
        ("-5", -5),
        ("+5", 5),
        ("0", 0),
        ("0.50", 0.5),
        ("1_000", 1000),
        ("1_000.5", 1000.5),
        ("1__0", "1__0"),
        ("1_", "1_"),
        ("_1", "_1"),
        ("1_.", "1_."),
        ("0b101", "0b101"),
        ("1:30:30", "1:30:30"),
        ("190:20:30.15", "190:20:30.15"),
        ("5.", 5.0),
        ("0x10", 16),
        ("0o17", 15),
        ("=", "="),
        ("089a", "089a"),
        ("'010'", "010"),
        ("'“x”'", "“x”"),
    ],
)
def test_words_stand_for_what_yaml_1_2_says(word: str, value: Any) -> None:
    read = plain_values(f"a: {word}\n").value["a"]
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    "text",
    ["no", "on", "true", "null", "1:30", "2026-11-29", "010", "089", "1e-3", ".5e3", "0o17", "“x”", "1_000",
     "a\u00a0b", "", "=", "<<", "a：b", "-", "- a", "a: b", "#a", "x #y", "%5", "@x", "*x", "&x", "!x", "'"],
)  # fmt: skip
def test_any_text_is_written_so_that_it_reads_back_as_text(text: str) -> None:
    assert parse_yaml(yaml_text({text or "k": text, "l": [text]}), name="x")["l"] == [text]


TWO_LINES = "a: 1\nb: 2\n"


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("a: 1\nb 2\nc: 3\n", "line 2, column 1", "a ':' is missing in 'b 2'; a key needs one"),
        ("a 1\nb: 2\n", "line 1, column 1", "a ':' is missing in 'a 1'"),
        ("a: 1\nb:2\nc: 3\n", "line 2, column 2", "a space is missing behind this ':'"),
        ("a: 1\nb {c: 2}\n", "line 2, column 1", "a ':' is missing before the '{' in 'b {c'"),
        ("a: b: c\n", "line 1, column 5", "a second ':' in this line"),
        ("a:\n-{b: 1, c: 2}\n", "line 2, column 1", "a space is missing behind this '-'"),
        ("a: {b: 3, 5, c: 4}\n", "line 1, column 11", "'5' stands where a key is expected; a list is"),
        ("a:\n\tb: 1\n", "line 2, column 1", "a tab where a space is expected; indent with spaces"),
        ("a:\t1\n", "line 1, column 3", "a tab where a space is expected; put a space in its place"),
        ("a: {b: 0,25}\n", "line 1, column 10", "a comma within a number ends it; write 0.25"),
        ("a: {b: -0,07}\n", "line 1, column 11", "a comma within a number ends it; write -0.07"),
        ("a: {b: 1,000}\n", "line 1, column 10", "a comma within a number ends it; write 1000"),
        ("a: {b: 1,000,000, c: 2}\n", "line 1, column 10", "a comma within a number ends it; write 1000000"),
        ("a: {b: 0,070}\n", "line 1, column 10", "a comma within a number ends it; write 0.070"),
        ("a: [0,07]\n", "line 1, column 7", "a comma within a number ends it; write 0.07"),
        ("a: [1, 07]\n", "line 1, column 8", "07 has leading zeros"),
        ("a: 1\n  b: 2\n", "line 2, column 4", "this line is indented further than the one above"),
        ("a:\n  b: 1\n c: 2\n", "line 3, column 2", "this line is indented otherwise"),
        (" a: 1\nb: 2\n", "line 2, column 1", "this line is indented otherwise"),
        ("a: 1\n- b\n", "line 2, column 1", "an item ('-') where a 'key: value' line"),
        ("a: - b\n", "line 1, column 4", "an item's '-' begins a line of its own"),
        ("a: [1, 2\nb: 3\n", "line 2, column 2", "',' or ']' expected; is the '[' of line 1 closed?"),
        ("a: {b: 1\n", "line 2, column 1", "',' or '}' expected; is the '{' of line 1 closed?"),
        ("a: [1,, 2]\n", "line 1, column 7", "a value is missing here"),
        (": 1\n", "line 1, column 1", "a key is missing before this ':'"),
        ("a: 'b\nc: 1\n", "line 1, column 4", "the quote that begins here is never closed"),
        ('a: "C:\\images"\n', "line 1, column 8", "a backslash within double quotes"),
        ("a: *.parquet\n", "line 1, column 5", "text that begins with * or & is put in quotes"),
        ("a: %5\n", "line 1, column 4", "text that begins with % is put in quotes"),
        (f"{TWO_LINES}c: \x07\n", "line 3, column 4", "the character U+0007 cannot stand"),
        (f"{TWO_LINES}a: 3\n", "line 3, column 1", "the key 'a' stands here twice (first in line 1)"),
        (f"{TWO_LINES}c: 010\n", "line 3, column 4",
         "010 has leading zeros, which some programs read as octal; "
         "write 10, or '010' if it is text"),
        (f"{TWO_LINES}c: “x”\n", "line 3, column 4", "“ is no quote in YAML; use ' or \""),
        (f"{TWO_LINES}c:\u00a03 x: 4\n", "line 3, column 1", "U+00A0 looks like a space and is none"),
        ("a: 1\nb:\u00a02\nc: 3\n", "line 2, column 3", "U+00A0 looks like a space and is none; use"),
        ("a:\u00a01\nb: 2\n", "line 1, column 3", "U+00A0 looks like a space and is none; use"),
        ("a:\n  b: 1\n\u00a0\u00a0c\nd: 2\n", "line 3, column 1", "U+00A0 looks like a space"),
        ("a：1\n", "line 1, column 1", "'：' is no colon in YAML"),
        (f"{TWO_LINES}c: &x 1\n", "line 3", "aliases (&, *) are not used here; write the value out"),
        (f"{TWO_LINES}c: !!int 1\n", "line 3", "tags (!, !!) are not used here"),
        (f"{TWO_LINES}<<: {{c: 1}}\n", "line 3, column 1", "merge keys (<<) are not used here"),
        (f"{TWO_LINES}---\n{TWO_LINES}", "line 3", "several documents (---); one is expected"),
        (f"{TWO_LINES}1: 2\n", "line 3, column 1", "'1' stands where a key is expected; a list is written"),
        (f"{TWO_LINES}c: 1{'0' * 5000}\n", "line 3, column 4", "a number of 5,001 digits; at most 40"),
        (f"{TWO_LINES}c: {'[' * 99_000}\n", "line 3", "nested more than 32 deep"),
    ],
)  # fmt: skip
def test_wrong_lines_are_refused_by_number_with_what_to_do(text: str, place: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, name="x.yaml")
    message = str(caught.value).replace("not valid YAML: ", "")
    assert message.startswith(f"x.yaml: {place}: {said}")


def test_marks_of_windows_editors_and_comments_are_read_over() -> None:
    text = "\ufeff# comment\r\na: 1\r\n\r\nb:\r\n- {c: 2}\r\n- 3\r\n"
    read = plain_values(text)
    assert read.value == {"a": 1, "b": [{"c": 2}, 3]}
    assert {place: read.lines[place] for place in (("a",), ("b",), ("b", 0, "c"), ("b", 1))} == {
        ("a",): 2,
        ("b",): 4,
        ("b", 0, "c"): 5,
        ("b", 1): 6,
    }


def test_what_a_caller_changes_in_its_values_is_not_read_by_another() -> None:
    text = "a: [1, 2]\n"
    plain_values(text).value["a"].append(3)
    assert plain_values(text).value == {"a": [1, 2]}
