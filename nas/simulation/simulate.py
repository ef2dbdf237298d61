"""A search in memory and in simulated time: the rules of a real one, thousands of trials in a second."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.trial_rules import COUNTED, own_epochs
from nas.search.config import Budget
from nas.search.instructions import AnswerByCrash, AnswerFrom, Instruction, RecordAsk, Run, Wait
from nas.search.trial_queue import TrialQueue
from nas.strategies.strategy import Promotes, Recommends, Strategy
from nas.strategies.successive_halving import at_epochs
from search_spaces.choices.choice_space import Choices, ChoiceSpace
from trials.executors.simulated import in_simulated_time
from trials.trial import Ask, Outcome

EPOCHS = 1  # of a whole training, where outcomes are known for no other length
ROUNDING = 1e-9  # of sums of shares


@dataclass(frozen=True)
class KnownOutcomes:
    """Outcomes of trials that need no training: from a table, from a model or from a formula.

    Attributes:
        space: the choices for which they are known.
        outcome: what a search is told of a trial, by its choices, the search's seed and the trial's number:
            an architecture trained with another seed gives another accuracy.
        seconds: how long a trial takes.
        expected_reward: the reward of an architecture beyond the luck of one training.
        best: the highest expected reward of all; None where nobody knows it.
        epochs: of the whole training whose outcome that is.
        curve: accuracies after each of these epochs, of the same arguments; the last is the outcome's. None
            where only whole trainings are known.
    """

    space: ChoiceSpace
    outcome: Callable[[Choices, int, int], Outcome]
    seconds: Callable[[Choices], float]
    expected_reward: Callable[[Choices], float]
    best: float | None = None
    epochs: int = EPOCHS
    curve: Callable[[Choices, int, int], Sequence[float]] | None = None


@dataclass(frozen=True)
class SimulatedEnd:
    """End of an ask, with its time; `share`: how much of a whole training it took."""

    ask: Ask
    outcome: Outcome
    now: float  # simulated seconds since the search began
    recommended: Choices | None = None  # by the strategy, now, if it has an opinion; only of ends that count
    share: float = 1.0

    @property
    def counts(self) -> bool:
        """True if the budget counts it."""
        return self.outcome.status in COUNTED


def simulate_search(
    known: KnownOutcomes, strategy: Strategy, *, seed: int, trials: int, workers: int = 1, baseline: int = 0
) -> list[SimulatedEnd]:
    """Ends of the asks of a search of so many trials, in the order in which they were told.

    The strategy is one of `known.epochs` epochs. The search's rules hold: `baseline` uniform trials first, an
    architecture that was trained is answered from its earlier trial and not counted, and so on. It ends early
    where the space runs out. Of a strategy with shorter trials the search takes as many epochs as so many
    whole trainings.
    """
    memory = _Memory(known, seed)
    promoting = strategy if isinstance(strategy, Promotes) else None
    assert known.curve is not None or promoting is None, "outcomes are known of whole trainings alone"
    queue = TrialQueue(
        known.space,
        strategy,
        seed=seed,
        epochs=known.epochs,
        baseline=baseline,
        budget=Budget(epochs=trials * known.epochs) if promoting else Budget(trials=trials),
        first_epochs=promoting.rungs[0] if promoting else None,
    )

    def tasks() -> Iterator[Ask | None]:
        """Asks to run; None while only waiting helps."""
        for instruction in queue.instructions():
            memory.carry_out(instruction)
            if isinstance(instruction, (Run, Wait)):
                yield instruction.ask if isinstance(instruction, Run) else None

    def run(ask: Ask, slot: int, now: float) -> tuple[float, tuple[Ask, Outcome, float]]:
        seconds = known.seconds(ask.choices) * memory.share(ask)
        return seconds, (ask, memory.outcome(ask, with_curve=promoting is not None), now + seconds)

    for ask, outcome, memory.now in in_simulated_time(tasks(), run, workers=workers):
        place = len(memory.ends)
        memory.add(ask, outcome)
        queue.ended(ask.trial_id, outcome, seconds=0.0)
        for answer in queue.due():
            memory.carry_out(answer)
        if isinstance(strategy, Recommends):
            leader = next(iter(strategy.leaders(1)), None)
            memory.ends[place] = replace(memory.ends[place], recommended=leader)
    return memory.ends


class _Memory:
    """Asks and outcomes of a search that nobody will continue."""

    def __init__(self, known: KnownOutcomes, seed: int) -> None:
        self.ends: list[SimulatedEnd] = []
        self.now = 0.0
        self._known, self._seed = known, seed
        self._outcomes: dict[int, Outcome] = {}
        self._begun_by: dict[int, int] = {}  # by shorter trial: the one that began its training,
        self._lengths: dict[int, int] = {}  # and its epochs

    def add(self, ask: Ask, outcome: Outcome) -> None:
        self.ends.append(SimulatedEnd(ask, outcome, self.now, share=self.share(ask)))
        self._outcomes[ask.trial_id] = outcome

    def carry_out(self, instruction: Instruction) -> None:
        """Takes in new asks and answers; what is to be run is somebody else's."""
        match instruction:
            case RecordAsk(ask):
                self._note_training(ask)
            case AnswerFrom(ask, earlier):
                self.add(ask, replace(self._outcomes[earlier], status="cached"))
            case AnswerByCrash():
                raise AssertionError("a known outcome is no crash")

    def _note_training(self, ask: Ask) -> None:
        """Notes whose training a trial continues and how far it goes, for trials that continue it."""
        if ask.epochs != self._known.epochs:
            self._begun_by[ask.trial_id] = self._first(ask)
            self._lengths[ask.trial_id] = ask.epochs

    def _first(self, ask: Ask) -> int:
        """The trial that began this training, whose luck it has."""
        return ask.trial_id if ask.continues is None else self._begun_by[ask.continues]

    def share(self, ask: Ask) -> float:
        """Share of a whole training that a trial takes, without what the trial that it continues has done."""
        return own_epochs(ask.epochs, ask.continues, self._lengths) / self._known.epochs

    def outcome(self, ask: Ask, *, with_curve: bool) -> Outcome:
        arguments = (ask.choices, self._seed, self._first(ask))
        whole = self._known.outcome(*arguments)
        if not with_curve or self._known.curve is None:
            assert ask.epochs == self._known.epochs, "outcomes are known of whole trainings alone"
            return whole
        curve = tuple(self._known.curve(*arguments))
        found = at_epochs(replace(whole, curve=curve), ask.epochs, of=self._known.epochs)
        assert found is not None, "a curve has an accuracy for every epoch"
        return found


