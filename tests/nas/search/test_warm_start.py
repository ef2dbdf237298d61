"""A search that begins with what an earlier run found, and the front of what a run found."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import MakeConfig
from formula_searches import identity, run_search
from hypothesis import given
from hypothesis import strategies as st

from analysis.pareto import non_dominated, pareto_front
from nas.results.export import export_front
from nas.search.config import Budget, SearchConfig
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import read_yaml
from trials.log.file_names import WARM_START_FILE as FILE


def test_warm_started_strategy_learns_earlier_rows_that_no_budget_counts(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    run_search(make_config(), tmp_path / "earlier")
    config = make_config(warm_start=str(tmp_path / "earlier"), baseline=0, seed=5)
    result = run_search(config, tmp_path / "run")
    assert len([row for row in result.rows if row["status"] == "completed"]) == 12
    first = min(result.rows, key=lambda row: row["trial_id"])
    assert "parent" in first["aux"]  # evolution mutates a member of the earlier population at once
    cold = run_search(make_config(baseline=0, seed=5), tmp_path / "cold")
    assert "parent" not in min(cold.rows, key=lambda row: row["trial_id"])["aux"]


def begun_warm(make_config: MakeConfig, folder: Path) -> tuple[SearchConfig, object]:
    """`run` has 7 of 20 trials after those of `earlier`; the whole search, and what it is if left alone."""
    run_search(make_config(), folder / "earlier")
    whole = make_config(warm_start=str(folder / "earlier"), baseline=0, budget={"trials": 20})
    expected = identity(run_search(whole, folder / "whole"))
    run_search(replace(whole, budget=Budget(trials=7)), folder / "run")
    return whole, expected


def test_a_warm_run_is_continued_also_when_the_earlier_one_is_gone(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    whole, expected = begun_warm(make_config, tmp_path)
    shutil.rmtree(tmp_path / "earlier")
    assert identity(run_search(whole, tmp_path / "run")) == expected


def test_a_damaged_copy_of_the_earlier_rows_is_refused_and_removed_is_made_again(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    whole, expected = begun_warm(make_config, tmp_path)
    copy = tmp_path / "run" / FILE
    copy.write_bytes(copy.read_bytes()[:-40])
    with pytest.raises(ConfigError, match=r"warm_start\.parquet: its bytes are not those that were recorded"):
        run_search(whole, tmp_path / "run")
    copy.unlink()
    (tmp_path / "earlier").rename(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"warm_start: .*earlier: there is no such folder"):
        run_search(whole, tmp_path / "run")
    (tmp_path / "elsewhere").rename(tmp_path / "earlier")
    assert identity(run_search(whole, tmp_path / "run")) == expected


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"recipe": {"epochs": 3, "batch_size": 64, "resolution": 16, "flip": False}}, "recipe.epochs"),
        ({"space": "cifar"}, "space"),
        ({"timing": {"batch_size": 32}}, "timing.batch_size"),
    ],
)
def test_warm_start_from_rows_of_other_conditions_is_refused_and_leaves_nothing(
    make_config: MakeConfig, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    run_search(make_config(), tmp_path / "earlier")
    config = make_config(warm_start=str(tmp_path / "earlier"), **change)
    with pytest.raises(ConfigError, match=f"warm_start.*other conditions(.|\n)*{said}"):
        run_search(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_another_reward_may_be_searched_with_earlier_rows(make_config: MakeConfig, tmp_path: Path) -> None:
    run_search(make_config(), tmp_path / "earlier")
    config = make_config(warm_start=str(tmp_path / "earlier"), reward={"params": -0.5}, baseline=0)
    result = run_search(config, tmp_path / "run")
    assert len(result.rows) >= 12


def test_a_warm_start_from_no_run_is_refused(make_config: MakeConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"warm_start: .*there is no such folder"):
        run_search(make_config(warm_start=str(tmp_path / "nothing")), tmp_path / "run")


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=30))
def test_exported_front_is_what_no_other_trial_dominates(points: list[tuple[int, int, int]]) -> None:
    import numpy as np

    array = np.array(points, dtype=float)
    front = non_dominated(array)
    for i, point in enumerate(points):
        dominated = any(
            all(a >= b for a, b in zip(other, point, strict=True)) and other != point for other in points
        )
        assert (i in front) == (not dominated and points.index(point) == i)


def test_pareto_front_is_exported_as_files(make_config: MakeConfig, tmp_path: Path) -> None:
    result = run_search(make_config(budget={"trials": 30}), tmp_path / "run")
    front = pareto_front(result.rows)
    accuracies = [row["accuracy"] for row in front]
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies[0] == max(row["accuracy"] for row in result.rows)
    paths = export_front(tmp_path / "run", folder=tmp_path / "front", force=False)
    assert len(paths) == len(front) > 1
    for path, row in zip(paths, front, strict=True):
        assert read_yaml(Architecture, path).architecture_id == row["architecture_id"]
    with pytest.raises(ConfigError, match="exists"):
        export_front(tmp_path / "run", folder=tmp_path / "front", force=False)
