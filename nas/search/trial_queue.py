"""The queue of a search's trials: what is asked next, what runs, what is answered, what counts."""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from analysis.trial_rules import RETRAINED, BestArchitectures, Spending, counts, own_epochs
from nas.search.config import Budget, Finalists
from nas.search.exhaustion import UnseenDraws
from nas.search.in_flight import InFlight
from nas.search.instructions import Answer, AnswerByCrash, AnswerFrom, Instruction, RecordAsk, Wait
from nas.strategies.strategy import Recommends, Strategy
from search_spaces.choices.choice_space import Choices, ChoiceSpace
from trials.trial import Ask, Outcome, Purpose

STOP_BELOW = "stop_below"  # in an ask's aux: the best reward when it was made, which its trial has to beat


class TrialQueue:
    """Owns what is in flight; yields instructions, and is told what became of them (see `Queue`).

    All of its state follows from recorded asks and ends, so replaying these rebuilds it. Of choices that
    build the same network one is canonical, and asks are canonical: equal asks are equal networks, trained
    for as long. An ask whose equal was trained before is answered from that trial; one whose equal is in
    flight waits for it. Only trainings of the same length compare, so the best are sought among the longest.

    Attributes:
        in_flight: asks that run or wait to be run.
    """

    def __init__(
        self,
        space: ChoiceSpace,
        strategy: Strategy,
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
        self.in_flight = InFlight()
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
        self._waiting_for_equal: dict[int, list[Ask]] = {}  # by the trial whose result they wait for
        self._due: deque[Answer] = deque()  # follows from what has ended, and is not yet written down
        self._trained: dict[tuple[Choices, int], tuple[int, Outcome]] = {}  # by (choices, epochs): the first
        self._epochs_of: dict[int, int] = {}  # by trial; only where they may differ
        self._best = BestArchitectures()
        self._retrained: Counter[Choices] = Counter()  # finalists: trainings that were asked for
        self._unanswered: Counter[tuple[Choices, int]] = Counter()  # asks under way, by what they train
        self._next_trial_id = self._warmed = 0
        self._untold: dict[int, tuple[Ask, Outcome | None]] = {}  # ended; the strategy learns it in its turn
        self._next_told = 0
        self._spent = Spending()
        self._baselines = 0
        self._unseen = UnseenDraws()

    @property
    def exhausted(self) -> bool:
        """True if the space ran out before the budget."""
        return self._unseen.exhausted

    # ------------------------------------------------------------------ from the record, also live

    def warm(self, ask: Ask, outcome: Outcome) -> None:
        """A result of an earlier run: the strategy learns it, and nothing else counts it."""
        self._warmed += 1
        self.strategy.asked(ask)
        self.strategy.told(ask, outcome)

    def asked(self, ask: Ask) -> None:
        """A recorded ask; on replay, `resume` follows for those without a recorded end."""
        self._next_trial_id = max(self._next_trial_id, ask.trial_id + 1)
        if ask.purpose in RETRAINED:
            self._retrained[ask.choices] += 1
            return
        key = (ask.choices, ask.epochs)
        is_duplicate = key in self._trained or self._unanswered[key] > 0
        self._unseen.asked(is_duplicate=is_duplicate)
        self._unanswered[key] += 1
        if self._first_epochs != self._epochs:
            self._epochs_of[ask.trial_id] = ask.epochs
        self._teach_up_to(ask.trial_id)
        self.strategy.asked(ask)

    def told(self, ask: Ask, outcome: Outcome | None, *, seconds: float) -> None:
        """A recorded end; no outcome if the trial crashed. `seconds`: how long it held its device."""
        if ask.purpose in RETRAINED:  # of no strategy's doing
            return
        self._unanswered[ask.choices, ask.epochs] -= 1
        self._untold[ask.trial_id] = (ask, outcome)
        # A trial whose row was lost, and which ran again, may end when its turn has passed.
        if self._lag is None or ask.trial_id < self._next_told:
            self._teach(ask.trial_id)
        if outcome is None or not counts(outcome.status, ask.purpose):
            return
        self._trained.setdefault((ask.choices, ask.epochs), (ask.trial_id, outcome))
        self._spent.add(own_epochs=self._own_epochs(ask), seconds=seconds)
        self._baselines += ask.purpose == "baseline"
        if outcome.status == "completed":
            self._best.add(ask.choices, epochs=ask.epochs, reward=outcome.reward)

    def _own_epochs(self, ask: Ask) -> int:
        return own_epochs(ask.epochs, ask.continues, self._epochs_of)

    def _teach(self, trial_id: int) -> None:
        ask, outcome = self._untold.pop(trial_id)
        if outcome is None:
            self.strategy.withdrawn(ask)
        else:
            self.strategy.told(ask, outcome)
            if outcome.status == "completed":
                self._best_told = max(outcome.reward, self._best_told or 0.0)

    def _teach_up_to(self, trial_id: int) -> None:
        """With a fixed lag: tells the strategy the results that ask `trial_id` may depend on, in order."""
        if self._lag is not None:
            while self._next_told <= trial_id - self._lag:
                if self._next_told in self._untold:  # not so of finalists
                    self._teach(self._next_told)
                self._next_told += 1

    def resume(self, ask: Ask, *, attempt: int) -> None:
        """A recorded ask without a recorded end, which an earlier driver left in flight."""
        self._place(ask, attempt=attempt)

    def _place(self, ask: Ask, *, attempt: int = 1) -> None:
        """A recorded ask is run, waits for an equal one in flight, or is answered by an earlier trial."""
        # A finalist is trained for the sake of its own seed.
        if ask.purpose in RETRAINED:
            self.in_flight.add(ask, attempt=attempt)
            return
        key = (ask.choices, ask.epochs)
        if key in self._trained:
            self._due.append(AnswerFrom(ask, self._trained[key][0]))
            return
        for other in self._searching():
            if (other.choices, other.epochs) == key:
                self._waiting_for_equal.setdefault(other.trial_id, []).append(ask)
                return
        self.in_flight.add(ask, attempt=attempt)

    # ------------------------------------------------------------------ live

    def instructions(self) -> Iterator[Instruction]:
        """See Queue: answers that are due, then asks that wait to be run, then new asks within the budget."""
        while True:
            yield from self.due()
            ask: Ask | None = None
            if run := self.in_flight.next_run():
                yield run
            elif self._budget_is_spent() or self.exhausted:
                # Finalists are chosen when all that was searched has ended.
                ask = None if self._searching() else self._next_of_finalists()
                if ask is None and not self.in_flight:
                    return
                if ask is None:
                    yield Wait()
            elif self._must_wait():
                yield Wait()
            else:
                ask = self._next_ask()
            if ask is not None:  # it is recorded before anything follows from it
                yield RecordAsk(ask)
                self.asked(ask)
                self._place(ask)

    def due(self) -> Iterator[Answer]:
        """See Queue. The strategy learns of an answer once its row is written."""
        while self._due:
            answer = self._due.popleft()
            yield answer
            outcome = None
            if isinstance(answer, AnswerFrom):
                _, earlier = self._trained[answer.ask.choices, answer.ask.epochs]
                outcome = replace(earlier, status="cached")
            self.told(answer.ask, outcome, seconds=0.0)

    def _searching(self) -> list[Ask]:
        """Asks in flight, finalists' trainings left out."""
        return [ask for ask in self.in_flight if ask.purpose not in RETRAINED]

    def _must_wait(self) -> bool:
        """True if, with a fixed lag, a result is missing that the next ask may depend on."""
        if self._lag is None:
            return False
        waiting = [*self._searching(), *(ask for asks in self._waiting_for_equal.values() for ask in asks)]
        return any(ask.trial_id <= self._next_trial_id - self._lag for ask in waiting)

    def _next_of_finalists(self) -> Ask | None:
        """One more training of the finalist that has had the fewest; None if all have had theirs."""
        if self._finalists is None:
            return None
        best = self._best_architectures(self._finalists.count)
        chosen = min(best, key=self._retrained.__getitem__, default=None)
        if chosen is None or self._retrained[chosen] >= self._finalists.repeats:
            return None
        epochs = self._finalists.epochs or self._epochs
        purpose: Purpose = "finalist" if epochs > self._epochs else "repeat"
        return Ask(trial_id=self._next_trial_id, choices=chosen, epochs=epochs, purpose=purpose)

    def recommended(self, count: int) -> list[Choices]:
        """The best completed ones by what the strategy expects of them; nothing where it expects nothing."""
        if not isinstance(self.strategy, Recommends):
            return []
        leaders = self.strategy.leaders(count + self._warmed)  # of an earlier run's there are no rows
        return [choices for choices in leaders if choices in self._best][:count]

    def _best_architectures(self, count: int) -> list[Choices]:
        """The best completed architectures, by the strategy's expectation if it has one, else by reward."""
        return self.recommended(count) or self._best.ranked()[:count]

    def attempt_of(self, trial_id: int) -> int | None:
        """See Queue."""
        return self.in_flight.attempt_of(trial_id)

    def run_again(self, trial_id: int) -> int:
        """See Queue."""
        return self.in_flight.run_again(trial_id)

    def ended(self, trial_id: int, outcome: Outcome | None, *, seconds: float) -> None:
        """See Queue: as `told`; and asks that waited for this trial are answered, or run themselves."""
        self.told(self.in_flight.remove(trial_id), outcome, seconds=seconds)
        for waiting in self._waiting_for_equal.pop(trial_id, []):
            if outcome is None:
                self._due.append(AnswerByCrash(waiting, trial_id))
            else:
                self._place(waiting)

    def _budget_is_spent(self) -> bool:
        """True if nothing new fits in beside what is under way, whose device-seconds nobody knows yet."""
        under_way = Spending()
        for ask in self._searching():
            under_way.add(own_epochs=self._own_epochs(ask))
        unit = self._budget.unit
        return self._spent.of(unit) + under_way.of(unit) >= self._budget.total

    def _next_ask(self) -> Ask | None:
        """The next ask, in canonical choices; None if the space has run out."""
        self._teach_up_to(self._next_trial_id)
        ask = self._propose(self._next_trial_id)
        if ask is None:
            return None
        ask = replace(ask, choices=self.space.canonical(ask.choices))
        if self._bound_stopping and ask.purpose == "search" and self._best_told is not None:
            ask = replace(ask, aux={**ask.aux, STOP_BELOW: self._best_told})
        return ask

    def _propose(self, trial_id: int) -> Ask | None:
        if trial_id < len(self._initial):
            return Ask(trial_id=trial_id, choices=self._initial[trial_id], epochs=self._epochs)
        if self._baseline_asked() < self._baseline:
            return self._uniform_unseen(trial_id, "baseline")
        if self._unseen.replace_proposals:
            return self._uniform_unseen(trial_id, "search")
        return self.strategy.ask(trial_id)

    def _baseline_asked(self) -> int:
        return self._baselines + sum(ask.purpose == "baseline" for ask in self.in_flight)

    def _uniform_unseen(self, trial_id: int, purpose: Purpose) -> Ask | None:
        """A uniform draw among architectures that were not trained and are not in flight; None if all are."""
        running = {ask.choices for ask in self.in_flight}
        choices = self._unseen.draw(
            self.space,
            np.random.default_rng([self._seed, trial_id]),
            is_seen=lambda choices: choices in running or self._is_trained(choices),
        )
        if choices is None:
            return None
        epochs = self._epochs if purpose == "baseline" else self._first_epochs
        return Ask(trial_id=trial_id, choices=choices, epochs=epochs, purpose=purpose)

    def _is_trained(self, choices: Choices) -> bool:
        return (choices, self._epochs) in self._trained or (choices, self._first_epochs) in self._trained
