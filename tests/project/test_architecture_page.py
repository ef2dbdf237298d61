"""The way of a trial in docs/architecture.md: calls stand in the files named, and numbers add up."""

import re

import pytest
from places import REPOSITORY

PAGE = (REPOSITORY / "docs" / "architecture.md").read_text()
ROWS = re.findall(r"^\| (\d+(?:, \d+)*) \| (.*) \| `([^`]+\.py)` \|$", PAGE, re.MULTILINE)


def calls(words: str) -> list[str]:
    """The functions that a cell of the table names, each without its class."""
    return [name.rsplit(".", 1)[-1] for name in re.findall(r"`([A-Za-z_.]+)`", words) if "/" not in name]


@pytest.mark.parametrize(("words", "file"), [row[1:] for row in ROWS], ids=[row[2] for row in ROWS])
def test_each_call_of_the_way_of_a_trial_is_in_its_file(words: str, file: str) -> None:
    text = (REPOSITORY / file).read_text()
    missing = [name for name in calls(words) if not re.search(rf"\b{name}\b", text)]
    assert missing == []


def test_the_way_of_a_trial_is_as_long_as_is_said() -> None:
    numbers = [int(number) for row in ROWS for number in row[0].split(", ")]
    found = re.search(r"(\d+) calls through (\d+) files", PAGE)
    assert found is not None
    assert numbers == list(range(1, int(found[1]) + 1))
    assert len({file for _, _, file in ROWS}) == int(found[2])


def test_every_file_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"`((?:nas|trials|search_spaces|analysis|tests)/[\w/]+\.py)`", PAGE))
    assert named
    assert [name for name in sorted(named) if not (REPOSITORY / name).is_file()] == []
