"""TPE and NSGA-II are Optuna's own, whatever is asked in between and wherever the record is replayed."""

import json
from typing import Any

import numpy as np
import optuna
import pytest

from nas.strategies.optuna.nsga2 import Nsga2, Nsga2Settings
from nas.strategies.optuna.optuna_strategy import AUX
from nas.strategies.optuna.tpe import Tpe, TpeSettings
from nas.strategies.table import build_strategy
from search_spaces.choices.choice_space import Choices, ChoiceSpace
from trials.measurement import UNMEASURED_RATIO
from trials.trial import Ask, Outcome, Status

OPTIONS = (3, 4, 2, 5, 3, 3)


def outcome(choices: Choices, status: Status = "completed") -> Outcome:
    if status == "infeasible":
        return Outcome(
            status=status, reward=0.0, accuracy=0.0, step_time_ratio=UNMEASURED_RATIO, params=UNMEASURED_RATIO
        )
    accuracy = sum(choices) / 20
    return Outcome(
        status=status,
        reward=accuracy,
        accuracy=accuracy,
        step_time_ratio=1 + choices[0],
        params=1 + choices[3],
    )


def take(strategy: Tpe | Nsga2, trial_id: int, status: Status = "completed") -> Ask:
    ask = strategy.ask(trial_id)
    strategy.asked(ask)
    strategy.told(ask, outcome(ask.choices, status))
    return ask


def test_tpe_draws_as_optunas_own_sampler_does() -> None:
    """Seeded for each ask, and told the same, a plain study draws the same."""
    strategy = Tpe(ChoiceSpace(OPTIONS), 7, epochs=1, settings=TpeSettings())
    ours = [take(strategy, trial_id).choices for trial_id in range(25)]
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions = {
        str(i): optuna.distributions.CategoricalDistribution(range(count)) for i, count in enumerate(OPTIONS)
    }
    study = optuna.create_study(direction="maximize")
    theirs = []
    for trial_id in range(25):
        seed = int(np.random.SeedSequence([7, trial_id]).generate_state(1)[0])
        study.sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
        trial = study.ask(distributions)
        theirs.append(tuple(trial.params.values()))
        study.tell(trial, outcome(theirs[-1]).reward)
    assert ours == theirs


def test_nsga2_draws_parents_once_and_its_asks_carry_them() -> None:
    strategy = Nsga2(ChoiceSpace(OPTIONS), 0, epochs=1, settings=Nsga2Settings(population=5))
    asks = [take(strategy, trial_id) for trial_id in range(20)]
    with_parents = [ask.trial_id for ask in asks if "parents" in ask.aux[AUX]]
    assert with_parents == [5, 10, 15]
    generations = [ask.aux[AUX]["attributes"]["NSGAIISampler:generation"] for ask in asks]
    assert generations == [i // 5 for i in range(20)]


def test_baseline_trials_are_the_first_generation_of_nsga2() -> None:
    space = ChoiceSpace(OPTIONS)
    strategy = Nsga2(space, 0, epochs=1, settings=Nsga2Settings(population=5))
    rng = np.random.default_rng(0)
    for trial_id in range(5):
        ask = Ask(trial_id=trial_id, choices=space.sample(rng), epochs=1, purpose="baseline")
        strategy.asked(ask)
        strategy.told(ask, outcome(ask.choices))
    assert strategy.ask(5).aux[AUX]["attributes"]["NSGAIISampler:generation"] == 1


def test_nsga2_finds_more_of_the_front_than_chance() -> None:
    """Accuracy grows with every choice, step time with the first, parameters with the fourth."""

    def best_where_cheap(strategy_name: str) -> float:
        strategy = build_strategy(
            strategy_name, ChoiceSpace(OPTIONS), seed=0, epochs=1,
            settings={"population": 10} if strategy_name == "nsga2" else {},
        )  # fmt: skip
        rewards = []
        for trial_id in range(100):
            ask = strategy.ask(trial_id)
            strategy.asked(ask)
            strategy.told(ask, outcome(ask.choices))
            if ask.choices[0] == 0 and ask.choices[3] == 0:
                rewards.append(sum(ask.choices))
        return max(rewards, default=0)

    assert best_where_cheap("nsga2") > best_where_cheap("random_search")


@pytest.mark.parametrize("strategy", [Tpe, Nsga2])
def test_optuna_learns_from_infeasible_trials_and_not_from_lost_workers(strategy: Any) -> None:
    made = strategy(ChoiceSpace(OPTIONS), 0, epochs=1, settings=strategy.Settings())
    take(made, 0, "infeasible")
    lost = made.ask(1)
    made.asked(lost)
    made.withdrawn(lost)
    states = [trial.state.name for trial in made._study.get_trials()]
    assert states == ["COMPLETE", "FAIL"]


def test_draw_outside_the_limits_is_repaired_and_told_to_the_study_as_asked() -> None:
    space = ChoiceSpace(OPTIONS, is_allowed=lambda choices: sum(choices) <= 3)
    made = Tpe(space, 0, epochs=1, settings=TpeSettings(startup=5))
    asks = [take(made, trial_id) for trial_id in range(20)]
    assert all(space.is_allowed(ask.choices) for ask in asks)
    trials = made._study.get_trials()
    assert [tuple(trial.params.values()) for trial in trials] == [ask.choices for ask in asks]


def test_optuna_strategies_ask_equal_choices_as_one_and_keep_them_as_drawn() -> None:
    space = ChoiceSpace(OPTIONS, canonical=lambda c: (0, 0, 0, *c[3:]) if c[0] == 0 else c)
    made = Tpe(space, 0, epochs=1, settings=TpeSettings())
    asks = [take(made, trial_id) for trial_id in range(20)]
    drawn = [ask.aux[AUX]["drawn"] for ask in asks if "drawn" in ask.aux[AUX]]
    assert drawn
    assert all(choices[0] == 0 and any(choices[1:3]) for choices in drawn)
    assert json.loads(json.dumps([dict(ask.aux) for ask in asks])) == [dict(ask.aux) for ask in asks]
