"""Signals, kills, full disks, strategies and rewards at fault: the search stops, says so, and continues."""

import errno
import itertools
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
import pyarrow.parquet as pq
import pytest
from clocks import Clock
from conftest import MakeConfig
from fault_files import Fault, FaultyDisk
from formula import formula_result, formula_worker
from formula_searches import identity
from search_driver import NEVER, config_of, driver

from analysis.frame import read_trials
from nas.results import status
from nas.results.status import run_status
from nas.results.verify import verify_run
from nas.search import environment, search_loop
from nas.search.search import SearchResult, search
from nas.search.stopping import SearchStoppedError, StopRequest
from nas.search.strategy_guard import SearchFailedError
from nas.strategies.random_search import RandomSearch, RandomSearchSettings
from nas.strategies.table import STRATEGIES
from trials.executors import simulated as simulated_file
from trials.executors.simulated import simulated
from trials.log import driver_lock, log_end
from trials.log import identity as identity_file
from trials.log.disk_wait import LogNotWrittenError, Patience
from trials.log.durable_files import DurableFiles
from trials.log.store import RunStore
from trials.trial import Ask, Event, Outcome, RunTrial, Slot, Trial, TrialResult

STOPPING = "stopping: trials in flight have {:g} s to end; a second signal stops at once"


def run(config: Any, folder: Path, start: Any = formula_worker, **options: Any) -> SearchResult:
    return search(config, folder, execute=simulated(), start=start, **options)


# ---------------------------------------------------------------------- signals


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_lets_the_trial_in_flight_end_and_says_how_to_continue(
    tmp_path: Path, number: int, code: int
) -> None:
    process = driver(tmp_path / "run", trials=12, free=2)
    process.says("trial 2")
    process.signal(number)
    process.says(STOPPING.format(NEVER))
    process.go_on()
    said, ended_with = process.end()
    assert ended_with == code
    assert "row 2" in said
    assert "trial 3" not in said
    assert "3 trials recorded; this continues:\n  nas search" in said
    assert len(pd.read_parquet(tmp_path / "run" / "trials.parquet")) == 3
    assert verify_run(tmp_path / "run").faults == ()
    resumed = run(config_of(12), tmp_path / "run", open_run=partial(RunStore, segment_size=4))
    assert identity(resumed) == identity(run(config_of(12), tmp_path / "whole"))


@pytest.mark.parametrize("by", ["a second signal", "the end of the grace time"])
def test_a_trial_that_does_not_end_is_left_in_flight(tmp_path: Path, by: str) -> None:
    grace = NEVER if by == "a second signal" else 0.01
    process = driver(tmp_path / "run", trials=12, free=0, grace=grace)
    process.says("trial 0")
    process.signal(signal.SIGTERM)
    process.says(STOPPING.format(grace))
    if by == "a second signal":
        process.signal(signal.SIGTERM)
    said, code = process.end()
    assert (code, "1 in flight will run again" in said) == (143, True)
    resumed = run(config_of(12), tmp_path / "run")
    assert identity(resumed) == identity(run(config_of(12), tmp_path / "whole"))


@pytest.mark.parametrize("lost", [0, 2])
def test_search_without_workers_is_stopped_at_once(
    lost: int, make_config: MakeConfig, tmp_path: Path
) -> None:
    """It has none yet, or none any more: nothing is in flight that could be waited for."""
    told: list[str] = []

    def execute(start: object, trials: Iterator[Trial | None]) -> Iterator[Event]:
        taken = [trial for trial in itertools.islice(trials, lost) if trial is not None]
        for trial in taken:
            yield TrialResult(trial=trial, status="crashed", failure_kind="worker_lost", error="gone")
        os.kill(os.getpid(), signal.SIGINT)
        told.append("it waits for workers on and on")
        yield from ()

    run_folder = tmp_path / "run"
    with (
        pytest.raises(SearchStoppedError) as stopped,
        StopRequest(grace=NEVER, say=told.append) as stop,
    ):
        search(make_config(), run_folder, execute=execute, start=formula_worker, stop=stop)
    assert not told
    assert stopped.value.exit_code == 130
    if lost:
        assert "0 trials recorded, 2 in flight will run again; this continues:" in str(stopped.value)
    else:
        assert str(stopped.value) == "stopped by SIGINT before the first trial; the same command begins it"
        assert not run_folder.exists()


# ---------------------------------------------------------------------- kills


def survive_kills(folder: Path, *, trials: int, kills: int, rng: random.Random) -> None:
    """Kills the driver again and again, at random moments after its first row; then lets it end.

    Each driver waits before its eighth trial ends, so that none has ended by itself when it is killed.
    """
    rows = 0
    assert 7 * kills < trials
    for _ in range(kills):
        process = driver(folder, trials=trials, free=7)
        assert any(line.startswith("row") for line in process.lines())
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        with RunStore(folder, segment_size=4) as store:
            assert len(store.trials) > rows, "no progress"
            rows = len(store.trials)
    assert driver(folder, trials=trials).end()[1] == 0
    assert verify_run(folder).faults == ()


