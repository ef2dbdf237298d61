"""Importances of decisions: the one that decides the reward is first, and they are the same each time."""

import numpy as np
import pytest

from nas.results import optuna_importance
from nas.results.optuna_importance import FEWEST_TRIALS, decision_importances
from search_spaces.choices.space import SearchSpace
from search_spaces.settings.yaml_files import read_yaml


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return read_yaml(SearchSpace, "cifar")


def drawn(space: SearchSpace, count: int) -> list[tuple[int, ...]]:
    rng = np.random.default_rng(3)
    return [tuple(int(rng.integers(0, size)) for size in space.num_options) for _ in range(count)]


def test_the_decision_that_decides_the_reward_is_the_most_important(space: SearchSpace) -> None:
    choices = drawn(space, 400)
    rng = np.random.default_rng(0)
    for decision in (0, 7):
        rewards = np.array([own[decision] for own in choices]) + rng.normal(0, 0.05, len(choices))
        found = decision_importances(choices, rewards, space)
        assert found is not None
        assert found.trials == 400
        first = found.decisions[0]
        expected = space.decisions[decision]
        assert (first.stage - 1, first.field) == (expected.stage, expected.field)
        assert first.share > 0.5
        assert sum(each.share for each in found.decisions) == pytest.approx(1.0)
        assert len(found.decisions) == len(space.decisions)


def test_of_many_trials_the_same_are_drawn_each_time(
    space: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optuna_importance, "MOST_TRIALS", 100)
    choices = drawn(space, 300)
    rewards = np.array([sum(own) for own in choices], dtype=float)
    one, other = (decision_importances(choices, rewards, space) for _ in range(2))
    assert one == other
    assert one is not None
    assert one.trials == 100


def test_nothing_is_said_of_few_trials_or_where_nothing_is_important(space: SearchSpace) -> None:
    choices = drawn(space, FEWEST_TRIALS)
    rewards = np.arange(FEWEST_TRIALS, dtype=float)
    assert decision_importances(choices, rewards, space) is not None
    rewards[0] = np.nan
    assert decision_importances(choices, rewards, space) is None
    assert decision_importances(choices, np.ones(FEWEST_TRIALS), space) is None


def test_many_equal_rewards_do_not_hide_the_decision_of_the_best(space: SearchSpace) -> None:
    choices = drawn(space, 200)
    last = space.num_options[0] - 1
    best = [i for i, own in enumerate(choices) if own[0] == last][:19]
    rewards = np.zeros(200)
    rewards[best] = np.arange(1, len(best) + 1)
    found = decision_importances(choices, rewards, space)
    assert found is not None
    assert (found.decisions[0].stage - 1, found.decisions[0].field) == (
        space.decisions[0].stage,
        space.decisions[0].field,
    )
