"""Successive halving: who is promoted, what the strategy beneath learns, and a search from end to end."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeConfig
from halving_searches import essential_columns, halving_config, learning_curve, learning_worker

from analysis.frame import read_trials
from analysis.ranking import ranked
from analysis.rungs import rung_agreement, savings
from analysis.trial_rules import own_epochs_of
from nas.results.status import run_status
from nas.results.verify import verify_run
from nas.search.search import search
from nas.simulation.simulate import KnownOutcomes, recommended, simulate_search
from nas.strategies.random_search import RandomSearch, RandomSearchSettings
from nas.strategies.strategy import StrategyConfig
from nas.strategies.successive_halving import SLACK, SuccessiveHalving, SuccessiveHalvingSettings, rungs_of
from search_spaces.choices.choice_space import Choices, ChoiceSpace
from trials.executors.simulated import simulated
from trials.trial import Ask, Outcome

SPACE = ChoiceSpace((4,) * 6)


class Beneath(RandomSearch):
    """Random search that remembers what it is told."""

    def __init__(self, space: ChoiceSpace, seed: int, *, epochs: int, settings: RandomSearchSettings) -> None:
        super().__init__(space, seed, epochs=epochs, settings=settings)
        self.heard: list[tuple[str, int, float | None]] = []

    def asked(self, ask: Ask) -> None:
        self.heard.append(("asked", ask.trial_id, None))

    def told(self, ask: Ask, outcome: Outcome) -> None:
        self.heard.append(("told", ask.trial_id, outcome.reward))

    def withdrawn(self, ask: Ask) -> None:
        self.heard.append(("withdrawn", ask.trial_id, None))


def halving(epochs: int = 9, *, eta: int = 3) -> tuple[SuccessiveHalving, Beneath]:
    over = StrategyConfig(name="beneath", kind=Beneath, settings=RandomSearchSettings(), written={})
    settings = SuccessiveHalvingSettings(over=over, eta=eta, min_epochs=1)
    strategy = SuccessiveHalving(SPACE, 0, epochs=epochs, settings=settings)
    assert isinstance(strategy._beneath, Beneath)
    return strategy, strategy._beneath


def outcome(reward: float, curve: tuple[float, ...] = ()) -> Outcome:
    return Outcome(
        status="completed", reward=reward, accuracy=reward, step_time_ratio=1.0, params=1.0, curve=curve
    )


def run_one(strategy: SuccessiveHalving, trial_id: int, reward: float) -> Ask:
    ask = strategy.ask(trial_id)
    strategy.asked(ask)
    strategy.told(ask, outcome(reward))
    return ask


def test_rungs_are_eta_times_shorter_and_end_with_the_whole_training() -> None:
    assert rungs_of(9, eta=3, min_epochs=1) == (1, 3, 9)
    assert rungs_of(10, eta=3, min_epochs=2) == (3, 10)
    assert rungs_of(350, eta=4, min_epochs=5) == (5, 22, 88, 350)
    assert rungs_of(1, eta=2, min_epochs=1) == (1,)


def test_best_of_three_trials_is_promoted_and_of_three_promoted_the_best_again() -> None:
    strategy, _ = halving()
    asks = [run_one(strategy, i, reward) for i, reward in enumerate([0.3, 0.5, 0.4])]
    assert [ask.epochs for ask in asks] == [1, 1, 1]
    promoted = run_one(strategy, 3, 0.6)
    assert (promoted.continues, promoted.epochs, promoted.choices) == (1, 3, asks[1].choices)
    rewards = iter([0.1, 0.9, 0.2, 0.7, 0.1, 0.8, 0.2, 0.65, 0.2, 0.2])
    later = [run_one(strategy, trial_id, next(rewards)) for trial_id in range(4, 14)]
    ends = [(ask.trial_id, ask.continues) for ask in later if ask.epochs == 9]
    assert len(ends) == 1  # of the three that had three epochs the best
    assert strategy.leaders(1) == [next(ask.choices for ask in later if ask.epochs == 9)]


def test_a_trial_is_promoted_once_whatever_becomes_of_it() -> None:
    strategy, beneath = halving()
    for i, reward in enumerate([0.3, 0.5, 0.4]):
        run_one(strategy, i, reward)
    ask = strategy.ask(3)
    assert ask.continues == 1
    strategy.asked(ask)
    assert strategy.ask(4).continues is None  # also while it runs
    strategy.withdrawn(ask)
    assert strategy.ask(4).continues is None
    assert ("withdrawn", 3, None) not in beneath.heard


def test_strategy_beneath_halving_hears_of_every_trial_at_the_first_rung() -> None:
    strategy, beneath = halving()
    whole = Ask(trial_id=0, choices=(0,) * 6, epochs=9, purpose="baseline")
    curve = tuple(np.linspace(0.1, 0.9, 9).tolist())
    unknown = replace(whole, trial_id=1)
    for ask, result in ((whole, replace(outcome(0.9, curve), reward=0.45)), (unknown, outcome(0.9))):
        strategy.asked(ask)
        strategy.told(ask, result)
    for trial_id in (2, 3, 4, 5):
        run_one(strategy, trial_id, 0.2)
    assert [entry[:2] for entry in beneath.heard if entry[0] != "asked"] == [
        ("told", 0),
        ("withdrawn", 1),
        *(("told", trial_id) for trial_id in (2, 3, 5)),  # 4 is a promotion
    ]
    assert beneath.heard[1][2] == pytest.approx(0.05)


def test_whole_trainings_count_in_every_rung_and_are_not_promoted() -> None:
    strategy, _ = halving()
    for trial_id, last in enumerate((0.9, 0.8, 0.7)):
        ask = Ask(trial_id=trial_id, choices=(trial_id,) * 6, epochs=9, purpose="baseline")
        strategy.asked(ask)
        strategy.told(ask, outcome(last, tuple(last * k / 9 for k in range(1, 10))))
    assert run_one(strategy, 3, 0.05).epochs == 1  # the last of four
    assert run_one(strategy, 4, 0.2).epochs == 1
    assert strategy.ask(5).continues == 4  # of five the first
    assert strategy.leaders(1) == [(0,) * 6]


def test_states_are_kept_of_trials_that_may_soon_be_promoted() -> None:
    strategy, _ = halving(eta=4)
    for trial_id in range(200):
        run_one(strategy, trial_id, float(np.random.default_rng(trial_id).random()))
    kept = strategy.continuable()
    assert 0 < len(kept) <= SLACK * (len(strategy.rungs) - 1)


def test_halving_keeps_few_states_after_thousands_of_trials() -> None:
    strategy, _ = halving()
    for trial_id in range(3_000):
        run_one(strategy, trial_id, float(np.random.default_rng(trial_id).random()))
    assert len(strategy.continuable()) <= SLACK * 2


# ---------------------------------------------------------------------- a search


def test_rows_of_a_halving_search_say_what_was_promoted(make_config: MakeConfig, tmp_path: Path) -> None:
    config = halving_config(make_config)
    result = search(config, tmp_path / "run", execute=simulated(), start=learning_worker)
    rows = {row["trial_id"]: row for row in result.rows}
    promoted = [row for row in result.rows if row["continues"] is not None]
    assert {row["epochs"] for row in result.rows if row["purpose"] == "baseline"} == {9}
    assert {row["epochs"] for row in promoted} == {3, 9}
    for row in promoted:
        before = rows[row["continues"]]
        assert (row["choices"], row["seed"]) == (before["choices"], before["seed"])
        assert row["step_time_ratio"] == before["step_time_ratio"]
        assert row["train_seconds"] == row["epochs"] - before["epochs"]
        assert row["minival_accuracy"][: before["epochs"]] == before["minival_accuracy"]
    assert result.best is not None
    assert result.best["reward"] == max(row["reward"] for row in result.rows if row["epochs"] == 9)
    assert set(ranked(read_trials(tmp_path / "run"))["epochs"]) == {9}
    assert not verify_run(tmp_path / "run").faults
    saved = savings(result.rows)
    assert saved is not None
    completed = [row for row in result.rows if row["status"] == "completed"]
    assert saved.epochs == sum(own_epochs_of(row, rows) for row in completed)
    assert saved.epochs < saved.whole


def test_halving_budget_of_epochs_counts_those_that_were_trained(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = halving_config(make_config, budget={"epochs": 80}, baseline=2)
    rows = search(config, tmp_path / "run", execute=simulated(), start=learning_worker).rows
    spent = sum(row["train_seconds"] for row in rows if row["status"] == "completed")
    assert 80 <= spent < 86  # the last trial may have more than were left
    assert run_status(tmp_path / "run").budget.spent == spent


def test_finalists_of_a_halving_search_are_of_the_highest_rung(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = halving_config(make_config, finalists={"count": 2, "repeats": 2})
    result = search(config, tmp_path / "run", execute=simulated(), start=learning_worker)
    repeats = [row for row in result.rows if row["purpose"] == "repeat"]
    assert {row["epochs"] for row in repeats} == {9}
    whole = {tuple(r["choices"]) for r in result.rows if r["epochs"] == 9 and r["purpose"] != "repeat"}
    assert {tuple(row["choices"]) for row in repeats} <= whole
    assert len(result.standings) == 2


def test_halving_search_that_was_stopped_anywhere_goes_on_the_same(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = halving_config(make_config)
    expected = essential_columns(
        search(config, tmp_path / "run", execute=simulated(), start=learning_worker).rows
    )
    for stop_at in (5, 9, 17, 26):
        folder = tmp_path / str(stop_at)
        part = halving_config(make_config, budget={"trials": stop_at})
        search(part, folder, execute=simulated(), start=learning_worker)
        rows = search(config, folder, execute=simulated(), start=learning_worker).rows
        assert essential_columns(rows) == expected


def test_halving_search_in_memory_asks_as_one_with_a_log(make_config: MakeConfig, tmp_path: Path) -> None:
    config = halving_config(make_config, budget={"epochs": 90})
    with_log = search(config, tmp_path / "run", execute=simulated(workers=2), start=learning_worker)
    space = config.space.choice_space()
    seeds = {row["trial_id"]: row["seed"] for row in with_log.rows}

    def curve(choices: Choices, seed: int, trial_id: int) -> list[float]:
        return learning_curve(choices, seeds[trial_id], 9)

    def told(choices: Choices, seed: int, trial_id: int) -> Outcome:
        accuracy = curve(choices, seed, trial_id)[-1]
        params = (1000 + 10 * sum(choices)) / 1000
        reward = accuracy * 1.5**-0.07 * params**-0.05
        return Outcome(
            status="completed", reward=reward, accuracy=accuracy, step_time_ratio=1.5, params=params
        )

    known = KnownOutcomes(
        space=space, outcome=told, seconds=lambda c: 9.0, expected_reward=lambda c: 0.0, epochs=9, curve=curve
    )
    strategy = config.strategy.build(space, seed=0, epochs=9)
    ends = simulate_search(known, strategy, seed=0, trials=10, workers=2, baseline=config.baseline)
    rows = sorted(with_log.rows, key=lambda row: row["tell_seq"])
    assert [(e.ask.trial_id, list(e.ask.choices), e.ask.epochs, e.ask.continues) for e in ends] == [
        (r["trial_id"], r["choices"], r["epochs"], r["continues"]) for r in rows
    ]
    assert [e.outcome.reward for e in ends] == pytest.approx([r["reward"] for r in rows])
    assert sum(end.share for end in ends if end.counts) == pytest.approx(10, abs=1)
    assert len(recommended(ends, lambda choices: float(sum(choices)), trials=10)) == 10


def test_ranks_after_few_and_all_epochs_are_compared_on_the_baseline() -> None:
    rng = np.random.default_rng(0)

    def row(trial_id: int, purpose: str, *, epochs: int = 4) -> dict[str, Any]:
        last = rng.random()
        curve = [0.1, last / 2, last * rng.random(), last][:epochs]
        return {
            "trial_id": trial_id, "purpose": purpose, "status": "completed", "epochs": epochs,
            "minival_accuracy": curve, "accuracy": curve[-1], "reward": 0.5 * curve[-1], "continues": None,
        }  # fmt: skip

    short = [row(i, "search", epochs=2) for i in range(10)]
    baseline = [row(i, "baseline") for i in range(10, 20)]
    (second,) = rung_agreement([*short, *baseline])
    assert (second.epochs, second.of, second.count, second.chosen) == (2, 4, 10, False)
    assert second.tau.value == pytest.approx(1.0)
    (of_promoted,) = rung_agreement([*short, *(row(i, "search") for i in range(20, 26))])
    assert (of_promoted.count, of_promoted.chosen) == (6, True)
    assert rung_agreement(baseline) == []