def test_search_whose_driver_was_killed_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    survive_kills(tmp_path / "run", trials=24, kills=1, rng=random.Random(3))
    kept = run(config_of(24), tmp_path / "run", open_run=partial(RunStore, segment_size=4))
    assert identity(kept) == identity(run(config_of(24), tmp_path / "whole"))


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_driver_survives_a_hundred_kills(tmp_path: Path) -> None:
    survive_kills(tmp_path / "run", trials=900, kills=100, rng=random.Random(4))
    kept = run(config_of(900), tmp_path / "run", open_run=partial(RunStore, segment_size=4))
    assert identity(kept) == identity(run(config_of(900), tmp_path / "whole"))
    assert sum(row["status"] == "completed" for row in kept.rows) == 900


def test_readers_of_a_runs_view_never_see_half_a_row(tmp_path: Path) -> None:
    """Of a file that they are given open; by its path all four open it twice, and may meet two versions."""
    import duckdb
    import polars

    def by_duckdb(file: BinaryIO) -> list[float]:
        copy = tmp_path / "copy.parquet"  # for it takes paths alone
        copy.write_bytes(file.read())
        return [row[0] for row in duckdb.sql(f"select reward from '{copy}'").fetchall()]

    readers: list[Callable[[BinaryIO], list[float]]] = [
        lambda file: pd.read_parquet(file).reward.tolist(),
        lambda file: pq.read_table(file)["reward"].to_pylist(),
        lambda file: polars.read_parquet(file)["reward"].to_list(),
        by_duckdb,
        lambda file: read_trials(tmp_path / "run").reward.tolist(),
    ]
    folder = tmp_path / "run"
    process = driver(folder, trials=24, free=4)
    process.says("trial 4")
    seen = 4
    for _ in range(15):
        process.go_on()  # and its row is written, and the view, while they read
        for read in readers:
            with (folder / "trials.parquet").open("rb") as file:
                rewards = read(file)
            assert len(rewards) >= seen
            assert None not in rewards
            seen = len(rewards)
    for _ in range(24 - 4 - 15):
        process.go_on()
    assert process.end()[1] == 0
    assert len(pd.read_parquet(folder / "trials.parquet")) >= 24


# ---------------------------------------------------------------------- clocks


