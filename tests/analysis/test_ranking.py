"""Rewards of whole runs under other exponents, and the trials with the best of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clocks import calls_of
from synthetic_run import synthetic_config, synthetic_rows, write_rows, write_run

from analysis.frame import read_trials
from analysis.ranking import ranked, reranked, rewards, searched
from trials.log.schema import TRIAL_SCHEMA


def test_rewards_recomputed_with_the_runs_exponents_are_those_recorded(tmp_path: Path) -> None:
    write_run(tmp_path / "run", 60)
    trials = read_trials(tmp_path / "run")
    same = rewards(trials, {"step_time_ratio": -0.07, "params": -0.05})
    np.testing.assert_allclose(same, trials["reward"])
    assert (same[trials.status == "infeasible"] == 0).all()
    other = ranked(reranked(trials, {"params": -2.0}))
    assert other.iloc[0]["params"] < searched(trials)["params"].median()
    with pytest.raises(ValueError, match="did you mean 'params'"):
        rewards(trials, {"param": -1.0})


def write_many_rows(path: Path, count: int) -> None:
    config = synthetic_config(finalists=None)
    rows: list[dict[str, Any]] = synthetic_rows(config, 100)
    write_rows(path, rows)
    table = pq.read_table(path)
    tiled = pa.concat_tables([table] * (count // len(table))).combine_chunks()
    ids = pa.array(np.arange(tiled.num_rows))
    pq.write_table(tiled.set_column(0, TRIAL_SCHEMA.field("trial_id"), ids), path, compression="zstd")


def test_reading_and_reranking_a_run_call_no_function_for_each_row(tmp_path: Path) -> None:
    calls = []
    for count in (1_000, 1_000, 20_000):  # the first time, what is needed is also loaded

        def best(count: int = count) -> None:
            frame = read_trials(tmp_path / str(count))
            assert len(frame) == count
            found = ranked(reranked(frame, {"step_time_ratio": -0.2, "macs": -0.1}), 10)
            assert found.reward.is_monotonic_decreasing

        (tmp_path / str(count)).mkdir(exist_ok=True)
        write_many_rows(tmp_path / str(count) / "trials.parquet", count)
        calls.append(calls_of(best))
    assert calls[2] < 1.5 * calls[1]
