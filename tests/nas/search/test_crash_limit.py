"""When crashes stop a search, and when they are taken for accidents."""

import pytest
from conftest import MakeConfig

from nas.search.config import SearchConfig
from nas.search.crash_limit import CrashLimit
from trials.trial import Trial, TrialResult

Story = str  # a letter per trial: "." completed, other small letters a bug each, "L" a lost worker


def told(story: Story, config: SearchConfig) -> list[str | None]:
    breaker = CrashLimit()
    found = []
    reference, recipe = config.space.reference, config.recipe
    for i, letter in enumerate(story):
        trial = Trial(trial_id=i, choices=(0,), architecture=reference, recipe=recipe, epochs=1, seed=0)
        if letter == ".":
            result = TrialResult(trial=trial, status="completed")
        elif letter == "L":
            result = TrialResult(trial=trial, status="crashed", failure_kind="worker_lost", error="gone")
        else:
            error = f"Traceback\n  File x, line {i}\nValueError: {letter} at {i}"
            result = TrialResult(trial=trial, status="crashed", failure_kind="bug", error=error)
        found.append(breaker.ended(result))
    return found


@pytest.mark.parametrize(
    ("story", "said"),
    [
        ("...abL", "3 trials in a row crashed"),
        ("a.a.a", "3 of the first 5 trials crashed alike"),
        ("..........a...a...a.a.a", "5 of the last 20 trials crashed alike"),
    ],
)
def test_search_stops_at_crashes_in_a_row_or_of_one_kind(
    story: Story, said: str, make_config: MakeConfig
) -> None:
    *before, last = told(story, make_config())
    assert before == [None] * len(before)
    assert last == said


@pytest.mark.parametrize(
    "story",
    [
        "a.b.c",  # each for another reason
        "L.L.L.L.L.L.L.L.L.L.L",  # a cluster whose nodes come and go
        "a.....a.....a.....a.....a.....a",  # one in six
        "....aa.a",  # three alike, but after the first five
    ],
)
def test_few_or_unlike_crashes_do_not_stop_a_search(story: Story, make_config: MakeConfig) -> None:
    assert told(story, make_config()) == [None] * len(story)
