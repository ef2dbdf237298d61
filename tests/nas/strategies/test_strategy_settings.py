"""Settings of strategies: written as they were given, and refused by place, found and expected."""

import dataclasses
import math
import re
import sys
import typing
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from nas.cli import main
from nas.search.config import SearchConfig, read_search_config
from nas.strategies.evolution import Evolution, EvolutionSettings
from nas.strategies.predictor.predictor import PredictorSettings
from nas.strategies.strategy import StrategyConfig
from nas.strategies.successive_halving import SuccessiveHalvingSettings
from nas.strategies.table import STRATEGIES, build_strategy
from search_spaces.choices.choice_space import ChoiceSpace
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.places import shown
from search_spaces.settings.yaml_files import from_mapping, parse_yaml, to_mapping, yaml_text

SPACE = ChoiceSpace((3, 1, 4, 2, 5, 3))
NUMBERS = {
    "text": "many", "true": True, "a list": [1], "a mapping": {"a": 1}, "null": None, "negative": -1,
    "not a number": math.nan, "infinite": math.inf,
}  # fmt: skip
WHOLE = {**NUMBERS, "a fraction": 2.5, "a whole float": 3.0}
NAMES = {**NUMBERS, "a number": 3}
TRUTHS = {name: value for name, value in NAMES.items() if name != "true"} | {"one": 1}
BY_KIND: dict[Any, dict[str, Any]] = {int: WHOLE, float: NUMBERS, bool: TRUTHS, StrategyConfig: NAMES}

# Every setting of every strategy, none of them as it is by default.
ALL_SETTINGS: dict[str, dict[str, Any]] = {
    "random_search": {},
    "evolution": {"population": 9, "tournament": 3},
    "policy_gradient": {
        "preset": "nasnet", "algorithm": "reinforce", "controller": "independent", "learning_rate": 0.01,
        "entropy_weight": 0.02, "clip": 0.3, "baseline_decay": 0.5, "batch": 7, "ppo_epochs": 3, "hidden": 20,
    },
    "predictor": {"initial": 7, "temperature": 0.5, "rows": 300},
    "tpe": {"startup": 7, "candidates": 12, "multivariate": False},
    "nsga2": {"population": 8, "crossover_prob": 0.5, "swapping_prob": 0.25, "mutation_prob": 0.125},
    "successive_halving": {"over": {"name": "tpe", "startup": 3}, "eta": 2, "min_epochs": 3},
}  # fmt: skip
NOTHING_IS_A_VALUE = {("nsga2", "mutation_prob")} | {
    ("policy_gradient", name) for name in ALL_SETTINGS["policy_gradient"] if name != "preset"
}
EXPECTED = r"expected \w+|must be \w+|is not one of \w+|strategies are \w+|give a finite one"
QUICK = to_mapping(read_search_config("quick"))


def refused_values() -> list[Any]:
    found = []
    for name, kind in STRATEGIES.items():
        hints = typing.get_type_hints(kind.Settings)
        for field in dataclasses.fields(kind.Settings):
            hint = hints[field.name]
            plain = [part for part in (typing.get_args(hint) or (hint,)) if part is not type(None)]
            wrong = NAMES if typing.get_origin(hint) is typing.Literal else BY_KIND[plain[0]]
            for words, value in wrong.items():
                if value is not None or (name, field.name) not in NOTHING_IS_A_VALUE:
                    found.append(pytest.param(name, field.name, value, id=f"{name}-{field.name}-{words}"))
    return found


def refusal(**strategy: Any) -> str:
    mapping = QUICK | {"strategy": strategy}
    with pytest.raises(ConfigError) as refused:
        from_mapping(SearchConfig, mapping, name="mine.yaml")
    return str(refused.value)


def test_every_setting_of_every_strategy_is_tried() -> None:
    assert ALL_SETTINGS.keys() == STRATEGIES.keys()
    for name, settings in ALL_SETTINGS.items():
        assert list(settings) == [field.name for field in dataclasses.fields(STRATEGIES[name].Settings)]


@pytest.mark.parametrize(("name", "setting", "value"), refused_values())
def test_a_value_that_cannot_be_is_refused_with_its_place_and_what_is_expected(
    name: str, setting: str, value: Any
) -> None:
    message = refusal(name=name, **{setting: value})
    assert len(message.splitlines()) == 1
    start = f"mine.yaml: strategy.{setting}: {shown(value)}"
    assert message.startswith(start), message
    assert re.search(EXPECTED, message.removeprefix(start)), message


