"""A guard around a strategy: its errors stop the search, with a message that names it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nas.strategies.strategy import Recommends, Strategy
from search_spaces.choices.choice_space import Choices, ChoiceSpace
from trials.log.continuing import continue_command
from trials.trial import Ask, Outcome


class SearchFailedError(RuntimeError):
    """The program or the machine is at fault, not an architecture. The run is resumable."""


class GuardedStrategy:
    """A strategy's methods; what one raises, or proposes that is no proposal, is a SearchFailedError."""

    def __init__(self, strategy: Strategy, space: ChoiceSpace, *, name: str, run: Path) -> None:
        self._strategy = strategy
        self._space = space
        self._name = name
        self._run = run

    def ask(self, trial_id: int) -> Ask:
        """A proposal that can be recorded."""
        with self._guarded(f"proposing trial {trial_id}"):
            ask = self._strategy.ask(trial_id)
            self._check(ask, trial_id)
            return ask

    def asked(self, ask: Ask) -> None:
        """See Strategy."""
        with self._guarded(f"taking in the proposal of trial {ask.trial_id}"):
            self._strategy.asked(ask)

    def told(self, ask: Ask, outcome: Outcome) -> None:
        """See Strategy."""
        with self._guarded(f"learning the end of trial {ask.trial_id}"):
            self._strategy.told(ask, outcome)

    def withdrawn(self, ask: Ask) -> None:
        """See Strategy."""
        with self._guarded(f"learning that trial {ask.trial_id} crashed"):
            self._strategy.withdrawn(ask)

    def leaders(self, count: int) -> list[Choices]:
        """See Recommends; empty if the strategy recommends nothing."""
        if not isinstance(self._strategy, Recommends):
            return []
        with self._guarded("recommending architectures"):
            return self._strategy.leaders(count)

    def _check(self, ask: Ask, trial_id: int) -> None:
        if ask.trial_id != trial_id:
            raise ValueError(f"it answered for trial {ask.trial_id}")
        if not self._space.contains(ask.choices):
            decisions = len(self._space.num_options)
            raise ValueError(f"{ask.choices} are no choices of this space, which has {decisions} decisions")
        json.dumps(dict(ask.aux), allow_nan=False)

    @contextmanager
    def _guarded(self, doing: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise SearchFailedError(
                f"strategy {self._name}, {doing}: {type(error).__name__}: {error}. All trials that ended are "
                f"recorded; when it is mended, this continues:\n"
                f"  {continue_command(self._run)}"
            ) from error
