"""The table of strategies, and their settings read from what a search file, a command or a caller gives."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from nas.strategies.evolution import Evolution
from nas.strategies.optuna.nsga2 import Nsga2
from nas.strategies.optuna.tpe import Tpe
from nas.strategies.policy_gradient.policy_gradient import PolicyGradient
from nas.strategies.predictor.predictor import Predictor
from nas.strategies.random_search import RandomSearch
from nas.strategies.strategy import Strategy, StrategyConfig, StrategyKind
from nas.strategies.successive_halving import SuccessiveHalving
from search_spaces.choices.choice_space import ChoiceSpace
from search_spaces.settings.kinds import fields_of
from search_spaces.settings.messages import complaints
from search_spaces.settings.near_names import suggestion
from search_spaces.settings.places import place_of, shown

STRATEGIES: dict[str, type[StrategyKind]] = {
    "random_search": RandomSearch,
    "evolution": Evolution,
    "policy_gradient": PolicyGradient,
    "predictor": Predictor,
    "tpe": Tpe,
    "nsga2": Nsga2,
    "successive_halving": SuccessiveHalving,
}

Place = tuple[Any, ...]  # keys that lead to a value
Problems = dict[Place, str]  # a sentence for each place that is not right


class StrategySettingsError(ValueError):
    """A strategy that cannot be built; the message has a line for each of its `problems`."""

    def __init__(self, problems: Problems) -> None:
        lines = (f"{place_of(('strategy', *place))}: {sentence}" for place, sentence in problems.items())
        super().__init__("\n".join(lines))
        self.problems = problems


def build_strategy(
    name: str, space: ChoiceSpace, *, seed: int, epochs: int, settings: Mapping[str, Any]
) -> Strategy:
    """A strategy by its name and its settings as plain values.

    Raises:
        StrategySettingsError: no such strategy, no such setting, or a value that is refused.
    """
    problems: Problems = {}
    config = _read({**settings, "name": name}, (), problems)
    if config is None:
        raise StrategySettingsError(problems)
    try:
        return config.build(space, seed=seed, epochs=epochs)
    except ValueError as error:
        setting, colon, sentence = str(error).partition(": ")
        raise StrategySettingsError({(setting,): sentence} if colon else {(): str(error)}) from error


def read_strategy(value: Any) -> StrategyConfig:
    """A strategy from its name, or from a mapping of its name and its settings.

    Raises:
        ValidationError: no such strategy, no such setting, or a value that is refused; each at its place.
    """
    problems: Problems = {}
    config = _read(value, (), problems)
    if config is not None:
        return config
    lines: list[InitErrorDetails] = [
        {
            "type": PydanticCustomError("value_error", "{error}", {"error": sentence}),
            "loc": tuple(step if isinstance(step, int) else str(step) for step in place),
            "input": value,
        }
        for place, sentence in problems.items()
    ]
    raise ValidationError.from_exception_data("strategy", lines)


def _read(value: Any, at: Place, problems: Problems) -> StrategyConfig | None:
    """The strategy; None, and what is not right added to `problems`, where something is refused."""
    if isinstance(value, StrategyConfig):
        return value
    written = {"name": value} if isinstance(value, str) else value
    if not isinstance(written, Mapping):
        problems[at] = f"{shown(value)} given; expected {StrategyConfig.WRITTEN_AS}"
        return None
    if "name" not in written:
        example = "{name: evolution, population: 50}"
        problems[at] = f"{shown(written)} has no name; expected one, as in {example}"
        return None
    name = written["name"]
    if not isinstance(name, str) or name not in STRATEGIES:
        hint = suggestion(str(name), list(STRATEGIES))
        place = at if isinstance(value, str) else (*at, "name")
        problems[place] = f"{shown(name)} is not a strategy; strategies are {', '.join(STRATEGIES)}{hint}"
        return None
    given = {key: item for key, item in written.items() if key != "name"}
    settings = _read_settings(name, given, at, problems)
    if settings is None:
        return None
    return StrategyConfig(name=name, kind=STRATEGIES[name], settings=settings, written=dict(written))


def _read_settings(name: str, given: Mapping[str, Any], at: Place, problems: Problems) -> Any:
    """The settings of the strategy of that name; None, and `problems`, where something is refused."""
    kind = STRATEGIES[name].Settings
    fields, found = fields_of(kind), len(problems)
    values = {}
    for key, value in given.items():
        if key not in fields:
            known = f"its settings are {', '.join(fields)}" if fields else "it has no settings"
            hint = suggestion(str(key), list(fields))
            problems[(*at, key)] = f"{name} has no such setting; {known}{hint}"
        elif fields[key] is not StrategyConfig:
            values[key] = value
        elif (beneath := _read(value, (*at, key), problems)) is not None:
            values[key] = beneath
    try:
        settings = kind(**values)
    except ValidationError as error:
        for place, sentence in complaints(kind, values, error).items():
            problems[(*at, *place)] = sentence
    return settings if len(problems) == found else None
