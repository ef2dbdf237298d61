"""The benchmark of strategies runs on a table and on synthetic spaces, and its statistics are right."""

import json
import sys
from itertools import product
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apart import run_apart
from places import REPOSITORY

from nas.simulation.simulate import simulate_search
from trials.trial import Ask, Outcome

BENCHMARKS = REPOSITORY / "tests" / "benchmarks"


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import peers

    return peers


@pytest.fixture
def problems(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import problems

    return problems


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import strategies

    return strategies


def run_benchmark(words: list[str]) -> None:
    """Runs the script with these words."""
    sys.argv = ["strategies.py", *words]
    sys.path.insert(0, str(BENCHMARKS))
    import strategies

    strategies.main()


def test_strategy_benchmark_runs_on_a_table_and_writes_curves_and_json(tmp_path: Path) -> None:
    rows = list(product(range(3), repeat=4))
    columns = {f"layer{i}": [row[i] for row in rows] for i in range(4)}
    runs = {f"test_acc_{run}": [80.0 + sum(row) + 0.1 * run for row in rows] for run in range(3)}
    costs = {name: [1.0 + sum(row) for row in rows] for name in ("params", "flops")}
    pq.write_table(pa.table({**columns, **runs, **costs}), tmp_path / "table.parquet")
    words = [
        "--table", str(tmp_path / "table.parquet"), "--seeds", "2", "--budgets", "10,20", "--workers", "1,4",
        "--output", str(tmp_path / "out"), "--strategies",
        "random_search,evolution,plain_evolution_20_5,optuna_tpe", "--objectives", "reward",
        "--processes", "1",
    ]  # fmt: skip
    done = run_apart(run_benchmark, words, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out" / "table.json").read_text())
    assert [(b["objective"], b["workers"]) for b in result["blocks"]] == [("reward", 1), ("reward", 4)]
    for block in result["blocks"]:
        assert set(block["strategies"]) == {
            "random_search", "evolution", "plain_evolution_20_5", "optuna_tpe"
        }  # fmt: skip
        for of in block["strategies"].values():
            assert of["at"]["10"]["regret"] >= of["at"]["20"]["regret"] >= -1e-9
    assert len(list((tmp_path / "out").glob("table-*.png"))) == 2
    assert "optuna_tpe" in done.stdout


@pytest.mark.parametrize("seed", range(4))
def test_synthetic_spaces_are_large_and_chance_does_not_find_their_best(
    seed: int, problems: ModuleType
) -> None:
    known = problems.synthetic_problem(seed, "reward")
    assert 20 <= len(known.space.num_options) <= 40
    assert 5e8 <= known.space.size <= 1e12
    rng = np.random.default_rng(seed)
    drawn = [known.space.sample(rng) for _ in range(500)]
    assert max(known.expected_reward(choices) for choices in drawn) < known.best
    seen = np.array([known.outcome(choices, 0, i).accuracy for i, choices in enumerate(drawn)])
    assert 0.015 < seen.std() < 0.04
    again = [known.outcome(drawn[0], 0, i).accuracy for i in range(200)]
    assert 0.002 < np.std(again) < 0.006
    assert set(known.space.known(drawn[0])) == {"params", "macs"}


def test_synthetic_spaces_differ_by_seed_and_not_by_run(problems: ModuleType) -> None:
    first, second = (problems.synthetic_problem(seed, "accuracy") for seed in (0, 1))
    problems.synthetic_problem.cache_clear()
    again = problems.synthetic_problem(0, "accuracy")
    assert first.space.num_options == again.space.num_options != second.space.num_options
    choices = first.space.sample(np.random.default_rng(0))
    assert first.expected_reward(choices) == again.expected_reward(choices)
    assert first.best == again.best


def test_plain_evolution_changes_one_decision_of_a_living_winner(peers: ModuleType) -> None:
    from search_spaces.choices.choice_space import ChoiceSpace

    space = ChoiceSpace((4, 1, 3, 5))
    strategy = peers.PlainEvolution(space, 0, population=5, tournament=5)
    for trial_id in range(30):
        ask = strategy.ask(trial_id)
        reward = 1.0 if trial_id == 27 else 0.1
        strategy.told(ask, Outcome(status="cached", reward=reward, accuracy=0, step_time_ratio=1, params=1))
        if trial_id == 27:
            winner = ask.choices
    children = [strategy.ask(trial_id).choices for trial_id in range(30, 130)]
    changed = [sum(a != b for a, b in zip(child, winner, strict=True)) for child in children]
    assert changed.count(1) > 50  # the winner is in most tournaments of five out of five with replacement
    assert all(space.contains(child) for child in children)


@pytest.mark.parametrize("name", ["optuna_tpe", "optuna_tpe_multivariate"])
@pytest.mark.parametrize("workers", [1, 3])
def test_optuna_in_the_benchmark_is_simulated_by_the_rules_of_a_search(
    name: str, workers: int, peers: ModuleType, problems: ModuleType
) -> None:
    known = problems.synthetic_problem(0, "reward")
    peer = peers.build_peer(name, known.space, 0, workers=workers)
    ends = simulate_search(known, peer, seed=0, trials=15, workers=workers, baseline=3)
    assert [end.ask.purpose for end in ends].count("baseline") == 3
    assert sum(end.counts for end in ends) == 15
    foreign = Ask(trial_id=99, choices=known.space.sample(np.random.default_rng(0)), epochs=1)
    peer.asked(foreign)
    peer.withdrawn(foreign)


def test_p_values_of_the_benchmark_are_corrected_by_holm(benchmark: ModuleType) -> None:
    assert benchmark.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert benchmark.holm([0.9, 0.9]) == [1.0, 1.0]


def test_differences_of_strategies_are_paired_by_seed(benchmark: ModuleType) -> None:
    rng = np.random.default_rng(0)
    theirs = rng.normal(size=50)
    mean, half_width, p = benchmark.paired(theirs, theirs[:40] - 0.1 + 0.01 * rng.normal(size=40))
    assert mean == pytest.approx(0.1, abs=0.01)
    assert half_width < 0.01
    assert p < 1e-6
    assert benchmark.paired(theirs, theirs) == (0.0, 0.0, 1.0)
