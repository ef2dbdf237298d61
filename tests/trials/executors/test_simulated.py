"""Simulated time: the order of ends, any number of workers, and the same rules as a search with a log."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clocks import calls_of
from conftest import MakeConfig
from formula import formula_worker

from nas.search.config import SearchConfig
from nas.search.exhaustion import MAX_DUPLICATES
from nas.search.search import search
from nas.search.seeds import DERIVE_TRIAL_SEED, seed_in_stream
from nas.simulation.simulate import (
    EPOCHS,
    KnownOutcomes,
    SimulatedEnd,
    recommended,
    simulate_search,
    simulate_seeds,
)
from nas.strategies.random_search import RandomSearch, RandomSearchSettings
from nas.strategies.table import STRATEGIES, build_strategy
from search_spaces.choices.choice_space import Choices, ChoiceSpace
from trials.executors.simulated import BEGINNING, in_simulated_time, simulated
from trials.log.rows import outcome_of
from trials.reward import Reward
from trials.trial import Ask, Event, Outcome, RunTrial, Slot, Trial, TrialResult

# ---------------------------------------------------------------------- time


def ends_of(durations: list[float | None], workers: int) -> list[tuple[int, float, int]]:
    """(task, when it started, slot) in the order of ends; tasks are numbered by their place."""
    tasks = [(i, seconds) if seconds is not None else None for i, seconds in enumerate(durations)]

    def run(task: tuple[int, float], slot: int, now: float) -> tuple[float, tuple[int, float, int]]:
        return task[1], (task[0], now, slot)

    return list(in_simulated_time(tasks, run, workers=workers))


def test_simulated_tasks_end_in_the_order_of_time_and_free_workers_take_the_next() -> None:
    assert ends_of([5, 1, 1, 1], 2) == [(1, 0, 1), (2, 1, 1), (3, 2, 1), (0, 0, 0)]
    assert [task for task, _, _ in ends_of([3, 2, 1], 3)] == [2, 1, 0]
    assert [task for task, _, _ in ends_of([3, 2, 1], 1)] == [0, 1, 2]


def test_simulated_tasks_that_end_at_once_come_in_the_order_of_starts() -> None:
    assert [task for task, _, _ in ends_of([2, 1, 1, 0], 2)] == [1, 0, 2, 3]
    assert [task for task, _, _ in ends_of([1] * 20, 7)] == list(range(20))


def test_simulated_workers_told_to_wait_wait_until_a_task_has_ended() -> None:
    assert ends_of([2, None, 1], 4) == [(0, 0, 0), (2, 2, 0)]


def test_impossible_simulated_durations_are_refused() -> None:
    for seconds in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="a finite number"):
            ends_of([seconds], 1)
    with pytest.raises(ValueError, match="at least 1"):
        simulated(workers=0)


# ---------------------------------------------------------------------- the executor


def slow_worker(slot: Slot) -> RunTrial:
    """The formula, taking seconds that depend on choices."""
    inner = formula_worker(slot)

    def run_trial(trial: Trial) -> Iterator[Event]:
        for event in inner(trial):
            if isinstance(event, TrialResult) and event.times is not None:
                times = replace(event.times, train_seconds=duration(trial.choices))
                event = replace(event, times=times)
            yield event

    return run_trial


def duration(choices: Choices) -> float:
    return 10.0 + 7 * (sum(choices) % 5) + len(choices)


WHEN = ("started_at", "finished_at")


def plain_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """In the order in which they were told, without what differs between any two runs."""
    told = sorted(rows, key=lambda row: row["tell_seq"])
    return [{k: v for k, v in row.items() if k not in ("asked_at", "environment_id")} for row in told]


def test_one_simulated_worker_gives_the_rows_of_the_in_process_executor(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    from trials.executors.in_process import in_process

    rows = {}
    for name, execute in (("simulated", simulated()), ("in_process", in_process(device="cpu"))):
        result = search(make_config(), tmp_path / name, execute=execute, start=slow_worker)
        rows[name] = [{k: v for k, v in row.items() if k not in WHEN} for row in plain_rows(result.rows)]
    assert rows["simulated"] == rows["in_process"]


def test_rows_of_a_simulated_search_have_simulated_times_of_all_workers(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(budget={"trials": 30})
    rows = search(config, tmp_path / "run", execute=simulated(workers=4), start=slow_worker).rows
    ran = [row for row in rows if row["status"] == "completed"]
    assert [row["finished_at"] for row in ran] == sorted(row["finished_at"] for row in ran)
    for row in ran:
        seconds = duration(tuple(row["choices"])) + 0.2
        assert row["finished_at"] - row["started_at"] == timedelta(seconds=seconds)
    changes = sorted([(row["started_at"], 1) for row in ran] + [(row["finished_at"], -1) for row in ran])
    assert max(np.cumsum([change for _, change in changes])) == 4
    assert min(row["started_at"] for row in ran) == BEGINNING


def test_a_simulated_search_is_the_same_every_time_and_continues(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(budget={"trials": 30})
    rows = [
        plain_rows(search(config, tmp_path / name, execute=simulated(workers=3), start=slow_worker).rows)
        for name in "ab"
    ]
    assert rows[0] == rows[1]
    longer = make_config(budget={"trials": 33})
    again = search(longer, tmp_path / "a", execute=simulated(workers=3), start=slow_worker).rows
    assert plain_rows(again)[:20] == rows[0][:20]
    assert sum(row["status"] == "completed" for row in again) == 33


def test_simulated_trial_without_a_duration_takes_no_time(make_config: MakeConfig, tmp_path: Path) -> None:
    def start(slot: Slot) -> RunTrial:
        return lambda trial: iter(
            [TrialResult(trial=trial, status="infeasible", failure_kind="out_of_memory", error="too large")]
        )

    rows = search(make_config(), tmp_path / "run", execute=simulated(workers=2), start=start).rows
    assert sum(row["status"] == "infeasible" for row in rows) == 12


# ---------------------------------------------------------------------- the same rules


def known_formula(config: SearchConfig) -> KnownOutcomes:
    """What trials of `slow_worker` give, as known outcomes."""
    reward = Reward(config.reward)
    space = config.space.choice_space(num_classes=1000, resolution=16)

    def outcome(choices: Choices, seed: int, trial_id: int) -> Outcome:
        trial = Trial(
            trial_id=trial_id,
            choices=choices,
            architecture=config.space.reference,
            recipe=config.recipe,
            epochs=config.recipe.epochs,
            seed=seed_in_stream(seed, trial_id, DERIVE_TRIAL_SEED),
        )
        (result,) = [e for e in formula_worker(Slot(index=0))(trial) if isinstance(e, TrialResult)]
        measured = result.measurement
        assert measured is not None
        found = outcome_of(
            {
                "status": "completed",
                "reward": reward(result),
                "accuracy": measured.accuracy,
                "step_time_ratio": measured.step_time.step_time_ratio,
                "params": measured.params,
                "reference_params": measured.reference_params,
            }
        )
        assert found is not None
        return found

    return KnownOutcomes(
        space=space, outcome=outcome, seconds=lambda c: duration(c) + 0.2, expected_reward=lambda choices: 0.0
    )


FEW = {  # 8 architectures of 3 decisions: repeats, twins, and a space that runs out
    "stem_channels": 8,
    "head_channels": 16,
    "stages": [
        {"op": ["mbconv", "fused_mbconv"], "kernel_size": [3, 5], "expansion_ratio": [4], "channels": 8,
         "layers": [1, 2]}
    ],
    "reference": "efficientnet-b0",
}  # fmt: skip


SIMULATED = [name for name in STRATEGIES if name != "successive_halving"]


@pytest.mark.parametrize(
    ("name", "workers"), [*((name, 4) for name in SIMULATED), ("random_search", 1), ("evolution", 1)]
)
@pytest.mark.parametrize("space", ["tiny", FEW], ids=["tiny", "few"])
def test_simulated_search_in_memory_asks_as_one_with_a_log(
    name: str, workers: int, space: Any, make_config: MakeConfig, tmp_path: Path
) -> None:
    settings = {"population": 6, "tournament": 2} if name == "evolution" else {}
    trials = 16 if space == "tiny" else 8
    config = make_config(space=space, strategy={"name": name, **settings}, budget={"trials": trials})
    with_log = search(config, tmp_path / "run", execute=simulated(workers=workers), start=slow_worker)
    known = known_formula(config)
    strategy = build_strategy(name, known.space, seed=config.seed, epochs=EPOCHS, settings=settings)
    ends = simulate_search(
        known, strategy, seed=config.seed, trials=trials, workers=workers, baseline=config.baseline
    )
    rows = sorted(with_log.rows, key=lambda row: row["tell_seq"])
    assert [
        (end.ask.trial_id, list(end.ask.choices), end.ask.purpose, end.outcome.status, end.outcome.reward)
        for end in ends
    ] == [(r["trial_id"], r["choices"], r["purpose"], r["status"], r["reward"]) for r in rows]
    statuses = {end.outcome.status for end in ends}
    assert statuses <= {"completed", "cached"}
    assert (
        space != FEW or name in ("policy_gradient", "predictor") or "cached" in statuses
    )  # which avoids what it has seen


# ---------------------------------------------------------------------- in memory


def counted(space: ChoiceSpace, seconds: float = 1.0) -> KnownOutcomes:
    """The reward is the sum of the choices over the largest; every trial takes as long."""
    most = sum(count - 1 for count in space.num_options) or 1

    def outcome(choices: Choices, seed: int, trial_id: int) -> Outcome:
        worth = sum(choices) / most
        return Outcome(status="completed", reward=worth, accuracy=worth, step_time_ratio=1.0, params=1.0)

    return KnownOutcomes(
        space=space,
        outcome=outcome,
        seconds=lambda c: seconds,
        expected_reward=lambda c: sum(c) / most,
        best=1.0,
    )


def run(space: ChoiceSpace, trials: int, *, workers: int = 1, baseline: int = 0) -> list[SimulatedEnd]:
    strategy = RandomSearch(space, 0, epochs=1, settings=RandomSearchSettings())
    return simulate_search(
        counted(space), strategy, seed=0, trials=trials, workers=workers, baseline=baseline
    )


def test_simulated_budget_counts_trained_trials_and_begins_with_the_baseline() -> None:
    ends = run(ChoiceSpace((3, 3, 3)), 25, baseline=10)
    trained = [end for end in ends if end.counts]
    assert len(trained) == len({end.ask.choices for end in trained}) == 25
    assert [end.ask.purpose for end in trained] == ["baseline"] * 10 + ["search"] * 15
    cached = [end for end in ends if not end.counts]
    assert cached
    assert all(end.outcome.status == "cached" for end in cached)
    assert len(ends) - len(trained) < MAX_DUPLICATES * 25


def test_simulation_ends_when_the_space_runs_out_and_its_curve_goes_on_flat() -> None:
    ends = run(ChoiceSpace((2, 2)), 10, workers=3)
    assert sum(end.counts for end in ends) == 4
    curve = recommended(ends, lambda choices: float(sum(choices)), trials=10)
    assert len(curve) == 10
    assert curve[3:] == [2.0] * 7


def test_simulated_workers_divide_the_time() -> None:
    assert run(ChoiceSpace((9,) * 9), 40)[-1].now == 40
    assert run(ChoiceSpace((9,) * 9), 40, workers=8)[-1].now == 5


def test_recommended_choices_are_the_best_seen_and_are_evaluated_apart() -> None:
    def told(trial_id: int, reward: float, status: Any = "completed") -> SimulatedEnd:
        outcome = Outcome(status=status, reward=reward, accuracy=0.5, step_time_ratio=1.0, params=1.0)
        return SimulatedEnd(Ask(trial_id=trial_id, choices=(trial_id,), epochs=1), outcome, 0.0)

    ends = [told(0, 0.5), told(1, 0.9), told(0, 1.0, "cached"), told(2, 0.7)]
    assert recommended(ends, lambda choices: -float(choices[0]), trials=3) == [0.0, -1.0, -1.0]


def test_simulated_seeds_are_independent_searches() -> None:
    space = ChoiceSpace((5,) * 6)

    def build(seed: int) -> RandomSearch:
        return RandomSearch(space, seed, epochs=1, settings=RandomSearchSettings())

    curves = simulate_seeds(counted(space), build, seeds=range(4), trials=30, workers=2)
    assert curves.expected_rewards.shape == (4, 30)
    assert len(set(curves.expected_rewards[:, 0].tolist())) > 1
    assert (np.diff(curves.expected_rewards, axis=1) >= 0).all()


def test_work_of_a_simulation_grows_no_faster_than_its_trials() -> None:
    space = ChoiceSpace((4,) * 20)
    short, long = (calls_of(lambda count=count: run(space, count, workers=16)) for count in (125, 1_000))  # type: ignore[misc]
    assert long < 9 * short


def test_outcomes_of_the_formula_depend_on_the_trials_seed(make_config: MakeConfig) -> None:
    """What the comparison with the log rests on: an outcome depends on the trial's own seed."""
    known = known_formula(make_config())
    choices = known.space.sample(np.random.default_rng(0))
    assert len({known.outcome(choices, 0, trial_id).reward for trial_id in range(20)}) > 1
