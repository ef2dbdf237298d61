"""Runs as frames: types, units, meanings, several runs, storage that is not local."""

import json
from pathlib import Path

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic_run import write_run

from analysis.frame import describe_columns, read_epochs, read_trials
from analysis.stages import STAGE_COLUMNS, read_stages, stages_of
from trials.log.schema import TRIAL_COLUMNS
from trials.log.views import view_bytes


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "one"
    write_run(folder, 60)
    return folder


def test_every_column_of_trials_is_typed_and_documented(run: Path) -> None:
    frame = read_trials(run)
    assert list(frame.columns) == ["run", *(column.name for column in TRIAL_COLUMNS)]
    assert set(frame["run"]) == {"one"}
    kinds = {name: str(frame[name].dtype) for name in frame}
    assert kinds["trial_id"] == kinds["params"] == "Int64"
    assert kinds["reward"] == "float64"
    assert kinds["started_at"].startswith("datetime64")
    assert kinds["timing_exclusive"] == "boolean"
    assert "object" not in kinds.values()
    documented = describe_columns()
    assert list(documented.index) == list(frame.columns)
    assert (documented["meaning"] != "").all()
    assert frame.attrs["units"]["step_seconds"] == "s"
    assert frame.attrs["units"]["step_time_ratio"] == "x reference"


def test_columns_of_epochs_are_described(run: Path) -> None:
    documented = describe_columns("epochs")
    assert set(documented.index) == set(read_epochs(run).columns)
    assert (documented["meaning"] + documented["unit"] != "").all()


def test_run_written_before_a_column_existed_is_read_with_nulls(run: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    table = pq.read_table(run / "trials.parquet").drop_columns(["timing_clock_mhz", "waiting_seconds"])
    pq.write_table(table, old / "trials.parquet")
    frame = read_trials(old)
    assert frame["timing_clock_mhz"].isna().all()
    assert len(frame) == table.num_rows


def test_several_runs_are_read_by_one_pattern(run: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "trials.parquet").write_bytes((run / "trials.parquet").read_bytes())
    frame = read_trials(tmp_path / "*", columns=["run", "trial_id", "reward"])
    assert list(frame.columns) == ["run", "trial_id", "reward"]
    assert frame.groupby("run").size().nunique() == 1
    assert set(frame["run"]) == {"a", "b"}


def test_run_on_object_storage_is_read_like_a_local_one(run: Path) -> None:
    with fsspec.open("memory://bucket/far/trials.parquet", "wb") as file:
        file.write((run / "trials.parquet").read_bytes())
    frame = read_trials("memory://bucket/far")
    pd.testing.assert_frame_equal(frame.drop(columns="run"), read_trials(run).drop(columns="run"))
    assert set(read_trials("memory://bucket/*")["run"]) == {"far"}


def test_missing_runs_unknown_columns_and_damaged_files_are_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere: no trials\.parquet"):
        read_trials(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="expected"):
        read_trials(tmp_path / "*")
    with pytest.raises(ValueError, match="no column rewards; columns are run, trial_id"):
        read_trials(run, columns=["rewards"])
    (tmp_path / "trials.parquet").write_bytes((run / "trials.parquet").read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"trials\.parquet: damaged"):
        read_trials(tmp_path)


def test_a_bit_that_flipped_in_a_view_is_found(run: Path, tmp_path: Path) -> None:
    view = view_bytes(pq.read_table(run / "trials.parquet", columns=["trial_id", "reward"]))
    column = pq.ParquetFile(pa.BufferReader(view)).metadata.row_group(0).column(1)
    place = (column.dictionary_page_offset + column.data_page_offset) // 2  # amid the values
    (tmp_path / "trials.parquet").write_bytes(view[:place] + bytes([view[place] ^ 1]) + view[place + 1 :])
    with pytest.raises(ValueError, match=r"trials\.parquet: damaged .*; continue the search"):
        read_trials(tmp_path, columns=["trial_id", "reward"])


def test_epochs_of_a_trial_are_read_in_order(run: Path) -> None:
    epochs = read_epochs(run)
    first = epochs[epochs.trial_id == 0]
    assert list(first["epoch"]) == [1, 2, 3, 4]
    assert first["minival_accuracy"].is_monotonic_increasing


def test_frame_of_stages_has_a_row_per_trial_and_stage(run: Path) -> None:
    stages, trials = read_stages(run), read_trials(run)
    for trial_id in (0, 17):
        text = trials.loc[trials.trial_id == trial_id, "architecture"].iloc[0]
        expected = json.loads(text)["stages"]
        own = stages[stages.trial_id == trial_id]
        assert list(own["stage"]) == list(range(1, len(expected) + 1))
        for name in ("op", "kernel_size", "channels", "layers", "se_ratio"):
            assert own[name].tolist() == [stage[name] for stage in expected]
    assert [column.name for column in STAGE_COLUMNS] == list(stages.columns)


def test_trials_without_an_architecture_have_no_stages(run: Path) -> None:
    trials = read_trials(run)[:3]
    none = trials.assign(architecture=pd.array([None] * 3, dtype="string"))
    assert len(stages_of(none)) == 0
    broken = trials.assign(architecture=pd.array(['{"stages": 3}'] * 3, dtype="string"))
    with pytest.raises(ValueError, match="architecture column"):
        stages_of(broken)


def test_frame_of_stages_has_younger_fields_where_a_stage_says_them(run: Path) -> None:
    trials = read_trials(run)[:2]
    texts = [json.loads(text) for text in trials["architecture"]]
    texts[0]["stages"][1] |= {"activation": "relu", "expansion_ratio": 3.5, "start_kernel_size": 5}
    stages = stages_of(trials.assign(architecture=[json.dumps(text) for text in texts]))
    own = stages[stages.trial_id == 0]
    assert own["activation"].tolist()[:2] == ["silu", "relu"]
    assert own["start_kernel_size"].tolist()[:2] == [0, 5]
    assert own["expansion_ratio"].tolist()[1] == 3.5
    assert set(stages[stages.trial_id == 1]["activation"]) == {"silu"}
