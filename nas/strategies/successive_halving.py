"""Asynchronous successive halving (ASHA; Li et al. 2018, arXiv 1810.05934): the best short trials go on."""

from bisect import bisect_left, insort
from dataclasses import replace
from typing import ClassVar

from pydantic import Field, InstanceOf, field_validator
from pydantic.dataclasses import dataclass

from nas.strategies.evolution import Evolution, EvolutionSettings
from nas.strategies.strategy import SETTINGS, PromotingSettings, StrategyConfig
from search_spaces.choices.choice_space import Choices, ChoiceSpace
from trials.reward import reward_at
from trials.trial import Ask, Outcome

SLACK = 16  # trials of a rung beyond its promoted share whose checkpoints are kept, since ranks move

Entry = tuple[float, int]  # (minus the reward, trial): sorted, the best reward is first, then the earliest
EVOLUTION = StrategyConfig(
    name="evolution", kind=Evolution, settings=EvolutionSettings(), written={"name": "evolution"}
)


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class SuccessiveHalvingSettings:
    """The strategy beneath, and the lengths of trials.

    Attributes:
        over: the strategy beneath.
        eta: one of `eta` trials of a rung is promoted, to a rung of `eta` times as many epochs.
        min_epochs: the least epochs of the first rung.
    """

    over: InstanceOf[StrategyConfig] = EVOLUTION
    eta: int = Field(default=3, ge=2)
    min_epochs: int = Field(default=2, ge=1)

    @field_validator("over")
    @classmethod
    def _does_not_promote(cls, over: StrategyConfig) -> StrategyConfig:
        if isinstance(over.settings, PromotingSettings):
            raise ValueError(f"{over.name} given; another strategy expected beneath it")
        return over

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """The epochs of each rung, ascending, where a whole training has `epochs`.

        Raises:
            ValueError: there is no rung below the whole training.
        """
        found = rungs_of(epochs, eta=self.eta, min_epochs=self.min_epochs)
        if len(found) < 2:
            raise ValueError(
                f"min_epochs: {self.min_epochs} given; with {epochs} epochs and eta {self.eta} there is no "
                f"shorter rung: at most {max(round(epochs / self.eta), 1)} expected, and recipe.epochs of 2 "
                "or more"
            )
        return found


