"""Search strategies: their protocols, and one that was chosen with its settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from pydantic import ConfigDict

from search_spaces.choices.choice_space import Choices, ChoiceSpace
from search_spaces.settings.strict import STRICT
from trials.trial import Ask, Outcome

# For settings given by Python too: text and true are no numbers, and 2.0 is no whole number.
SETTINGS: ConfigDict = {**STRICT, "strict": True}


class Strategy(Protocol):
    """Proposes choices; sees a ChoiceSpace and outcomes, nothing else.

    A search calls `ask`, writes the ask down, and feeds it back by `asked`; when the trial has ended it
    writes the row down and calls `told`, or `withdrawn` if it crashed for good. These three are the only
    changes of state, are fed with recorded rows in recorded order, live and on resume alike, and so rebuild a
    strategy exactly. `ask` changes nothing, and draws from a generator made anew of (seed, trial id). Asks
    may be in flight together, and be told in any order.
    """

    def ask(self, trial_id: int) -> Ask:
        """A proposal for this trial."""
        ...

    def asked(self, ask: Ask) -> None:
        """Observes an ask that was recorded, and whose trial will run. It may be another strategy's."""
        ...

    def told(self, ask: Ask, outcome: Outcome) -> None:
        """Observes how the ask's trial ended."""
        ...

    def withdrawn(self, ask: Ask) -> None:
        """Observes that the ask's trial crashed for good, which says nothing about its architecture."""
        ...


class AvoidsAsked:
    """Memory of a strategy that avoids the choices of recorded asks, but for those that crashed for good."""

    _seen: set[Choices]

    def asked(self, ask: Ask) -> None:
        """Remembers the choices, which are avoided from now on."""
        self._seen.add(ask.choices)

    def withdrawn(self, ask: Ask) -> None:
        """Forgets the choices, which may be proposed again."""
        self._seen.discard(ask.choices)


class StrategyKind(Strategy, Protocol):
    """A strategy as the table of strategies holds it: how it is built, and from which settings.

    `Settings` is a frozen dataclass (pydantic's, with `config=SETTINGS`) whose fields all have defaults.
    """

    Settings: ClassVar[type[Any]]

    def __init__(self, space: ChoiceSpace, seed: int, *, epochs: int, settings: Any) -> None: ...


@dataclass(frozen=True)
class StrategyConfig:
    """A strategy by its name, with its settings.

    Attributes:
        settings: of the class `kind.Settings`.
        written: name and settings as a user gave them, without those left at their defaults; written into a
            run's search.yaml.
    """

    WRITTEN_AS: ClassVar[str] = "a strategy's name, or a mapping of its name and its settings"

    name: str
    kind: type[StrategyKind]
    settings: Any
    written: Mapping[str, Any]

    def build(self, space: ChoiceSpace, *, seed: int, epochs: int) -> Strategy:
        """The strategy, for trials of up to `epochs` epochs.

        Raises:
            ValueError: its settings do not suit so many epochs.
        """
        return self.kind(space, seed, epochs=epochs, settings=self.settings)


@runtime_checkable
class Recommends(Protocol):
    """A strategy with an opinion of its own on the best architecture, beyond the luckiest result."""

    def leaders(self, count: int) -> list[Choices]:
        """The `count` told ones expected to be the best, the best first; fewer while it knows fewer.

        Changes nothing.
        """
        ...


@runtime_checkable
class Promotes(Protocol):
    """A strategy whose trials differ in epochs: short ones, of which the best go on."""

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs that trials may have, ascending; new ones have the first."""
        ...

    def continuable(self) -> frozenset[int]:
        """The trials whose training may soon go on, and whose checkpoints are kept."""
        ...


@runtime_checkable
class PromotingSettings(Protocol):
    """Settings of a strategy that promotes."""

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """The epochs that trials may have where a whole training has `epochs`, ascending.

        Raises:
            ValueError: there is no rung below the whole training.
        """
        ...


def may_promote(kind: type[StrategyKind]) -> bool:
    """True if strategies of this kind have trials that differ in epochs."""
    return issubclass(kind.Settings, PromotingSettings)


def promoting(strategy: Strategy) -> Promotes | None:
    """The strategy, if its trials differ in epochs."""
    return strategy if isinstance(strategy, Promotes) else None
