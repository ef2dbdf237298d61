"""The rules of a search: what is asked next, what runs, what counts; whoever runs and records the trials."""

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from analysis.rungs import COUNTED, SEARCHED
from nas.search.config import Budget, Finalists
from nas.strategies.strategy import Recommends, Strategy
from search_spaces.choices.choice_space import Choices, ChoiceSpace
from trials.trial import Ask, Outcome, Purpose

MAX_REPEATS = 50  # proposals in a row that were trained before; then a uniform unseen one is taken
UNSEEN_DRAWS = 2_000  # uniform draws that must all have been seen before a space counts as exhausted
STOP_BELOW = "stop_below"  # in an ask's aux: the best reward when it was made, which its trial has to beat
DERIVE_TRIAL_SEED = 1  # keeps a trial's own seed apart from the randomness of its ask


def is_counted(row: Mapping[str, Any]) -> bool:
    """Whether a row counts in the budget."""
    return row["status"] in COUNTED and row["purpose"] in SEARCHED


class Record(Protocol):
    """Writes down what no trial of its own will tell, before anything follows from it."""

    def ask(self, ask: Ask) -> None:
        """A new ask."""
        ...

    def cached(self, ask: Ask, earlier: int) -> Outcome:
        """This ask is answered by an earlier trial of the same architecture; what the strategy is told."""
        ...

    def crashed(self, ask: Ask, equal: int) -> None:
        """This ask has waited for an equal trial, which has crashed for good."""
        ...


