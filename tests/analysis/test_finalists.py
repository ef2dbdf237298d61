"""Repeats of the best, architectures to begin with, and an order that does not depend on the workers."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeConfig
from formula import formula_worker, lucky
from formula_searches import TWO, identity, repeats_of, run_search

from analysis.finalists import Finalist, finalists, standings
from nas.report.facts import read_facts
from nas.results.export import exported_row
from nas.search.best_file import best_yaml
from nas.search.config import SearchConfig
from nas.search.search import SearchResult, search
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.seal import sealed_text
from search_spaces.settings.yaml_files import from_mapping, read_yaml, to_mapping
from trials.executors.simulated import simulated
from trials.trial import Event, RunTrial, Slot, Trial, TrialResult


def row(trial_id: int, purpose: str, choices: list[int], reward: float, status: str = "completed") -> Any:
    return {
        "trial_id": trial_id, "purpose": purpose, "choices": choices, "reward": reward, "status": status,
        "accuracy": reward,
    }  # fmt: skip


# ---------------------------------------------------------------- the figures


def test_finalists_are_ranked_by_their_repeats_alone() -> None:
    rows = [
        row(0, "baseline", [0], 0.9),
        row(1, "search", [1], 0.8),
        row(2, "search", [0], 0.95),
        row(3, "repeat", [0], 0.5),
        row(4, "repeat", [1], 0.7),
        row(5, "repeat", [0], 0.6),
        row(6, "repeat", [1], 0.0, "infeasible"),
        row(7, "repeat", [1], 0.0, "crashed"),
    ]
    first, second = finalists(rows)
    assert (first.trial_id, first.selected_reward, first.rewards) == (2, 0.95, (0.5, 0.6))
    assert (second.trial_id, second.rewards) == (1, (0.7, 0.0))


def test_intervals_of_finalists_hold_the_true_mean_in_95_of_100_cases() -> None:
    rng = np.random.default_rng(0)
    held, better, cases = 0, [], 400
    for _ in range(cases):
        samples = rng.normal(0.5, 0.02, size=(3, 4))
        ranked = sorted(
            (Finalist(i, 0.0, tuple(sample), tuple(sample)) for i, sample in enumerate(samples)),
            key=lambda finalist: finalist.trial_id,
        )
        found = standings(ranked)
        assert found[0].low is not None
        assert found[0].high is not None
        held += found[0].low <= 0.5 <= found[0].high
        assert found[0].better_than_next is not None
        better.append(found[0].better_than_next)
    assert 0.92 <= held / cases <= 0.98
    assert np.quantile(better, [0.25, 0.75]) == pytest.approx([0.25, 0.75], abs=0.07)  # equals: uniform


def test_finalists_with_one_repeat_each_have_means_and_no_intervals() -> None:
    found = standings([Finalist(0, 1.0, (0.9,), (0.9,)), Finalist(1, 1.0, (0.8,), (0.8,))])
    assert [(s.low, s.better_than_next) for s in found] == [(None, None)] * 2


# ---------------------------------------------------------------- in a search


def test_best_architectures_are_repeated_beyond_the_budget_with_other_seeds(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    result = run_search(make_config(finalists=TWO), tmp_path / "run")
    searched = [row for row in result.rows if row["purpose"] != "repeat" and row["status"] == "completed"]
    assert len(searched) == 12
    best = sorted(searched, key=lambda row: -row["reward"])[:2]
    for chosen in best:
        again = [row for row in repeats_of(result) if row["choices"] == chosen["choices"]]
        assert len({chosen["seed"], *(row["seed"] for row in again)}) == 4
    assert len(repeats_of(result)) == 6
    assert {row["status"] for row in repeats_of(result)} == {"completed"}  # none is answered from the cache


def exported(run: Path) -> str:
    row, standing = exported_row(run, trial=None)
    return sealed_text(best_yaml(row, run=run, file=run / "best.yaml", standing=standing))


@pytest.mark.parametrize("repeated", [False, True])
def test_a_strategy_that_recommends_chooses_by_what_it_expects_not_by_luck(
    repeated: bool, make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(
        strategy={"name": "predictor", "initial": 8},
        reward={"params": -0.001},  # else what a network costs decides more than luck
        budget={"trials": 30},
        baseline=8,
        finalists=TWO if repeated else None,
    )
    result = run_search(config, tmp_path / "run", lucky)
    rows = {row["trial_id"]: row for row in result.rows}
    assert max(rows.values(), key=lambda row: row["reward"])["trial_id"] == 0
    assert rows[0]["choices"] not in [row["choices"] for row in repeats_of(result)]
    assert len(repeats_of(result)) == (6 if repeated else 0)
    assert result.best is not None
    assert result.best["trial_id"] != 0
    text = (tmp_path / "run" / "best.yaml").read_text()
    assert exported(tmp_path / "run") == text
    winner = read_facts(tmp_path / "run").winner
    assert winner is not None
    assert winner.trial_id == result.best["trial_id"]


def test_best_yaml_is_the_winner_by_mean_and_export_agrees(make_config: MakeConfig, tmp_path: Path) -> None:
    """The trial that selected the second is unlucky here: its architecture is the better one."""

    result = run_search(make_config(finalists=TWO), tmp_path / "run", lucky)
    assert result.best is not None
    assert result.best["trial_id"] != 0
    assert result.standings[1].finalist.trial_id == 0
    best = read_yaml(Architecture, tmp_path / "run" / "best.yaml")
    assert best.architecture_id == result.best["architecture_id"]
    assert best.provenance is not None
    assert len(best.provenance["repeated_rewards"]) == 3
    assert exported(tmp_path / "run") == (tmp_path / "run" / "best.yaml").read_text()


def test_a_search_stopped_among_the_repeats_goes_on_with_them(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(finalists=TWO)
    whole = run_search(config, tmp_path / "whole")

    def stopping(slot: Slot) -> RunTrial:
        inner = formula_worker(slot)

        def run_trial(trial: Trial) -> Iterator[Event]:
            if trial.trial_id == 15:
                raise KeyboardInterrupt
            yield from inner(trial)

        return run_trial

    with pytest.raises(KeyboardInterrupt):
        run_search(config, tmp_path / "run", stopping)
    continued = run_search(config, tmp_path / "run")
    assert [line[:5] + line[6:] for line in identity(continued)] == [
        line[:5] + line[6:] for line in identity(whole)
    ]
    assert continued.standings == whole.standings


def test_larger_budget_searches_on_and_repeats_only_new_finalists(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    run_search(make_config(finalists=TWO), tmp_path / "run")
    result = run_search(make_config(finalists=TWO, budget={"trials": 30}), tmp_path / "run")
    counts: dict[tuple[int, ...], int] = {}
    for repeat in repeats_of(result):
        counts[tuple(repeat["choices"])] = counts.get(tuple(repeat["choices"]), 0) + 1
    assert set(counts.values()) == {3}
    assert len([r for r in result.rows if r["purpose"] != "repeat" and r["status"] == "completed"]) == 30


# ---------------------------------------------------------------- where it begins


def test_initial_architectures_are_the_first_trials(make_config: MakeConfig, tmp_path: Path) -> None:
    space = make_config().space
    chosen = [space.decode(space.largest()), space.decode(space.smallest())]
    result = run_search(make_config(initial=[to_mapping(a) for a in chosen]), tmp_path / "run")
    first = sorted(result.rows, key=lambda row: row["trial_id"])[:5]
    assert [row["architecture_id"] for row in first[:2]] == [a.architecture_id for a in chosen]
    assert [row["purpose"] for row in first] == ["search"] * 2 + ["baseline"] * 3


def test_an_initial_architecture_outside_the_space_is_refused(make_config: MakeConfig) -> None:
    outside = replace(make_config().space.reference, head_channels=77)
    with pytest.raises(ConfigError, match=r"initial\[0\]"):
        make_config(initial=[to_mapping(outside)])


# ---------------------------------------------------------------- in which order


def simulated_search(config: SearchConfig, folder: Path, workers: int) -> SearchResult:
    def uneven(slot: Slot) -> RunTrial:
        inner = formula_worker(slot)

        def run_trial(trial: Trial) -> Iterator[Event]:
            for event in inner(trial):
                if isinstance(event, TrialResult):
                    assert event.times is not None
                    seconds = 1.0 + (trial.trial_id * 7919) % 13
                    yield replace(event, times=replace(event.times, train_seconds=seconds))
                else:
                    yield event

        return run_trial

    return search(config, folder, execute=simulated(workers=workers), start=uneven)


def asked(result: SearchResult) -> list[tuple[int, tuple[int, ...]]]:
    return sorted((row["trial_id"], tuple(row["choices"])) for row in result.rows)


def test_with_a_fixed_lag_the_number_of_workers_changes_no_ask(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(order={"fixed_lag": 4}, budget={"trials": 40})
    results = [simulated_search(config, tmp_path / f"{n}", n) for n in (1, 2, 4)]
    assert asked(results[0]) == asked(results[1]) == asked(results[2])
    arrival = make_config(budget={"trials": 40})
    orders = [asked(simulated_search(arrival, tmp_path / f"arrival-{n}", n)) for n in (1, 4)]
    assert orders[0] != orders[1]


def test_strategy_with_a_lag_longer_than_the_search_hears_of_no_trial(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    result = simulated_search(make_config(order={"fixed_lag": 1000}), tmp_path / "run", 3)
    assert len(result.rows) == 12
    assert all("parent" not in row["aux"] for row in result.rows)  # evolution never heard of anybody


def test_a_fixed_lag_search_is_continued_as_it_would_have_gone_on(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(order={"fixed_lag": 3}, budget={"trials": 30})
    whole = simulated_search(config, tmp_path / "whole", 3)
    simulated_search(replace(config, budget=replace(config.budget, trials=13)), tmp_path / "run", 3)
    continued = simulated_search(config, tmp_path / "run", 3)
    assert asked(continued) == asked(whole)


def test_an_order_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="order"):
        from_mapping(SearchConfig, {"order": {"lag": 3}}, name="search.yaml")
