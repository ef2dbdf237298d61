"""Trials that cannot beat the best, or take too much memory, end before they train."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from clocks import number_of_weights, passes_that_take
from conftest import MakeConfig
from formula_searches import repeats_of
from small_networks import SMALL, WIDE
from small_trials import make_trial, run_digits_trial

from nas.search.search import SearchResult, search
from trials.executors.in_process import in_process
from trials.log.rows import outcome_of
from trials.reward import REWARDABLE
from trials.trial import StopBelow

pytestmark = pytest.mark.usefixtures("as_a_worker")

TERMS = {"step_time_ratio": -0.07, "params": -0.05}


def test_a_trial_that_cannot_reach_the_reward_is_stopped_before_it_trains() -> None:
    stop = StopBelow(reward=0.99, max_accuracy=0.9, terms=TERMS)
    with passes_that_take(lambda network, images: 1e-9 * images * number_of_weights(network)):
        ends, result = run_digits_trial(replace(make_trial(architecture=WIDE), stop_below=stop))
    assert (result.status, ends) == ("stopped", [])
    measured = result.measurement
    assert measured is not None
    bound = 0.9 * math.prod(REWARDABLE[name](measured) ** power for name, power in TERMS.items())
    assert bound < 0.99
    assert measured.accuracy == 0.9


def test_trial_that_may_still_reach_the_reward_trains_as_without_a_bound() -> None:
    plain, _ = run_digits_trial(make_trial(architecture=SMALL))
    stop = StopBelow(reward=0.5, max_accuracy=1.0, terms=TERMS)
    ends, result = run_digits_trial(replace(make_trial(architecture=SMALL), stop_below=stop))
    assert result.status == "completed"
    assert [end.train_loss for end in ends] == [end.train_loss for end in plain]


@pytest.fixture
def stopping_search(make_config: MakeConfig, tmp_path: Path) -> SearchResult:
    config = make_config(
        data={"source": "digits", "fraction": 0.3},
        recipe={"epochs": 1, "batch_size": 64, "resolution": 16, "flip": False},
        strategy="random_search",
        baseline=2,
        budget={"trials": 6},
        reward={"params": -3.0},  # only the smallest so far can be the best
        bound_stopping={"max_accuracy": 0.3},
        finalists={"count": 1, "repeats": 1},
    )
    return search(config, tmp_path / "run", execute=in_process(device="cpu"))


def test_stopped_trials_count_have_their_bound_as_reward_and_never_win(stopping_search: SearchResult) -> None:
    stopped = [row for row in stopping_search.rows if row["status"] == "stopped"]
    assert stopped
    assert len(stopping_search.rows) == 6 + len(repeats_of(stopping_search))
    for row in stopped:
        assert row["purpose"] == "search"  # baseline and repeats are never stopped
        assert row["accuracy"] is None
        bound = 0.3 * (row["params"] / row["reference_params"]) ** -3.0
        assert row["reward"] == pytest.approx(bound)
        outcome = outcome_of(row)
        assert outcome is not None
        assert outcome.reward == pytest.approx(bound)
        assert stopping_search.best is not None
        assert bound < stopping_search.best["reward"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells")
def test_a_step_that_takes_more_memory_than_the_limit_is_not_trained() -> None:
    _, result = run_digits_trial(replace(make_trial(), limits={"step_memory_bytes": 1000}))
    assert (result.status, result.failure_kind) == ("infeasible", "over_limit")
    assert "step_memory_bytes" in (result.error or "")
    _, result = run_digits_trial(replace(make_trial(), limits={"step_memory_bytes": 10**11}))
    assert result.status == "completed"
