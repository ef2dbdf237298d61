"""What a search strategy is, and the strategies by name."""

import difflib
import inspect
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from nas.strategies.evolution import Evolution
from nas.strategies.nsga2 import Nsga2
from nas.strategies.policy_gradient import PolicyGradient
from nas.strategies.predictor import Predictor
from nas.strategies.random_search import RandomSearch
from nas.strategies.tpe import Tpe
from search_spaces.choice_space import Choices, ChoiceSpace
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


STRATEGIES: dict[str, Any] = {
    "random_search": RandomSearch,
    "evolution": Evolution,
    "policy_gradient": PolicyGradient,
    "predictor": Predictor,
    "tpe": Tpe,
    "nsga2": Nsga2,
}


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
    known_settings = [key for key in parameters if key not in ("space", "seed", "epochs")]
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
    try:
        strategy: Strategy = kind(space, seed, epochs=epochs, **settings)
    except ValueError as error:
        raise ValueError(f"strategy.{error}") from error
    return strategy


def _suggestion(found: str, names: Any) -> str:
    close = difflib.get_close_matches(found, list(names), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""
