"""Asks that run or wait to be run, and the attempts at them."""

from collections import deque
from collections.abc import Iterator

from nas.search.instructions import Run
from trials.trial import Ask


class InFlight:
    """Asks in the order in which they came; each is handed out once for every attempt."""

    def __init__(self) -> None:
        self._asks: dict[int, Ask] = {}
        self._attempts: dict[int, int] = {}
        self._to_run: deque[int] = deque()

    def __len__(self) -> int:
        return len(self._asks)

    def __iter__(self) -> Iterator[Ask]:
        return iter(self._asks.values())

    def add(self, ask: Ask, *, attempt: int = 1) -> None:
        """Adds a recorded ask that is to be run."""
        self._asks[ask.trial_id] = ask
        self._attempts[ask.trial_id] = attempt
        self._to_run.append(ask.trial_id)

    def next_run(self) -> Run | None:
        """The next attempt that nobody runs yet; None if all are under way."""
        if not self._to_run:
            return None
        trial_id = self._to_run.popleft()
        return Run(self._asks[trial_id], self._attempts[trial_id])

    def attempt_of(self, trial_id: int) -> int | None:
        """The current attempt at a trial; None if it is not in flight."""
        return self._attempts.get(trial_id)

    def run_again(self, trial_id: int) -> int:
        """Queues one more attempt at a trial, and returns its number."""
        self._attempts[trial_id] += 1
        self._to_run.append(trial_id)
        return self._attempts[trial_id]

    def remove(self, trial_id: int) -> Ask:
        """Removes the ask of a trial that has ended, and returns it."""
        del self._attempts[trial_id]
        return self._asks.pop(trial_id)