# ---------------------------------------------------------------------- many seeds


@dataclass(frozen=True)
class StrategyCurves:
    """Searches of one strategy: the expected reward of what it would recommend after each counted trial."""

    expected_rewards: np.ndarray  # (seeds, trials)
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
    expected, seconds, cached = [], [], []
    for seed in seeds:
        ends = simulate_search(
            known, build(seed), seed=seed, trials=trials, workers=workers, baseline=baseline
        )
        expected.append(recommended(ends, known.expected_reward, trials=trials))
        seconds.append(ends[-1].now)
        cached.append(sum(not end.counts for end in ends))
        on_end()
    return StrategyCurves(np.array(expected), np.array(seconds), np.array(cached))


def recommended(
    ends: Sequence[SimulatedEnd], expected_reward: Callable[[Choices], float], *, trials: int
) -> list[float]:
    """Expected rewards of the architecture that would be recommended, after each counted trial.

    It is the strategy's own recommendation, or the one with the best reward that was told. Of shorter trials
    several count as one, as far as they took no longer than a whole training. Where the space ran out before,
    the last value stays.
    """
    curve: list[float] = []
    best = -np.inf
    spent = worth = now = 0.0
    for end in (end for end in ends if end.counts):
        spent += end.share
        while len(curve) + 1 < spent - ROUNDING:  # of what was over before this one
            curve.append(now)
        if end.outcome.reward > best:
            best, worth = end.outcome.reward, expected_reward(end.ask.choices)
        now = worth if end.recommended is None else expected_reward(end.recommended)
    return [*curve, *[now] * (trials - len(curve))][:trials]
