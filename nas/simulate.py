"""A search in memory and in simulated time: the rules of a real one, thousands of trials in a second."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nas.config import Budget
from nas.rules import COUNTED, Rules
from nas.strategy import Recommends, Strategy
from search_spaces.choice_space import Choices, ChoiceSpace
from trials.executors.simulated import in_simulated_time
from trials.trial import Ask, Outcome

EPOCHS = 1  # of every trial: outcomes are known for one length of training


@dataclass(frozen=True)
class KnownOutcomes:
    """What trials would give, whether from a table, from a model or from a formula.

    Attributes:
        space: the choices for which they are known.
        outcome: what a search is told of a trial, by its choices, the search's seed and the trial's number:
            an architecture trained with another seed gives another accuracy.
        seconds: how long a trial takes.
        judged: what an architecture's reward is worth beyond the luck of one training.
        best: the highest judged reward of all; None where nobody knows it.
    """

    space: ChoiceSpace
    outcome: Callable[[Choices, int, int], Outcome]
    seconds: Callable[[Choices], float]
    judged: Callable[[Choices], float]
    best: float | None = None


@dataclass(frozen=True)
class SimulatedEnd:
    """How an ask ended, and when."""

    ask: Ask
    outcome: Outcome
    now: float  # simulated seconds since the search began
    recommended: Choices | None = None  # by the strategy, now, if it has an opinion; only of ends that count

    @property
    def counts(self) -> bool:
        """Whether the budget counts it."""
        return self.outcome.status in COUNTED


def simulate_search(
    known: KnownOutcomes, strategy: Strategy, *, seed: int, trials: int, workers: int = 1, baseline: int = 0
) -> list[SimulatedEnd]:
    """All ends of a search of so many trials, in the order in which they were told.

    The strategy is one of EPOCHS epochs. The search's rules hold: `baseline` uniform trials first, an
    architecture that was trained is answered from its earlier trial and not counted, and so on. It ends early
    where the space runs out.
    """
    record = _Memory()
    rules = Rules(
        known.space,
        strategy,
        record,
        seed=seed,
        epochs=EPOCHS,
        baseline=baseline,
        budget=Budget(trials=trials),
    )

    def run(ask: Ask, slot: int, now: float) -> tuple[float, tuple[Ask, Outcome, float]]:
        assert ask.epochs == EPOCHS, "outcomes are known for one length of training"
        seconds = known.seconds(ask.choices)
        return seconds, (ask, known.outcome(ask.choices, seed, ask.trial_id), now + seconds)

    for ask, outcome, record.now in in_simulated_time(rules.asks(), run, workers=workers):
        place = len(record.ends)
        record.add(ask, outcome)
        rules.ended(ask.trial_id, outcome, seconds=0.0)
        if isinstance(strategy, Recommends):
            record.ends[place] = replace(record.ends[place], recommended=strategy.recommend())
    return record.ends


class _Memory:
    """The record of a search that nobody will continue."""

    def __init__(self) -> None:
        self.ends: list[SimulatedEnd] = []
        self.now = 0.0
        self._outcomes: dict[int, Outcome] = {}

    def add(self, ask: Ask, outcome: Outcome) -> None:
        self.ends.append(SimulatedEnd(ask, outcome, self.now))
        self._outcomes[ask.trial_id] = outcome

    def ask(self, ask: Ask) -> None:
        """Nothing is kept of an ask before it ends."""

    def cached(self, ask: Ask, earlier: int) -> Outcome:
        outcome = replace(self._outcomes[earlier], status="cached")
        self.add(ask, outcome)
        return outcome

    def crashed(self, ask: Ask, equal: int) -> None:
        raise AssertionError("a known outcome is no crash")


# ---------------------------------------------------------------------- many seeds


@dataclass(frozen=True)
class StrategyCurves:
    """Of one strategy: the judged reward of what it would recommend, after each counted trial."""

    judged: np.ndarray  # (seeds, trials)
    seconds: np.ndarray  # (seeds), simulated, of the whole search
    cached: np.ndarray  # (seeds), asks answered by an earlier trial


def simulate_seeds(
    known: KnownOutcomes,
    build: Callable[[int], Strategy],
    *,
    seeds: Iterable[int],
    trials: int,
    workers: int,
    baseline: int = 0,
    on_end: Callable[[], None] = lambda: None,
) -> StrategyCurves:
    """A strategy, built anew for each seed, in as many searches."""
    judged, seconds, cached = [], [], []
    for seed in seeds:
        ends = simulate_search(
            known, build(seed), seed=seed, trials=trials, workers=workers, baseline=baseline
        )
        judged.append(recommended(ends, known.judged, trials=trials))
        seconds.append(ends[-1].now)
        cached.append(sum(not end.counts for end in ends))
        on_end()
    return StrategyCurves(np.array(judged), np.array(seconds), np.array(cached))


def recommended(
    ends: Sequence[SimulatedEnd], judged: Callable[[Choices], float], *, trials: int
) -> list[float]:
    """After each counted trial, the judged reward of the architecture that would be recommended.

    It is the strategy's own recommendation, or the one with the best reward that was told. Where the space
    ran out before, the last value stays.
    """
    curve: list[float] = []
    best = -np.inf
    for end in ends:
        if end.counts:
            if end.outcome.reward > best:
                best, worth = end.outcome.reward, judged(end.ask.choices)
            curve.append(worth if end.recommended is None else judged(end.recommended))
    return curve + curve[-1:] * (trials - len(curve))
