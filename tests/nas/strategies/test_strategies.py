"""Regularized evolution's own behaviour; that of all strategies is in test_strategy_contract.py."""

import statistics
from collections import Counter
from itertools import product

import numpy as np
from strategy_driver import SPACE, Driver, build, drive, outcome

from nas.strategies.evolution import Evolution, EvolutionSettings
from search_spaces.choices.choice_space import ChoiceSpace
from trials.trial import Ask


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


def test_evolution_names_the_parent_of_a_child_that_was_asked_before() -> None:
    space = ChoiceSpace((2, 2, 2))
    settings = EvolutionSettings(population=8, tournament=1)
    strategy = Evolution(space, 0, epochs=4, settings=settings)
    every = list(product(range(2), repeat=3))  # all are seen, so no tournament finds a new neighbour
    for trial_id, choices in enumerate(every):
        ask = Ask(trial_id=trial_id, choices=choices, epochs=4)
        strategy.asked(ask)
        strategy.told(ask, outcome(0.5))
    for trial_id in range(8, 40):
        ask = strategy.ask(trial_id)
        assert ask.choices in space.neighbours(every[ask.aux["parent"]])


def test_evolution_avoids_choices_that_were_asked_while_it_can() -> None:
    driver = Driver(build("evolution", ChoiceSpace((5,) * 12)))
    drive(driver, 200, in_flight=8)
    asked = [ask.choices for ask in driver.asks]
    withdrawn = {ask.choices for kind, ask, _ in driver.record if kind == "withdrawn"}
    assert len(asked) == 200
    assert {choices for choices, count in Counter(asked).items() if count > 1} <= withdrawn
    narrow = Driver(build("evolution", ChoiceSpace((2, 2))))
    drive(narrow, 30)  # everything has been seen: still it proposes
    assert len(narrow.asks) == 30