@pytest.mark.parametrize(("name", "setting", "value"), refused_values())
def test_the_same_value_is_refused_from_python(name: str, setting: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^strategy\.{setting}: ") as refused:
        build_strategy(name, SPACE, seed=0, epochs=9, settings={setting: value})
    assert not isinstance(refused.value, ValidationError)


OUT_OF_RANGE = [
    ("evolution", "population", 0, "at least 1"),
    ("evolution", "population", 10**30, "at most 10000000"),
    ("evolution", "tournament", 0, "at least 1"),
    ("policy_gradient", "learning_rate", 0.0, "at least 1e-08"),
    ("policy_gradient", "learning_rate", 10.5, "at most 10"),
    ("policy_gradient", "entropy_weight", 101, "at most 100"),
    ("policy_gradient", "clip", 0, "at least 0.001"),
    ("policy_gradient", "clip", 11, "at most 10"),
    ("policy_gradient", "baseline_decay", 1.5, "at most 1"),
    ("policy_gradient", "batch", 0, "at least 1"),
    ("policy_gradient", "batch", 10_001, "at most 10000"),
    ("policy_gradient", "ppo_epochs", 1_001, "at most 1000"),
    ("policy_gradient", "hidden", 10**9, "at most 1024"),
    ("predictor", "initial", 1, "at least 2"),
    ("predictor", "temperature", 10.5, "at most 10"),
    ("predictor", "rows", 1, "at least 2"),
    ("tpe", "startup", 0, "at least 1"),
    ("tpe", "candidates", 0, "at least 1"),
    ("nsga2", "population", 1, "at least 2"),
    ("nsga2", "crossover_prob", 1.5, "at most 1"),
    ("nsga2", "swapping_prob", 1.5, "at most 1"),
    ("nsga2", "mutation_prob", 2.0, "at most 1"),
    ("successive_halving", "eta", 1, "at least 2"),
    ("successive_halving", "min_epochs", 0, "at least 1"),
]


@pytest.mark.parametrize(("name", "setting", "value", "bound"), OUT_OF_RANGE)
def test_a_value_out_of_range_is_refused_with_its_bound(
    name: str, setting: str, value: Any, bound: str
) -> None:
    expected = f"mine.yaml: strategy.{setting}: {value} is out of range; it must be {bound}"
    assert refusal(name=name, **{setting: value}).startswith(expected)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_setting_that_is_none_is_refused_with_those_that_are(name: str) -> None:
    names = list(ALL_SETTINGS[name])
    known = f"its settings are {', '.join(names)}" if names else "it has no settings"
    expected = f"mine.yaml: strategy.colour: {name} has no such setting; {known}"
    assert refusal(name=name, colour="red") == expected


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (
            {"name": "evolution", "popluation": 3},
            "strategy.popluation: evolution has no such setting; its settings are population, tournament "
            "(did you mean 'population'?)",
        ),
        (
            {"name": "evolution", "population": 5, "tournament": 6},
            "strategy: tournament is 6, but the population is only 5; lower tournament, or raise population",
        ),
        (
            {"name": "evolution", "population": 5},  # the tournament's default is larger
            "strategy: tournament is 10, but the population is only 5; lower tournament, or raise population",
        ),
        (
            {"name": "predictor", "rows": 5},
            "strategy: rows is 5, but the model begins with the 6 trials of initial; raise rows, or lower "
            "initial",
        ),
        (
            {"name": "policy_gradient", "preset": "mnasnet"},
            "strategy.preset: 'mnasnet' is not one of default, nasnet (did you mean 'nasnet'?)",
        ),
        (
            {"name": "policy_gradient", "algorithm": "dqn"},
            "strategy.algorithm: 'dqn' is not one of ppo, reinforce",
        ),
        (
            {"name": "successive_halving", "over": {"name": "predictor", "temperature": "abc"}},
            "strategy.over.temperature: 'abc' given; expected a number",
        ),
        (
            {"name": "successive_halving", "over": {"population": 3}},
            "strategy.over: {population: 3} has no name; expected one, as in {name: evolution, "
            "population: 50}",
        ),
        (
            {"name": "successive_halving", "over": {"name": "evolution", "population": 5, "tournament": 6}},
            "strategy.over: tournament is 6, but the population is only 5; lower tournament, or raise "
            "population",
        ),
        (
            {"name": "successive_halving", "over": {"name": "successive_halving", "over": "tpe"}},
            "strategy.over: successive_halving given; another strategy expected beneath it",
        ),
        (
            {"population": 3},
            "strategy: {population: 3} has no name; expected one, as in {name: evolution, population: 50}",
        ),
        (
            {"name": 3},
            "strategy.name: 3 is not a strategy; strategies are random_search, evolution, policy_gradient, "
            "predictor, tpe, nsga2, successive_halving",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused_with_the_reason(strategy: dict[str, Any], message: str) -> None:
    assert refusal(**strategy) == f"mine.yaml: {message}"


def test_all_wrong_settings_of_a_strategy_are_named_at_once() -> None:
    found = refusal(name="policy_gradient", batch="many", hidden=0, colour="red").splitlines()
    assert [line.split(": ")[1] for line in found] == ["strategy.colour", "strategy.batch", "strategy.hidden"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            "strategy.temperature=many",
            "--set strategy.temperature=many: 'many' given; expected a number",
        ),
        (
            "strategy={name: policy_gradient, learning_rate: abc}",
            "--set strategy={name: policy_gradient, learning_rate: abc}: "
            "learning_rate: 'abc' given; expected a number",
        ),
        (
            "strategy={name: successive_halving, over: {name: predictor, temperature: -1}}",
            "--set strategy={name: successive_halving, over: {name: predictor, temperature: -1}}: "
            "over.temperature: -1 is out of range; it must be at least 0",
        ),
    ],
)
def test_a_wrong_setting_ends_the_command_with_code_2_and_one_line(
    option: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["nas", "search", "quick", "--set", option])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.strip() == message


