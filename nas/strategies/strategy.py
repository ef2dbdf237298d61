"""What a search strategy is, and the strategies by name."""

import difflib
import inspect
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from nas.strategies.evolution import Evolution
from nas.strategies.optuna.nsga2 import Nsga2
from nas.strategies.optuna.tpe import Tpe
from nas.strategies.policy_gradient.policy_gradient import PolicyGradient
from nas.strategies.predictor.predictor import Predictor
from nas.strategies.random_search import RandomSearch
from nas.strategies.successive_halving import SuccessiveHalving
from search_spaces.choices.choice_space import Choices, ChoiceSpace
from trials.trial import Ask, Outcome


class Strategy(Protocol):
    """Proposes choices; sees a ChoiceSpace and outcomes, nothing else.

    Built from `(space, seed, *, epochs, **settings)`. A search calls `ask`, writes the ask down, and feeds it
    back by `asked`; when the trial has ended it writes the row down and calls `told`, or `withdrawn` if it
    crashed for good. These three are the only changes of state, are fed with recorded rows in recorded order,
    live and on resume alike, and so rebuild a strategy exactly. `ask` changes nothing, and draws from a
    generator made anew of (seed, trial id). Asks may be in flight together, and be told in any order.
    """

    def ask(self, trial_id: int) -> Ask:
        """A proposal for this trial."""
        ...

    def asked(self, ask: Ask) -> None:
        """This ask has been recorded, and its trial will run. It may not be this strategy's own."""
        ...

    def told(self, ask: Ask, outcome: Outcome) -> None:
        """The ask's trial has ended so."""
        ...

    def withdrawn(self, ask: Ask) -> None:
        """The ask's trial crashed for good, which says nothing about its architecture."""
        ...


@runtime_checkable
class Recommends(Protocol):
    """A strategy that knows better than by the luckiest result which architecture to recommend."""

    def recommend(self) -> Choices | None:
        """The told one that is expected to be the best; None while it has no opinion. Changes nothing."""
        ...

    def leaders(self, count: int) -> list[Choices]:
        """So many told ones, expected to be the best, the best first; fewer while it knows fewer."""
        ...


@runtime_checkable
class Promotes(Protocol):
    """A strategy whose trials differ in epochs: short ones, of which the best go on."""

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs that its trials may have, ascending; new ones have the first."""
        ...

    def continuable(self) -> frozenset[int]:
        """The trials whose training may soon go on: whose checkpoints are worth their place."""
        ...


STRATEGIES: dict[str, Any] = {
    "random_search": RandomSearch,
    "evolution": Evolution,
    "policy_gradient": PolicyGradient,
    "predictor": Predictor,
    "tpe": Tpe,
    "nsga2": Nsga2,
    "successive_halving": SuccessiveHalving,
}
GIVEN = ("space", "seed", "epochs", "build")  # to a strategy, beside its settings


def build_strategy(
    name: str, space: ChoiceSpace, *, seed: int, epochs: int, settings: Mapping[str, Any]
) -> Strategy:
    """A strategy by name.

    Raises:
        ValueError: no such strategy, no such setting, or a value that it refuses.
    """
    if name not in STRATEGIES:
        known = f"strategies are {', '.join(STRATEGIES)}"
        raise ValueError(f"strategy.name: '{name}' is not a strategy; {known}{_suggestion(name, STRATEGIES)}")
    kind = STRATEGIES[name]
    parameters = inspect.signature(kind).parameters
    known_settings = [key for key in parameters if key not in GIVEN]
    for key, value in settings.items():
        if key not in known_settings:
            known = (
                f"its settings are {', '.join(known_settings)}" if known_settings else "it has no settings"
            )
            raise ValueError(
                f"strategy.{key}: {name} has no such setting; {known}{_suggestion(key, known_settings)}"
            )
        expected = parameters[key].annotation
        if expected is int and (isinstance(value, bool) or not isinstance(value, int)):
            raise ValueError(f"strategy.{key}: {value!r} given; a whole number expected")
    builder = {"build": build_strategy} if "build" in parameters else {}  # of one that has another beneath
    try:
        strategy: Strategy = kind(space, seed, epochs=epochs, **builder, **settings)
    except ValueError as error:
        raise ValueError(f"strategy.{error}") from error
    return strategy


def promoting(strategy: Strategy) -> Promotes | None:
    """The strategy, if its trials differ in epochs."""
    return strategy if isinstance(strategy, Promotes) else None


def _suggestion(found: str, names: Any) -> str:
    close = difflib.get_close_matches(found, list(names), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""
