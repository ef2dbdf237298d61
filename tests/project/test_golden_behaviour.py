"""Searches, screens, help and exports are as they were recorded (how to record: golden_records.py)."""

import pytest
from golden_records import (
    FOLDER,
    RECORDS,
    SCREENS,
    changes,
    path_of,
    recorded,
    resumed_search,
    shown_record,
    whole_search,
)
from golden_searches import SEARCHES

from nas.strategies.table import STRATEGIES

# Of these the state is a model that is fitted step by step: live and from the log are two ways to it.
FITTED = ("policy_gradient", "predictor")


def test_every_strategy_has_a_recorded_search() -> None:
    strategies = [each.changes["strategy"] for each in SEARCHES.values()]
    names = {each if isinstance(each, str) else each["name"] for each in strategies}
    assert names == STRATEGIES.keys()


@pytest.mark.parametrize("name", FITTED)
def test_a_search_asks_and_ends_as_recorded(name: str) -> None:
    assert changes(f"searches/{name}", whole_search(name)) == ""


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_killed_half_way_and_resumed_ends_as_recorded(name: str) -> None:
    assert changes(f"searches/{name}", resumed_search(name)) == ""


@pytest.mark.parametrize("name", SCREENS)
def test_what_commands_print_and_export_is_as_recorded(name: str) -> None:
    assert changes(name, shown_record(name)) == ""


def test_every_golden_file_is_the_record_of_a_search_or_screen() -> None:
    assert sorted(FOLDER.rglob("*.json*")) == sorted(map(path_of, RECORDS))


def test_a_change_is_named_by_file_trial_and_value() -> None:
    record = recorded("searches/tpe")
    trial = record[5]
    trial["reward"] += 1e-6
    said = changes("searches/tpe", [*record[:5], trial, *record[6:-1]])
    assert f"trial {trial['trial_id']}.reward: {trial['reward']!r} found, " in said
    assert f"{len(record) - 1} found, {len(record)} expected" in said
    screens = recorded("help")
    screens["nas --help"] = [*screens["nas --help"], "another line"]
    assert "+another line" in changes("help", screens)


def test_a_difference_of_last_digits_is_none() -> None:
    record = recorded("searches/tpe")
    record[5]["reward"] *= 1 + 1e-13
    assert changes("searches/tpe", record) == ""
