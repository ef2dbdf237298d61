"""What every strategy owes: one suite over STRATEGIES; a new entry is tested by existing."""

import tracemalloc
from functools import cache

import numpy as np
import pytest
from strategy_driver import SPACE, Driver, build, drive, feed, outcome, recorded, toy_reward

from nas.strategies.strategy import Recommends, promoting
from nas.strategies.table import STRATEGIES, build_strategy
from search_spaces.choices.choice_space import Choices, ChoiceSpace
from trials.trial import Ask, Status

# Optuna keeps every trial as objects of its own, and reads them all for each ask; the predictor solves a
# system of equations for each, which takes most of the time here.
FEWER_TRIALS = {"tpe": 60, "nsga2": 60, "predictor": 300}
BYTES_PER_TRIAL = {"tpe": 20_000, "nsga2": 20_000}
FIXED_BYTES = {"predictor": 1_000_000}  # effects of 120 options and of all pairs of them, some times over

MANY_TRIALS_SETTINGS: dict[str, dict[str, object]] = {
    "policy_gradient": {"batch": 100, "hidden": 8, "ppo_epochs": 1},
    "predictor": {"rows": 40},
}


def absent_when_first_is_zero(choices: Choices) -> Choices:
    return (0, 0, 0, *choices[3:]) if choices[0] == 0 else choices


SPACES = {
    "free": SPACE,
    "limited": ChoiceSpace(SPACE.num_options, is_allowed=lambda choices: sum(choices) <= 5),
    "hardly anything allowed": ChoiceSpace((4,) * 6, is_allowed=lambda choices: sum(choices) <= 3),
    "with equal choices": ChoiceSpace(SPACE.num_options, canonical=absent_when_first_is_zero),
    "a table": ChoiceSpace.from_table([(i, i * i % 7, i % 3, 2 * i) for i in range(40)]),
}
every_strategy = pytest.mark.parametrize("name", STRATEGIES)
every_space = pytest.mark.parametrize("space", SPACES)


@cache
def driven(name: str, space: str) -> Driver:
    """A strategy after 50 trials, for tests that only ask: feeding it takes most of their time."""
    driver = Driver(build(name, SPACES[space]))
    drive(driver, 50)
    return driver


@every_strategy
@every_space
def test_strategies_ask_canonical_choices_of_the_space_within_its_limits(name: str, space: str) -> None:
    of = SPACES[space]
    for ask in driven(name, space).asks:
        assert of.contains(ask.choices)
        assert of.is_allowed(ask.choices)
        assert of.canonical(ask.choices) == ask.choices
        assert all(type(choice) is int for choice in ask.choices)


@every_strategy
def test_an_ask_is_for_the_search_and_survives_the_log(name: str) -> None:
    strategy = build(name)
    driver = Driver(strategy)
    for trial_id in range(40):
        ask = strategy.ask(trial_id)
        assert recorded(ask) == ask
        assert (ask.trial_id, ask.purpose) == (trial_id, "search")
        halving = promoting(strategy)
        if ask.continues is None:
            assert ask.epochs == (halving.rungs[0] if halving else 10)
        else:
            assert halving is not None
            assert ask.epochs in halving.rungs[1:]
        driver.tell(driver.take(ask), outcome(toy_reward(ask.choices)))


@every_strategy
@every_space
def test_asking_a_strategy_changes_nothing(name: str, space: str) -> None:
    driver = driven(name, space)
    assert driver.strategy.ask(99) == driver.strategy.ask(99)
    first = driver.strategy.ask(100)
    driver.strategy.ask(101)
    assert driver.strategy.ask(100) == first


@every_strategy
def test_seed_decides_all_asks_of_a_strategy(name: str) -> None:
    asks = []
    for seed in (0, 0, 1):
        driver = Driver(build(name, seed=seed))
        drive(driver, 60)
        asks.append([ask.choices for ask in driver.asks])
    assert asks[0] == asks[1]
    assert asks[0] != asks[2]