class TrialQueue:
    """The state between two events; all of it follows from recorded asks and ends, so replay rebuilds it.

    Of choices that build the same network one is canonical, and asks are canonical: equal asks are equal
    networks, trained for as long. Only trainings of the same length compare, so the best are sought among the
    longest.

    Attributes:
        flights: asks that run or wait to be run, by trial id.
        exhausted: the space ran out before the budget.
    """

    def __init__(
        self,
        space: ChoiceSpace,
        strategy: Strategy,
        record: Record,
        *,
        seed: int,
        epochs: int,
        baseline: int,
        budget: Budget,
        initial: Sequence[Choices] = (),
        fixed_lag: int | None = None,
        finalists: Finalists | None = None,
        bound_stopping: bool = False,
        first_epochs: int | None = None,
    ) -> None:
        """`epochs`: of a whole training; `first_epochs`: of a strategy's new trials, if these are shorter."""
        self.space = space
        self.strategy = strategy
        self.flights: dict[int, Ask] = {}
        self.exhausted = False
        self._record = record
        self._seed = seed
        self._epochs = epochs
        self._first_epochs = first_epochs or epochs
        self._baseline = baseline
        self._budget = budget
        self._initial = [space.canonical(choices) for choices in initial]
        self._lag = fixed_lag
        self._finalists = finalists
        self._bound_stopping = bound_stopping
        self._best_told: float | None = None
        self._twins: dict[int, list[Ask]] = {}  # by the trial whose result they wait for
        self._to_run: deque[Ask] = deque()
        self._trained: dict[tuple[Choices, int], int] = {}  # first counted trial by (choices, epochs)
        self._epochs_of: dict[int, int] = {}  # by trial; only where they may differ
        self._rewards: dict[Choices, tuple[int, float]] = {}  # (epochs, reward), the best of each completed
        self._repeated: Counter[Choices] = Counter()  # repeats that were asked for
        self._next_trial_id = self._warmed = 0
        self._untold: dict[int, tuple[Ask, Outcome | None]] = {}  # ended; the strategy learns it in its turn
        self._next_told = 0
        self._spent_trials = self._spent_epochs = self._baselines = self._repeats = 0
        self._spent_seconds = 0.0

    # ------------------------------------------------------------------ from the record, also live

    def warm(self, ask: Ask, outcome: Outcome) -> None:
        """What an earlier run found: the strategy learns it, and nothing else counts it."""
        self._warmed += 1
        self.strategy.asked(ask)
        self.strategy.told(ask, outcome)

    def asked(self, ask: Ask) -> None:
        """A recorded ask; on replay, `place` follows for those without a recorded end."""
        self._next_trial_id = max(self._next_trial_id, ask.trial_id + 1)
        if ask.purpose == "repeat":
            self._repeated[ask.choices] += 1
            return
        if self._first_epochs != self._epochs:
            self._epochs_of[ask.trial_id] = ask.epochs
        self._teach_up_to(ask.trial_id)
        self.strategy.asked(ask)

    def told(self, ask: Ask, outcome: Outcome | None, *, seconds: float) -> None:
        """A recorded end; no outcome if the trial crashed. `seconds`: how long it held its device."""
        if ask.purpose == "repeat":  # of no strategy's doing
            return
        self._untold[ask.trial_id] = (ask, outcome)
        if self._lag is None or ask.trial_id < self._next_told:  # its turn was while its row was lost
            self._teach(ask.trial_id)
        if outcome is None or outcome.status not in COUNTED:
            return
        self._trained.setdefault((ask.choices, ask.epochs), ask.trial_id)
        self._spent_trials += 1
        self._spent_epochs += self._own_epochs(ask)
        self._spent_seconds += seconds
        self._baselines += ask.purpose == "baseline"
        if outcome.status == "completed":
            found = (ask.epochs, outcome.reward)
            self._rewards[ask.choices] = max(found, self._rewards.get(ask.choices, found))

    def _own_epochs(self, ask: Ask) -> int:
        """Without those of the trial that it continues."""
        return ask.epochs - (0 if ask.continues is None else self._epochs_of.get(ask.continues, 0))

    def _teach(self, trial_id: int) -> None:
        ask, outcome = self._untold.pop(trial_id)
        if outcome is None:
            self.strategy.withdrawn(ask)
        else:
            self.strategy.told(ask, outcome)
            if outcome.status == "completed":
                self._best_told = max(outcome.reward, self._best_told or 0.0)

    def _teach_up_to(self, trial_id: int) -> None:
        """With a fixed lag: what ask `trial_id` may depend on, in the order of the asks."""
        if self._lag is not None:
            while self._next_told <= trial_id - self._lag:
                if self._next_told in self._untold:  # not so of repeats
                    self._teach(self._next_told)
                self._next_told += 1

    def place(self, ask: Ask) -> None:
        """A recorded ask runs, waits for an equal one in flight, or is answered by an earlier trial."""
        key = (ask.choices, ask.epochs)
        if ask.purpose == "repeat":
            self.flights[ask.trial_id] = ask
            self._to_run.append(ask)
            return
        if key in self._trained:
            self._repeats += 1
            self.told(ask, self._record.cached(ask, self._trained[key]), seconds=0.0)
            return
        for other in self.flights.values():
            if (other.choices, other.epochs) == key and other.purpose != "repeat":
                self._repeats += 1
                self._twins.setdefault(other.trial_id, []).append(ask)
                return
        self._repeats = 0
        self.flights[ask.trial_id] = ask
        self._to_run.append(ask)

    # ------------------------------------------------------------------ live

    def asks(self) -> Iterator[Ask | None]:
        """What to run, as long as the budget lasts; None while only waiting helps."""
        while True:
            if self._to_run:
                yield self._to_run.popleft()
            elif self._budget_is_spent() or self.exhausted:
                if not self._search_flights() and (repeat := self._next_repeat()):
                    self._take(repeat)
                elif not self.flights:
                    return
                else:
                    yield None
            elif self._must_wait():
                yield None
            else:
                self._ask()

    def _search_flights(self) -> list[Ask]:
        return [ask for ask in self.flights.values() if ask.purpose != "repeat"]

    def _must_wait(self) -> bool:
        """With a fixed lag: whether a result is still missing that the next ask may depend on."""
        if self._lag is None:
            return False
        waiting = [*self._search_flights(), *(twin for twins in self._twins.values() for twin in twins)]
        return any(ask.trial_id <= self._next_trial_id - self._lag for ask in waiting)

    def _next_repeat(self) -> Ask | None:
        """One more training of the finalist that has had the fewest; None if all have had theirs."""
        if self._finalists is None:
            return None
        best = self._best_architectures(self._finalists.count)
        chosen = min(best, key=self._repeated.__getitem__, default=None)
        if chosen is None or self._repeated[chosen] >= self._finalists.repeats:
            return None
        return Ask(trial_id=self._next_trial_id, choices=chosen, epochs=self._epochs, purpose="repeat")

    def recommended(self, count: int) -> list[Choices]:
        """The best completed ones by what the strategy expects of them; nothing where it expects nothing."""
        if not isinstance(self.strategy, Recommends):
            return []
        leaders = self.strategy.leaders(count + self._warmed)  # of an earlier run's there are no rows
        return [choices for choices in leaders if choices in self._rewards][:count]

    def _best_architectures(self, count: int) -> list[Choices]:
        """By what the strategy expects of them, if it expects anything; else by their rewards."""
        if recommended := self.recommended(count):
            return recommended
        longest = max((epochs for epochs, _ in self._rewards.values()), default=0)
        found = [choices for choices, (epochs, _) in self._rewards.items() if epochs == longest]
        return sorted(found, key=lambda choices: (-self._rewards[choices][1], choices))[:count]

    def run_again(self, trial_id: int) -> None:
        """The trial's worker was lost; `asks` yields it once more."""
        self._to_run.append(self.flights[trial_id])

    def ended(self, trial_id: int, outcome: Outcome | None, *, seconds: float) -> None:
        """The recorded end of a trial in flight: as `told`; and whoever waited for it is answered."""
        self.told(self.flights.pop(trial_id), outcome, seconds=seconds)
        for twin in self._twins.pop(trial_id, []):
            if outcome is None:
                self._record.crashed(twin, trial_id)
                self.told(twin, None, seconds=0.0)
            else:
                self.place(twin)

    def _budget_is_spent(self) -> bool:
        budget = self._budget
        if budget.trials is not None:
            return self._spent_trials + len(self._search_flights()) >= budget.trials
        if budget.epochs is not None:
            under_way = sum(map(self._own_epochs, self._search_flights()))
            return self._spent_epochs + under_way >= budget.epochs
        assert budget.device_seconds is not None, "a budget has one of three"
        return self._spent_seconds >= budget.device_seconds

    def _ask(self) -> None:
        """One proposal, recorded before anything follows from it."""
        self._teach_up_to(self._next_trial_id)
        ask = self._propose(self._next_trial_id)
        if ask is None:
            self.exhausted = True
            return
        ask = replace(ask, choices=self.space.canonical(ask.choices))
        if self._bound_stopping and ask.purpose == "search" and self._best_told is not None:
            ask = replace(ask, aux={**ask.aux, STOP_BELOW: self._best_told})
        self._take(ask)

    def _take(self, ask: Ask) -> None:
        self._record.ask(ask)
        self.asked(ask)
        self.place(ask)

    def _propose(self, trial_id: int) -> Ask | None:
        if trial_id < len(self._initial):
            return Ask(trial_id=trial_id, choices=self._initial[trial_id], epochs=self._epochs)
        if self._baseline_asked() < self._baseline:
            return self._uniform_unseen(trial_id, "baseline")
        if self._repeats >= MAX_REPEATS:
            return self._uniform_unseen(trial_id, "search")
        return self.strategy.ask(trial_id)

    def _baseline_asked(self) -> int:
        return self._baselines + sum(ask.purpose == "baseline" for ask in self.flights.values())

    def _uniform_unseen(self, trial_id: int, purpose: Purpose) -> Ask | None:
        """A uniform draw among architectures that were not trained and are not in flight; None if all are."""
        rng = np.random.default_rng([self._seed, trial_id])
        running = {ask.choices for ask in self.flights.values()}
        for _ in range(UNSEEN_DRAWS):
            choices = self.space.sample(rng)
            if choices not in running and not self._is_trained(choices):
                epochs = self._epochs if purpose == "baseline" else self._first_epochs
                return Ask(trial_id=trial_id, choices=choices, epochs=epochs, purpose=purpose)
        return None

    def _is_trained(self, choices: Choices) -> bool:
        return (choices, self._epochs) in self._trained or (choices, self._first_epochs) in self._trained


def trial_seed(seed: int, trial_id: int) -> int:
    """The seed of a trial's weights, data order and augmentation, from the search's seed."""
    words = np.random.SeedSequence([seed, trial_id, DERIVE_TRIAL_SEED]).generate_state(1)
    return int(words[0])
