"""What every strategy owes: one suite over STRATEGIES; a new entry is tested by existing."""

import json
import statistics
from dataclasses import dataclass, field

import numpy as np
import pytest

from nas.strategy import STRATEGIES, Strategy, build_strategy
from search_spaces.choice_space import ChoiceSpace
from trials.trial import UNMEASURED_RATIO, Ask, Outcome, Status

SMALL_SETTINGS = {"evolution": {"population": 8, "tournament": 3}}
SPACE = ChoiceSpace((3, 1, 4, 2, 5, 3))
LIMITED = ChoiceSpace((3, 1, 4, 2, 5, 3), is_allowed=lambda choices: sum(choices) <= 5)

every_strategy = pytest.mark.parametrize("name", STRATEGIES)


def build(name: str, space: ChoiceSpace = SPACE, seed: int = 0) -> Strategy:
    return build_strategy(name, space, seed=seed, epochs=10, settings=SMALL_SETTINGS.get(name, {}))


def outcome(reward: float, status: Status = "completed") -> Outcome:
    good = status == "completed"
    return Outcome(
        status=status,
        reward=reward if good else 0.0,
        accuracy=reward if good else 0.0,
        step_time_ratio=1.0 if good else UNMEASURED_RATIO,
        params=1.0,
    )


def toy_reward(choices: tuple[int, ...]) -> float:
    return sum(choice * (i + 1) for i, choice in enumerate(choices)) / 60


Event = tuple[str, Ask, Outcome | None]


@dataclass
class Driver:
    """Feeds a strategy as a search does, and keeps the record."""

    strategy: Strategy
    record: list[Event] = field(default_factory=list)

    def ask(self, trial_id: int) -> Ask:
        ask = self.strategy.ask(trial_id)
        self.strategy.asked(ask)
        self.record.append(("asked", ask, None))
        return ask

    def tell(self, ask: Ask, result: Outcome | None) -> None:
        feed(self.strategy, ("told" if result else "withdrawn", ask, result))
        self.record.append(("told" if result else "withdrawn", ask, result))


def feed(strategy: Strategy, event: Event) -> None:
    kind, ask, result = event
    if kind == "asked":
        strategy.asked(ask)
    elif kind == "withdrawn":
        strategy.withdrawn(ask)
    else:
        assert result is not None
        strategy.told(ask, result)


def drive(driver: Driver, trials: int, *, in_flight: int = 4, seed: int = 0) -> None:
    """Trials that overlap, end in any order, and fail now and then."""
    rng = np.random.default_rng(seed)
    pending: list[Ask] = []
    for trial_id in range(trials):
        pending.append(driver.ask(trial_id))
        while len(pending) >= in_flight:
            ask = pending.pop(rng.integers(len(pending)))
            kind = rng.choice(["completed", "completed", "completed", "infeasible", "cached", "withdrawn"])
            driver.tell(ask, None if kind == "withdrawn" else outcome(toy_reward(ask.choices), kind))


@every_strategy
@pytest.mark.parametrize("space", [SPACE, LIMITED], ids=["free", "limited"])
def test_choices_are_valid_allowed_and_json_able(name: str, space: ChoiceSpace) -> None:
    driver = Driver(build(name, space))
    drive(driver, 80)
    for kind, ask, _ in driver.record:
        assert space.contains(ask.choices)
        assert space.is_allowed(ask.choices)
        assert all(type(choice) is int for choice in ask.choices)
        assert json.loads(json.dumps(dict(ask.aux))) == dict(ask.aux)
        assert kind != "asked" or (ask.epochs, ask.purpose) == (10, "search")


@every_strategy
def test_asking_changes_nothing(name: str) -> None:
    driver = Driver(build(name))
    drive(driver, 30)
    assert driver.strategy.ask(99) == driver.strategy.ask(99)
    first = driver.strategy.ask(100)
    driver.strategy.ask(101)
    assert driver.strategy.ask(100) == first


@every_strategy
def test_a_seed_decides_all_asks(name: str) -> None:
    records = []
    for seed in (0, 0, 1):
        driver = Driver(build(name, seed=seed))
        drive(driver, 60)
        records.append([ask.choices for kind, ask, _ in driver.record if kind == "asked"])
    assert records[0] == records[1]
    assert records[0] != records[2]


