"""Proposals of strategies: valid choices of the space are taken, everything else is refused."""

from pathlib import Path
from typing import Any

import pytest

from nas.search.strategy_guard import GuardedStrategy, SearchFailedError
from nas.strategies.random_search import RandomSearch, RandomSearchSettings
from search_spaces.choices.choice_space import ChoiceSpace
from trials.trial import Ask

SPACE = ChoiceSpace((2, 3))


def proposing(choices: Any) -> GuardedStrategy:
    """A strategy that proposes these."""

    class Fixed(RandomSearch):
        def ask(self, trial_id: int) -> Ask:
            return Ask(trial_id=trial_id, choices=choices, epochs=1)

    strategy = Fixed(SPACE, 0, epochs=1, settings=RandomSearchSettings())
    return GuardedStrategy(strategy, SPACE, name="fixed", run=Path("runs/one"))


@pytest.mark.parametrize("choices", [(1,), (1, 2, 0), (1, 3), (-1, 0), (1.0, 2)])
def test_choices_that_the_space_does_not_have_stop_the_search(choices: Any) -> None:
    assert not SPACE.contains(choices)
    with pytest.raises(SearchFailedError, match=r"fixed, proposing trial 7: .* no choices of this space"):
        proposing(choices).ask(7)


def test_valid_choices_are_passed_on() -> None:
    assert SPACE.contains((1, 2))
    assert proposing((1, 2)).ask(7).choices == (1, 2)