@every_strategy
@pytest.mark.parametrize("space", [SPACES["free"], SPACES["with equal choices"]], ids=["free", "equal"])
def test_a_strategy_rebuilt_from_any_prefix_of_the_record_asks_the_same(
    name: str, space: ChoiceSpace
) -> None:
    live = Driver(build(name, space))
    drive(live, 40)
    for end, (kind, ask, _) in enumerate(live.record):
        if kind == "asked":
            rebuilt = build(name, space)
            for event in live.record[:end]:
                feed(rebuilt, event)
            assert rebuilt.ask(ask.trial_id) == ask


@every_strategy
def test_strategies_ask_on_while_60_trials_are_in_flight(name: str) -> None:
    driver = Driver(build(name))
    asks = [driver.ask(trial_id) for trial_id in range(60)]
    for ask in reversed(asks):
        driver.tell(ask, outcome(toy_reward(ask.choices)))
    assert SPACE.contains(driver.ask(60).choices)


@every_strategy
@pytest.mark.parametrize("options", [(), (1,), (1, 1, 1), (2,), (1, 2, 1)])
def test_strategies_search_spaces_of_one_or_two_architectures(name: str, options: tuple[int, ...]) -> None:
    space = ChoiceSpace(options)
    driver = Driver(build(name, space))
    drive(driver, 30)
    assert [space.contains(ask.choices) for ask in driver.asks] == [True] * 30


@every_strategy
@pytest.mark.parametrize("status", ["infeasible", "cached", "crashed"])
def test_strategies_ask_on_when_all_trials_fail_or_crash(name: str, status: Status) -> None:
    driver = Driver(build(name))
    for trial_id in range(60):
        ask = driver.ask(trial_id)
        assert SPACE.contains(ask.choices)
        driver.tell(ask, None if status == "crashed" else outcome(0.5, status))


@every_strategy
def test_strategies_take_in_baseline_trials_and_asks_of_others(name: str) -> None:
    driver = Driver(build(name))
    rng = np.random.default_rng(0)
    for trial_id in range(30):
        aux = {"parent": 3} if trial_id % 2 else {"log_probs": [-1.0], "drawn": [0]}
        purpose = "baseline" if trial_id < 20 else "search"
        ask = Ask(trial_id=trial_id, choices=SPACE.sample(rng), epochs=10, purpose=purpose, aux=aux)
        driver.tell(driver.take(ask), outcome(toy_reward(ask.choices)))
    assert SPACE.contains(driver.ask(30).choices)


@pytest.mark.parametrize("name", [name for name, kind in STRATEGIES.items() if hasattr(kind, "leaders")])
def test_recommended_choices_were_completed_and_are_the_first_leader(name: str) -> None:
    strategy = build(name)
    assert isinstance(strategy, Recommends)
    assert strategy.leaders(3) == []
    driver = Driver(strategy)
    drive(driver, 60)
    told = [
        ask.choices for _, ask, result in driver.record if result is not None and result.status == "completed"
    ]
    leaders = strategy.leaders(4)
    assert len(set(leaders)) == len(leaders) <= 4
    assert set(leaders) <= set(told)
    assert strategy.leaders(1) == leaders[:1]


@every_strategy
def test_strategies_need_bounded_memory_for_thousands_of_trials(name: str) -> None:
    trials = FEWER_TRIALS.get(name, 1_000)
    space = ChoiceSpace((4,) * 30)
    settings = MANY_TRIALS_SETTINGS.get(name, {})
    strategy = build_strategy(name, space, seed=0, epochs=10, settings=settings)
    rng = np.random.default_rng(0)
    drive(Driver(build(name)), 40)  # loads what strategies of its kind load: that is nobody's trial
    tracemalloc.start()
    try:
        for trial_id in range(trials):
            if trial_id % 20:  # most are uniform, so that this takes seconds
                ask = Ask(trial_id=trial_id, choices=space.sample(rng), epochs=10)
            else:
                ask = strategy.ask(trial_id)
            strategy.asked(ask)
            strategy.told(ask, outcome(toy_reward(ask.choices)))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # What was asked must be remembered to be avoided: a tuple of 30 and its place in a set.
    assert held < trials * BYTES_PER_TRIAL.get(name, 600) + FIXED_BYTES.get(name, 0)