# ---------------------------------------------------------------------- what is taken


@pytest.mark.parametrize("name", STRATEGIES)
def test_settings_are_written_as_they_were_given_and_read_back_equal(name: str) -> None:
    given = {"name": name, **ALL_SETTINGS[name]}
    mapping = to_mapping(read_search_config("quick", overrides=["recipe.schedule=constant"]))
    mapping |= {"strategy": given}
    config = from_mapping(SearchConfig, mapping, name="mine.yaml")
    assert to_mapping(config)["strategy"] == given
    assert list(to_mapping(config)["strategy"]) == list(given)
    text = yaml_text(config)
    assert yaml.safe_load(text)["strategy"] == given
    assert from_mapping(SearchConfig, parse_yaml(text, name="again"), name="again") == config
    for setting, value in ALL_SETTINGS[name].items():
        if setting != "over":
            assert getattr(config.strategy.settings, setting) == value


def test_a_strategy_given_by_its_name_has_its_defaults_and_is_written_with_its_name() -> None:
    config = read_search_config("quick", overrides=["strategy=predictor"])
    assert config.strategy.settings == PredictorSettings()
    assert to_mapping(config)["strategy"] == {"name": "predictor"}


def test_one_setting_is_replaced_on_the_command_line() -> None:
    config = read_search_config("quick", overrides=["strategy.temperature=0.5"])
    assert isinstance(config.strategy.settings, PredictorSettings)
    assert config.strategy.settings.temperature == 0.5


@pytest.mark.parametrize(("name", "setting"), sorted(NOTHING_IS_A_VALUE))
def test_nothing_is_the_default_where_it_may_be_given(name: str, setting: str) -> None:
    mapping = QUICK | {"strategy": {"name": name, setting: None}}
    config = from_mapping(SearchConfig, mapping, name="mine.yaml")
    assert config.strategy.settings == STRATEGIES[name].Settings()


def test_a_strategy_is_built_from_python_with_its_settings_alone() -> None:
    strategy = Evolution(SPACE, 0, epochs=9, settings=EvolutionSettings(population=4, tournament=2))
    by_name = build_strategy(
        "evolution", SPACE, seed=0, epochs=9, settings={"population": 4, "tournament": 2}
    )
    assert strategy.ask(0) == by_name.ask(0)
    with pytest.raises(ValidationError, match="population"):
        EvolutionSettings(population="5")  # type: ignore[arg-type]


def test_rungs_follow_from_settings_and_epochs() -> None:
    assert SuccessiveHalvingSettings(eta=3, min_epochs=1).rungs(9) == (1, 3, 9)
    with pytest.raises(
        ValueError, match=r"^min_epochs: 8 given; with 8 epochs and eta 3 there is no shorter"
    ):
        SuccessiveHalvingSettings(min_epochs=8).rungs(8)