class SuccessiveHalving:
    """New trials are short; of each rung the best 1 / `eta` go on to the next, up to the recipe's epochs.

    An ask promotes the best trial that is among its rung's best 1 / `eta` and was not promoted yet, of the
    highest rung that has one; else it is a new proposal of the strategy beneath. That strategy is told of all
    trials as they were at the first rung, since accuracies after different epochs do not compare. Trials that
    were longer from the start (the baseline) count in every rung by their curves.
    """

    Settings: ClassVar[type[SuccessiveHalvingSettings]] = SuccessiveHalvingSettings

    def __init__(
        self, space: ChoiceSpace, seed: int, *, epochs: int, settings: SuccessiveHalvingSettings
    ) -> None:
        self.rungs = settings.rungs(epochs)
        self._eta = settings.eta
        self._beneath = settings.over.build(space, seed=seed, epochs=self.rungs[0])
        # By rung, both sorted: entries of all trials known there, and of those that may yet be promoted.
        self._standings: list[list[Entry]] = [[] for _ in self.rungs]
        self._waiting: list[list[Entry]] = [[] for _ in self.rungs]
        self._choices: dict[int, Choices] = {}  # by trial
        self._place: dict[int, tuple[int, Entry]] = {}  # by waiting trial: its rung and its entry there

    # ------------------------------------------------------------------ asking

    def ask(self, trial_id: int) -> Ask:
        """A promotion, or a proposal of the strategy beneath."""
        # Promotion, the highest rung first: its best waiting trial, if that is within the promoted share.
        for rung in range(len(self.rungs) - 2, -1, -1):
            if self._waiting[rung] and self._rank(rung, self._waiting[rung][0]) < self._promoted_share(rung):
                _, continued = self._waiting[rung][0]
                return Ask(
                    trial_id=trial_id,
                    choices=self._choices[continued],
                    epochs=self.rungs[rung + 1],
                    continues=continued,
                )
        # Nobody is to be promoted: a new trial, of the first rung's epochs.
        return self._beneath.ask(trial_id)

    def _rank(self, rung: int, entry: Entry) -> int:
        """Number of trials of the rung that are better."""
        return bisect_left(self._standings[rung], entry)

    def _promoted_share(self, rung: int) -> int:
        """Number of the rung's best that are promoted."""
        return len(self._standings[rung]) // self._eta

    def leaders(self, count: int) -> list[Choices]:
        """The best of the highest rung that a trial has reached; rewards of one rung alone compare."""
        reached = next(filter(None, reversed(self._standings)), [])
        found: dict[Choices, None] = {}
        for _, trial_id in reached:
            if len(found) == count:
                break
            found[self._choices[trial_id]] = None
        return list(found)

    def continuable(self) -> frozenset[int]:
        """The trials whose training may soon go on, and whose checkpoints are kept."""
        # The promoted share of each rung, and SLACK trials more.
        found = set()
        for rung, waiting in enumerate(self._waiting[:-1]):
            most = self._promoted_share(rung) + SLACK
            found |= {entry[1] for entry in waiting[:most] if self._rank(rung, entry) < most}
        return frozenset(found)

    # ------------------------------------------------------------------ what is recorded

    def asked(self, ask: Ask) -> None:
        """Takes a promoted trial off the waiting list, however its trial will end; passes on others."""
        if ask.continues is None:
            self._beneath.asked(ask)
            return
        if ask.continues in self._place:
            rung, entry = self._place.pop(ask.continues)
            waiting = self._waiting[rung]
            del waiting[bisect_left(waiting, entry)]

    def told(self, ask: Ask, outcome: Outcome) -> None:
        """Enters a completed trial in the rungs that it reached; tells the strategy beneath of the first."""
        if outcome.status == "completed":
            self._enter(ask, outcome)
        # The strategy beneath knows a continued trial already.
        if ask.continues is not None:
            return
        first = self._at_first_rung(ask, outcome)
        if first is None:
            self._beneath.withdrawn(ask)  # a longer training, whose accuracy after the first rung is unknown
        else:
            self._beneath.told(ask, first)

    def withdrawn(self, ask: Ask) -> None:
        """Tells the strategy beneath of a new trial; a promotion is not tried again."""
        if ask.continues is None:
            self._beneath.withdrawn(ask)

    def _enter(self, ask: Ask, outcome: Outcome) -> None:
        """Adds a completed trial to every rung whose epochs it has reached."""
        for rung, epochs in enumerate(self.rungs):
            at = at_epochs(outcome, epochs, of=ask.epochs)
            is_last = epochs == ask.epochs
            # A promoted trial is in the lower rungs already, as the trial that it continues.
            if at is None or (ask.continues is not None and not is_last):
                continue
            # All count in the rung's standings, by which trials are ranked.
            entry = (-at.reward, ask.trial_id)
            insort(self._standings[rung], entry)
            self._choices[ask.trial_id] = ask.choices
            # Who ends here waits for its promotion. Trials of an earlier run (numbers below 0) have no
            # checkpoint to go on from.
            if is_last and rung < len(self.rungs) - 1 and ask.trial_id >= 0:
                insort(self._waiting[rung], entry)
                self._place[ask.trial_id] = (rung, entry)

    def _at_first_rung(self, ask: Ask, outcome: Outcome) -> Outcome | None:
        """The outcome after the first rung's epochs; None where a longer training's beginning is unknown."""
        if outcome.status == "infeasible":
            return outcome
        return at_epochs(outcome, self.rungs[0], of=ask.epochs)


def rungs_of(epochs: int, *, eta: int, min_epochs: int) -> tuple[int, ...]:
    """The epochs of each rung, ascending: `epochs`, and `eta` times fewer for each rung below."""
    found = [epochs]
    while (shorter := round(epochs / eta ** len(found))) >= max(min_epochs, 1) and shorter < found[-1]:
        found.append(shorter)
    return tuple(reversed(found))


def at_epochs(outcome: Outcome, epochs: int, *, of: int) -> Outcome | None:
    """The outcome of a training of `of` epochs after its first `epochs`; None where that is unknown."""
    if epochs == of:
        return outcome
    if epochs > of or len(outcome.curve) < epochs or not outcome.accuracy:
        return None
    accuracy = outcome.curve[epochs - 1]
    return replace(
        outcome,
        accuracy=accuracy,
        reward=reward_at(outcome.reward, accuracy=outcome.accuracy, other=accuracy),
        curve=outcome.curve[:epochs],
    )
