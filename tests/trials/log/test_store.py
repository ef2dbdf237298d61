"""The run directory: round trips, order, what survives kills and damage, and one driver at a time."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from companion import Companion, Told
from conftest import MakeConfig
from log_files import earlier_file, part_of
from recorded_rows import NOW, asked, epochs, fill, finished
from search_driver import hold

from analysis.frame import read_trials
from analysis.ranking import ranked
from search_spaces.settings.config_error import ConfigError
from trials.log.driver_lock import RunLockedError
from trials.log.durable_files import DurableFiles
from trials.log.reading import read_log
from trials.log.rows import (
    architecture_from_json,
    ask_from_row,
    cached_row,
    outcome_of,
)
from trials.log.run_reader import recorded_trials
from trials.log.schema import ASK_SCHEMA, EPOCH_SCHEMA, TRIAL_SCHEMA
from trials.log.store import RecordedAsk, RecordedTrial, RunStore
from trials.measurement import UNMEASURED_RATIO
from trials.trial import Ask


def test_views_of_a_run_are_in_the_order_of_trials_however_they_ended(tmp_path: Path) -> None:
    """Between sealed blocks and beyond them lie rows that are in none, each told later than the next."""
    with RunStore(tmp_path / "run", segment_size=2) as store:
        for trial_id in range(9):
            store.record_ask(asked(trial_id))
        for ended in ([8, 5, 4, 2], [1, 7, 0]):
            for trial_id in ended:
                for epoch in epochs(trial_id):
                    store.record_epoch(epoch)
                store.record_trial(finished(store.asks[trial_id]))
            store.refresh_views(force=True)
    trials = pd.read_parquet(tmp_path / "run" / "trials.parquet")
    assert trials.trial_id.tolist() == [0, 1, 2, 4, 5, 7, 8]
    seen = pd.read_parquet(tmp_path / "run" / "epochs.parquet")[["trial_id", "epoch"]].values.tolist()
    assert seen == sorted(seen)
    assert {trial_id for trial_id, _ in seen} == {0, 1, 2, 4, 5, 7, 8}


def test_rows_of_a_run_read_back_as_they_were_written(tmp_path: Path) -> None:
    with RunStore(tmp_path / "run") as store:
        ask = store.record_ask(asked(0))
        row = store.record_trial(finished(ask))
        asks, trials = dict(store.asks), dict(store.trials)
    with RunStore(tmp_path / "run") as again:
        assert again.asks == asks
        assert again.trials == trials
    assert set(row) == set(TRIAL_SCHEMA.names)
    assert set(ask) == set(ASK_SCHEMA.names)
    assert row["asked_at"] == NOW
    assert (row["ask_seq"], row["tell_seq"]) == (0, 1)
    filled = {name for name, value in row.items() if value is not None}
    inference = {name for name in TRIAL_SCHEMA.names if "inference" in name}
    never = {"continues", "failure_kind", "timing_flag", "peak_memory_bytes", "error", "timing_clock_mhz"}
    never |= {*inference, "minival_balanced_accuracy"}
    assert set(TRIAL_SCHEMA.names) - filled == never


def test_asks_and_architectures_survive_the_log(tmp_path: Path, make_config: MakeConfig) -> None:
    with RunStore(tmp_path / "run") as store:
        store.record_ask(asked(0))
    with RunStore(tmp_path / "run") as store:
        (row,) = store.in_flight()
    ask = ask_from_row(row)
    assert ask == Ask(trial_id=0, choices=(1, 0, 0), epochs=4, aux={"parent": 2, "π": [0.1, None]})
    assert architecture_from_json(row["architecture"]) == make_config().space.reference


def test_asks_and_tells_share_one_order_without_gaps(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    fill(folder)
    with RunStore(folder) as store:
        store.record_trial(finished(store.asks[4]))
        store.record_ask(asked(5))
        history = store.history()
    assert [recorded.place for recorded in history] == list(range(10))
    assert [type(recorded) for recorded in history] == (
        [RecordedAsk] * 5 + [RecordedTrial] * 4 + [RecordedAsk]
    )
    for _ in range(2):
        with RunStore(folder) as store:
            assert store.history() == history
            assert store.next_trial_id == 6
            assert [row["trial_id"] for row in store.in_flight()] == [3, 5]


def test_views_of_a_run_are_read_by_pandas_with_their_schema(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    fill(folder)
    frame = pd.read_parquet(folder / "trials.parquet")
    assert frame.trial_id.tolist() == [0, 1, 2]
    assert str(frame.asked_at.dtype).endswith("UTC]")
    assert len(pd.read_parquet(folder / "epochs.parquet")) == 6
    assert pq.read_schema(folder / "trials.parquet").names == TRIAL_SCHEMA.names
    assert pq.read_schema(folder / "epochs.parquet").names == EPOCH_SCHEMA.names
    assert ranked(read_trials(folder)).reward.is_monotonic_decreasing
    assert len(recorded_trials(folder)) == 3


class Eager(DurableFiles):
    """Files whose views are replaced whenever they are stale."""

    seconds_between_views = 0.0


def test_an_epoch_of_a_trial_in_flight_replaces_the_view_of_epochs_alone(tmp_path: Path) -> None:
    def written() -> list[int]:
        store.refresh_views()
        return [(tmp_path / "run" / name).stat().st_ino for name in ("trials.parquet", "epochs.parquet")]

    def replaced(before: list[int]) -> list[bool]:
        return [now != then for now, then in zip(written(), before, strict=True)]

    with RunStore(tmp_path / "run", files=Eager()) as store:
        for trial_id in range(2):
            store.record_ask(asked(trial_id))
        before = written()
        (epoch,) = epochs(1, count=1)
        store.record_epoch(epoch)
        assert replaced(before) == [False, True]
        before = written()
        assert replaced(before) == [False, False]
        store.record_trial(finished(store.asks[0]))
        assert replaced(before) == [True, True]
    assert pd.read_parquet(tmp_path / "run" / "trials.parquet").trial_id.tolist() == [0]
    assert pd.read_parquet(tmp_path / "run" / "epochs.parquet").trial_id.tolist()[-1] == 1


def test_only_the_last_attempts_epochs_are_kept(tmp_path: Path) -> None:
    with RunStore(tmp_path / "run") as store:
        store.record_ask(asked(0))
        for epoch in (*epochs(0, count=3), *epochs(0, attempt=2)):
            store.record_epoch(epoch)
        store.record_trial(finished(store.asks[0]))
        store.refresh_views(force=True)
    frame = pd.read_parquet(tmp_path / "run" / "epochs.parquet")
    assert frame.attempt.tolist() == [2, 2]


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "flipped":
        middle = data.index(b"PAR1") + 40  # within the first page
        data[middle] ^= 0x10
        path.write_bytes(data)
    else:
        other = sorted(path.parent.iterdir())[2]
        path.write_bytes(other.read_bytes())


@pytest.mark.parametrize("how", ["truncated", "empty", "flipped", "foreign"])
def test_a_damaged_row_is_moved_aside_and_its_trial_is_in_flight_again(how: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    fill(folder)
    damage(part_of(folder, "trial", 2), how)
    with RunStore(folder) as store:
        assert len(store.quarantined) == 1
        assert store.quarantined[0].parent == folder / "log" / "quarantine"
        assert [row["trial_id"] for row in store.in_flight()] == [2, 3, 4]
        store.record_trial(finished(store.asks[2]))
        assert sorted(store.trials) == [0, 1, 2]


@pytest.mark.parametrize("how", ["truncated", "deleted"])
def test_a_lost_ask_is_rebuilt_from_its_trials_row(how: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    fill(folder)
    path = part_of(folder, "ask", 1)
    with RunStore(folder) as store:
        before = dict(store.asks)
    if how == "deleted":
        path.unlink()
    else:
        damage(path, how)
    with RunStore(folder) as store:
        assert store.asks == before
    assert part_of(folder, "ask", 1) != path  # no part is ever replaced


def test_flipped_bits_of_a_row_are_never_read_as_data(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    fill(folder, trials=1, open_asks=0)
    path = part_of(folder, "trial", 0)
    good = path.read_bytes()
    with RunStore(folder) as store:
        row = store.trials[0]
    for position in range(0, len(good), max(len(good) // 200, 1)):
        flipped = bytearray(good)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(flipped)
        assert 0 not in read_log(folder, DurableFiles()).trials
    path.write_bytes(good)
    assert read_log(folder, DurableFiles()).trials == {0: row}


def test_half_written_files_of_a_run_are_swept(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    fill(folder)
    leftover = folder / "log" / "parts" / ".p00000099.parquet.abc.tmp"
    leftover.write_bytes(b"half")
    with RunStore(folder) as store:
        assert sorted(store.trials) == [0, 1, 2]
        assert store.quarantined == []
    assert not leftover.exists()


def test_run_has_one_driver_at_a_time_and_a_killed_one_frees_it(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    fill(folder)
    holder = Companion(hold, folder)
    holder.says("held")
    with pytest.raises(RunLockedError, match=f"process {holder.pid} on"):
        RunStore(folder).__enter__()
    holder.kill()
    with RunStore(folder) as store:
        assert len(store.trials) == 3


def test_folders_and_files_that_are_no_run_are_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(ConfigError, match="holds something else"):
        RunStore(tmp_path).__enter__()
    with pytest.raises(ConfigError, match="this is a file"):
        RunStore(tmp_path / "holiday.jpg").__enter__()
    with pytest.raises(ConfigError, match="not a run directory"):
        recorded_trials(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_infeasible_trials_keep_what_is_known_and_are_told_finite_numbers(tmp_path: Path) -> None:
    with RunStore(tmp_path / "run") as store:
        store.record_ask(asked(0))
        row = store.record_trial(
            finished(
                store.asks[0],
                reward=0.0,
                status="infeasible",
                failure_kind="out_of_memory",
                measurement=None,
                error="x" * 5000,
            )
        )
    assert row["params"] == 1010
    assert row["accuracy"] is None
    assert len(row["error"]) == 2000
    outcome = outcome_of(row)
    assert (outcome.reward, outcome.accuracy) == (0.0, 0.0)
    assert (outcome.step_time_ratio, outcome.params) == (UNMEASURED_RATIO, UNMEASURED_RATIO)


def test_a_cached_row_repeats_the_measurements_but_no_time(tmp_path: Path) -> None:
    with RunStore(tmp_path / "run") as store:
        first = store.record_trial(finished(store.record_ask(asked(0))))
        again = store.record_trial(cached_row(store.record_ask(asked(1)), first))
    assert again["status"] == "cached"
    assert (again["reward"], again["accuracy"], again["params"]) == (0.5, 0.25, first["params"])
    assert again["train_seconds"] is None
    assert (again["trial_id"], again["seed"]) == (1, 1)
    assert outcome_of(again).reward == outcome_of(first).reward


def read_views(told: Told, folder: str) -> None:
    """Reads a run's trials 150 times, and leaves a mark."""
    try:
        for _ in range(150):
            assert len(read_trials(folder)) >= 1
    finally:
        Path(f"{folder}-is-read").touch()


def test_a_reader_beside_the_driver_reads_only_whole_views(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    fill(folder, trials=1, open_asks=0)
    reader = Companion(read_views, str(folder))
    with RunStore(folder) as store:
        trial_id = 1
        while not Path(f"{folder}-is-read").exists():
            store.record_trial(finished(store.record_ask(asked(trial_id))))
            store.refresh_views(force=True)
            trial_id += 1
    assert reader.end()[1] == 0


def test_a_log_of_an_older_version_reads_with_nulls(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    fill(folder)
    older = pa.schema([field for field in TRIAL_SCHEMA if "inference" not in field.name])
    with RunStore(folder) as store:
        rows = {trial_id: {n: row[n] for n in older.names} for trial_id, row in store.trials.items()}
    (folder / "log" / "trials").mkdir()
    for trial_id, row in rows.items():
        part_of(folder, "trial", trial_id).unlink()
        (folder / "log" / "trials" / f"t{trial_id:08d}.parquet").write_bytes(earlier_file([row], older))
    with RunStore(folder) as store:
        assert not store.quarantined
        assert {row["inference_time_ratio"] for row in store.trials.values()} == {None}
        assert store.trials[1]["reward"] == rows[1]["reward"]