def test_clock_that_jumps_changes_no_order_of_a_search(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day forth and a day back, each time that somebody looks; readers look, too."""
    jumps = itertools.count()

    class Jumping(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + (-1) ** next(jumps) * timedelta(days=1)

    for module in (search_loop, environment, log_end, identity_file, driver_lock, simulated_file, status):
        monkeypatch.setattr(module, "datetime", Jumping)
    folder = tmp_path / "run"
    run(make_config(budget={"trials": 5}), folder)
    for path in (folder / "log" / "parts").iterdir():  # files of the future and of the past
        day = 86_400 * (-1) ** int(path.name[8])
        os.utime(path, (time.time() + day, time.time() + day))
    assert run_status(folder).state == "finished"
    assert identity(run(make_config(), folder)) == identity(run(make_config(), tmp_path / "whole"))
    assert next(jumps) > 24
    assert verify_run(folder).faults == ()
    assert run_status(folder).state == "finished"
    assert sorted(read_trials(folder)["trial_id"]) == list(range(12))


# ---------------------------------------------------------------------- full disks


def faulty(folder: Path, fault: Fault, patience: Patience) -> Any:
    folder.mkdir(exist_ok=True)
    files = DurableFiles(FaultyDisk(folder, fault=fault))
    return partial(RunStore, files=files, segment_size=4, patience=patience)


@pytest.fixture
def a_write(make_config: MakeConfig, tmp_path: Path) -> int:
    """The number of a step that writes, in the middle of a run."""
    writes: list[int] = []
    folder = tmp_path / "numbered"
    folder.mkdir()
    disk = FaultyDisk(
        folder, watch=lambda step, disk, data: writes.append(step.number) if step.name == "write" else None
    )
    run(make_config(), folder / "run", open_run=partial(RunStore, files=DurableFiles(disk), segment_size=4))
    return writes[len(writes) // 2]


def test_search_waits_for_space_on_a_full_disk_with_a_message(
    make_config: MakeConfig, tmp_path: Path, a_write: int
) -> None:
    said: list[str] = []
    clock = Clock()
    patience = Patience(seconds=600, say=said.append, clock=clock, sleep=clock.sleep)
    fault = Fault(a_write, errno.ENOSPC)
    run(make_config(), tmp_path / "a" / "run", open_run=faulty(tmp_path / "a", fault, patience))
    assert clock.now == 5
    assert "No space left on device; trying again every 5 s for 10 min" in said[0]
    assert said[1] == "it is written now; the search goes on"


def test_a_disk_that_stays_full_stops_the_search_which_continues(
    make_config: MakeConfig, tmp_path: Path, a_write: int
) -> None:
    clock = Clock()
    patience = Patience(seconds=600, clock=clock, sleep=clock.sleep)
    fault = Fault(a_write, errno.ENOSPC, forever=True)
    folder = tmp_path / "a" / "run"
    with pytest.raises(LogNotWrittenError, match=r"No space left on device\. Nothing that was recorded is"):
        run(make_config(), folder, open_run=faulty(tmp_path / "a", fault, patience))
    assert clock.now == 600
    assert identity(run(make_config(), folder)) == identity(run(make_config(), tmp_path / "whole"))


def test_stopping_a_search_ends_its_wait_for_a_full_disk(
    make_config: MakeConfig, tmp_path: Path, a_write: int
) -> None:
    clock = Clock()
    patience = Patience(seconds=600, clock=clock, sleep=clock.sleep, give_up=lambda: clock.now >= 10)
    fault = Fault(a_write, errno.ENOSPC, forever=True)
    with pytest.raises(LogNotWrittenError):
        run(make_config(), tmp_path / "a" / "run", open_run=faulty(tmp_path / "a", fault, patience))
    assert clock.now == 10


# ---------------------------------------------------------------------- strategies and rewards at fault


def strategy_at_fault(place: str, trial_id: int) -> Any:
    """A strategy whose method `place` is at fault at that trial."""

    class AtFault:
        Settings = RandomSearchSettings

        def __init__(self, space: Any, seed: int, *, epochs: int, settings: RandomSearchSettings) -> None:
            self.inner = RandomSearch(space, seed, epochs=epochs, settings=settings)

        def ask(self, number: int) -> Ask:
            ask = self.inner.ask(number)
            if place == "ask" and number == trial_id:
                raise IndexError("no such parent")
            if place == "NaN" and number == trial_id:
                return Ask(trial_id=number, choices=ask.choices, epochs=ask.epochs, aux={"p": float("nan")})
            if place == "choices" and number == trial_id:
                return Ask(trial_id=number, choices=(99, *ask.choices[1:]), epochs=ask.epochs)
            return ask

        def asked(self, ask: Ask) -> None:
            if place == "asked" and ask.trial_id == trial_id:
                raise IndexError("no such parent")

        def told(self, ask: Ask, outcome: Outcome) -> None:
            if place == "told" and ask.trial_id == trial_id:
                raise IndexError("no such parent")

        def withdrawn(self, ask: Ask) -> None:
            self.inner.withdrawn(ask)

    return AtFault


@pytest.mark.parametrize("place", ["ask", "NaN", "choices", "asked", "told"])
def test_a_strategy_at_fault_stops_the_search_and_nothing_is_trained_again(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    trained: list[int] = []

    def start(slot: Slot) -> RunTrial:
        inner = formula_worker(slot)

        def run_trial(trial: Trial) -> Iterator[Event]:
            trained.append(trial.trial_id)
            yield from inner(trial)

        return run_trial

    monkeypatch.setitem(STRATEGIES, "at_fault", strategy_at_fault(place, 5))
    config = make_config(strategy="at_fault")
    for _ in range(2):
        with pytest.raises(SearchFailedError, match=r"strategy at_fault, .* trial 5: .*\n  nas search"):
            run(config, tmp_path / "run", start)
    assert trained == list(range(6 if place == "told" else 5))
    monkeypatch.setitem(STRATEGIES, "at_fault", strategy_at_fault("nowhere", 5))
    config = make_config(strategy="at_fault")
    assert len(run(config, tmp_path / "run", start).rows) == 12
    assert trained == list(range(12))


def test_a_reward_that_is_no_number_stops_the_search_and_nothing_is_trained_again(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    trained: list[int] = []

    def start(slot: Slot) -> RunTrial:
        def run_trial(trial: Trial) -> Iterator[Event]:
            trained.append(trial.trial_id)
            ratio = 0.0 if trial.trial_id == 4 else 1.5  # to a negative power
            yield formula_result(trial, accuracy=0.5, ratio=ratio)

        return run_trial

    for _ in range(2):
        with pytest.raises(SearchFailedError, match="the reward of trial 4 is not a finite number"):
            run(make_config(), tmp_path / "run", start)
    assert trained == [0, 1, 2, 3, 4]
    row = pd.read_parquet(tmp_path / "run" / "trials.parquet").set_index("trial_id").loc[4]
    assert (row.status, row.accuracy, pd.isna(row.reward)) == ("completed", 0.5, True)