@every_strategy
def test_a_strategy_rebuilt_from_any_prefix_of_the_record_asks_the_same(name: str) -> None:
    live = Driver(build(name))
    drive(live, 50)
    rebuilt = build(name)
    for event in live.record:
        if event[0] == "asked":
            assert rebuilt.ask(event[1].trial_id) == event[1]
        feed(rebuilt, event)


@every_strategy
@pytest.mark.parametrize("options", [(), (1,), (1, 1, 1), (2,)])
def test_spaces_of_hardly_any_architecture(name: str, options: tuple[int, ...]) -> None:
    space = ChoiceSpace(options)
    driver = Driver(build(name, space))
    drive(driver, 30)
    assert all(space.contains(ask.choices) for _, ask, _ in driver.record)


@every_strategy
def test_only_failures_do_no_harm(name: str) -> None:
    driver = Driver(build(name))
    for trial_id in range(40):
        ask = driver.ask(trial_id)
        driver.tell(ask, outcome(0.0, "infeasible") if trial_id % 2 else None)


@every_strategy
def test_baseline_trials_of_others_are_taken_in(name: str) -> None:
    strategy = build(name)
    rng = np.random.default_rng(0)
    for trial_id in range(20):
        ask = Ask(trial_id=trial_id, choices=SPACE.sample(rng), epochs=10, purpose="baseline")
        strategy.asked(ask)
        strategy.told(ask, outcome(toy_reward(ask.choices)))
    assert SPACE.contains(strategy.ask(20).choices)


@every_strategy
def test_thousands_of_trials_are_cheap(name: str) -> None:
    space = ChoiceSpace((4,) * 30)
    driver = Driver(build(name, space))
    drive(driver, 2_000, in_flight=16)


def best_after(name: str, trials: int, seed: int) -> float:
    strategy = build(name, ChoiceSpace((5,) * 12), seed)
    best = 0.0
    for trial_id in range(trials):
        ask = strategy.ask(trial_id)
        strategy.asked(ask)
        reward = sum(ask.choices) / 48
        strategy.told(ask, outcome(reward))
        best = max(best, reward)
    return best


def test_evolution_finds_more_than_random_search() -> None:
    evolution = statistics.median(best_after("evolution", 120, seed) for seed in range(15))
    uniform = statistics.median(best_after("random_search", 120, seed) for seed in range(15))
    assert evolution > uniform + 0.08


def test_evolution_mutates_winners_of_the_last_population_only() -> None:
    strategy = build("evolution")
    rng = np.random.default_rng(0)
    for trial_id in range(30):
        ask = Ask(trial_id=trial_id, choices=SPACE.sample(rng), epochs=10)
        strategy.asked(ask)
        strategy.told(ask, outcome(1.0 if trial_id < 10 else 0.1))  # the best have died of age
    parents = {strategy.ask(trial_id).aux["parent"] for trial_id in range(30, 130)}
    assert parents <= set(range(22, 30))


def test_evolution_avoids_what_was_asked_while_it_can() -> None:
    driver = Driver(build("evolution", ChoiceSpace((5,) * 12)))
    drive(driver, 200, in_flight=8)
    asked = [ask.choices for kind, ask, _ in driver.record if kind == "asked"]
    assert len(set(asked)) == len(asked) == 200
    narrow = Driver(build("evolution", ChoiceSpace((2, 2))))
    drive(narrow, 30)  # everything has been seen: still it proposes
    assert sum(kind == "asked" for kind, _, _ in narrow.record) == 30


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("evolutoin", {}, "did you mean 'evolution'"),
        ("evolution", {"popluation": 3}, "did you mean 'population'"),
        ("evolution", {"population": 0}, "at least 1"),
        ("evolution", {"population": 5, "tournament": 6}, "1 to the population of 5"),
        ("evolution", {"population": 2.5}, "a whole number expected"),
        ("random_search", {"population": 3}, "it has no settings"),
    ],
)
def test_wrong_settings_are_refused_by_name(name: str, settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build_strategy(name, SPACE, seed=0, epochs=1, settings=settings)
