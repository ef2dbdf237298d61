"""The state of a run: running, finished, stopped; read without its lock and without a trace."""

import fcntl
import itertools
import json
import os
import shlex
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from companion import Companion
from conftest import MakeConfig
from folders import files_of
from formula import formula_result
from formula_searches import run_search, run_until
from log_files import forget_identity, part_of
from rich.console import Console
from screens import screen_text
from search_driver import hold
from typed_commands import COMMAND

from nas.commands.follow import follow
from nas.results.status import Spent, run_status
from nas.results.time_left import Remaining, seconds_left
from nas.screens.status import status_screen
from nas.search.config import Budget
from nas.search.search import search
from search_spaces.settings.config_error import ConfigError
from trials.executors.in_process import in_process
from trials.log.run_reader import RunLog, read_run
from trials.log.store import RunStore
from trials.trial import Event, TrialResult


def test_the_command_that_continues_a_run_can_be_typed_whatever_its_folder_is_called(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "my run"
    run_until(make_config(), folder, rows=4)
    text = screen_text(status_screen(run_status(folder)), width=300)
    (line,) = (line for line in text.splitlines() if "(continues)" in line)
    typed = shlex.split(line.removesuffix("(continues)").removeprefix("next:"))
    assert typed == ["nas", "search", f"{folder}/search.yaml", "--run", str(folder)]


def test_status_of_a_finished_run_counts_its_trials_and_writes_nothing(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    run_search(make_config(), folder)
    before = files_of(folder)
    figures = run_status(folder)
    assert files_of(folder) == before
    assert figures.state == "finished"
    assert figures.status["completed"] == 12
    assert figures.purpose["baseline"] == 3
    assert figures.budget == Spent(unit="trials", spent=12, total=12)
    rows = RunStore(folder)
    with rows:
        best = max(rows.trials.values(), key=lambda row: row["reward"])
    assert figures.best is not None
    assert figures.best.trial_id == best["trial_id"]
    assert figures.seconds_left is None
    screen = screen_text(status_screen(figures))
    assert "12/12 trials   12 completed" in screen
    assert f"nas export {folder}"[:60] in screen.replace("\n", "")


def test_status_of_a_stopped_run_says_how_to_continue(make_config: MakeConfig, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run_until(make_config(), folder, rows=5)
    figures = run_status(folder)
    assert figures.state == "stopped"
    assert figures.budget.spent == 5
    assert figures.asked == figures.in_flight + 5
    assert "(continues)" in screen_text(status_screen(figures))


def test_status_of_a_running_run_names_its_driver(make_config: MakeConfig, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run_until(make_config(), folder, rows=4)
    holder = Companion(hold, folder)
    holder.says("held")
    figures = run_status(folder)
    holder.kill()
    assert figures.state == "running"
    assert (figures.driver or "").startswith(f"process {holder.pid} on")
    assert run_status(folder).state == "stopped"


START = datetime(2026, 1, 1, tzinfo=UTC)


def log_of_ends(*seconds: float, in_flight: int, **columns: Any) -> RunLog:
    """Completed trials that ended so long after the driver's start."""
    trials = {
        i: {"status": "completed", "purpose": "search", "epochs": 2, **columns}
        | {"finished_at": START + timedelta(seconds=end)}
        for i, end in enumerate(seconds)
    }
    asks: dict[int, Any] = {len(trials) + i: {} for i in range(in_flight)}
    return RunLog(trials, asks, (), "somebody", START)


def left(log: RunLog, now: float, *, budget: Budget | None = None, repeats: int = 0) -> float | None:
    """With 6 of 10 left in the budget; of finalists alone if there are repeats."""
    to_do = Remaining(budget=0.0 if repeats else 6.0, repeats=repeats, repeat_epochs=2)
    return left_to_do(log, now, to_do, budget=budget)


def left_to_do(log: RunLog, now: float, to_do: Remaining, *, budget: Budget | None = None) -> float | None:
    return seconds_left(
        budget or Budget(trials=10), log.trials.values(), to_do,
        by_id=log.trials, started=START, at_once=len(log.in_flight), now=START + timedelta(seconds=now),
    )  # fmt: skip


def test_time_left_of_a_run_goes_by_the_median_pace_of_its_last_trials() -> None:
    """One worker: a first trial after a long start, then one every 20 s but for a slow one."""
    log = log_of_ends(100, 120, 220, 240, 260, in_flight=1)
    assert left(log, 260) == pytest.approx(6 * 20)
    assert left(log, 265) == pytest.approx(6 * 20 - 5)
    assert left(log, 1000) == pytest.approx(5 * 20)  # the one under way takes longer, but is one


def test_trials_that_end_together_do_not_disturb_the_time_left() -> None:
    """Two workers in step: two trials every 20 s."""
    log = log_of_ends(20, 20, 40, 40, 60, 60, in_flight=2)
    assert left(log, 60) == pytest.approx(6 * 10)


def test_time_left_is_known_for_epochs_and_unknown_without_durations() -> None:
    log = log_of_ends(10, 20, 30, in_flight=1)
    assert left(log, 30, budget=Budget(epochs=10)) == pytest.approx(3 * 10)  # 6 epochs, 2 a trial
    assert left(log, 30, budget=Budget(device_seconds=10)) is None  # no durations in these rows
    assert left(log_of_ends(in_flight=2), 50) is None
    assert left(log_of_ends(-50, in_flight=2), 50) is None  # an earlier driver's
    assert left(log_of_ends(30, in_flight=1), 30) == pytest.approx(6 * 30)


def test_the_time_left_includes_the_finalists_repeats() -> None:
    log = log_of_ends(10, 20, 30, in_flight=1)
    assert left(log, 30, repeats=4) == pytest.approx(4 * 10)
    whole = Remaining(budget=6.0, repeats=4, repeat_epochs=2)
    assert left_to_do(log, 30, whole) == pytest.approx(100)
    longer = Remaining(budget=0.0, repeats=4, repeat_epochs=6)  # trials had a third of a whole training
    assert left_to_do(log, 30, longer) == pytest.approx(120)
    repeating = log_of_ends(10, 20, 30, in_flight=1, purpose="repeat")  # all that this driver has done
    assert left(repeating, 30, repeats=2) == pytest.approx(2 * 10)


def test_status_counts_infeasible_trials_and_their_reasons(make_config: MakeConfig, tmp_path: Path) -> None:
    def start(slot: object) -> Any:
        def run_trial(trial: Any) -> Any:
            events: list[Event] = [formula_result(trial, accuracy=0.5)]
            if trial.trial_id % 2:
                events = [TrialResult(trial=trial, status="infeasible", failure_kind="over_limit")]
            yield from events

        return run_trial

    search(make_config(), tmp_path / "run", execute=in_process(device="cpu"), start=start)
    figures = run_status(tmp_path / "run")
    assert figures.status == {"completed": 6, "infeasible": 6}
    assert figures.failure_kind == {"over_limit": 6}


def test_status_names_damaged_parts_and_leaves_them_alone(make_config: MakeConfig, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run_search(make_config(), folder)
    part = part_of(folder, "trial", 3)
    part.write_bytes(part.read_bytes()[:-40])
    before = files_of(folder)
    figures = run_status(folder)
    assert figures.unreadable == (f"log/parts/{part.name}",)
    assert (figures.in_flight, figures.state) == (0, "finished")  # the view holds its row
    (folder / "trials.parquet").unlink()
    figures = run_status(folder)
    assert (figures.in_flight, figures.state) == (1, "stopped")
    before.pop("trials.parquet")
    assert files_of(folder) == before


def test_status_of_what_is_no_run_is_refused(make_config: MakeConfig, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    for name in ("nowhere", "empty", "file"):
        with pytest.raises(ConfigError, match=f"{name}: (there is no such folder|not a run directory)"):
            run_status(tmp_path / name)
    run_search(make_config(), tmp_path / "run")
    (tmp_path / "run" / "search.yaml").write_text("space: [")
    with pytest.raises(ConfigError, match=r"run/search.yaml: not as the log has recorded it: nas verify"):
        run_status(tmp_path / "run")
    forget_identity(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"run: its search.yaml does not read\nsearch\.yaml: line"):
        run_status(tmp_path / "run")


def test_status_of_a_run_that_has_only_begun_is_shown(make_config: MakeConfig, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run_search(make_config(), folder)
    begun = tmp_path / "begun"
    (begun / "log" / "parts").mkdir(parents=True)
    (begun / "search.yaml").write_bytes((folder / "search.yaml").read_bytes())
    figures = run_status(begun)
    assert (figures.state, figures.asked, figures.best) == ("stopped", 0, None)
    assert "no trial has ended" in screen_text(status_screen(figures))


@pytest.mark.parametrize("view", ["older", "missing", "damaged"])
def test_rows_that_status_reads_are_the_logs_whatever_the_view_holds(
    make_config: MakeConfig, tmp_path: Path, view: str
) -> None:
    folder = tmp_path / "run"
    run_until(make_config(), folder, rows=5)
    older = (folder / "trials.parquet").read_bytes()
    run_search(make_config(), folder)
    with RunStore(folder) as store:
        trials = dict(store.trials)
    if view == "missing":
        (folder / "trials.parquet").unlink()
    else:
        (folder / "trials.parquet").write_bytes(older if view == "older" else older[:-20])
    log = read_run(folder)
    assert log.trials == trials
    assert (log.in_flight, log.unreadable, log.asked) == ({}, (), len(trials))


def test_status_reads_a_view_that_is_whole_instead_of_the_parts(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    run_search(make_config(), folder)
    written = (folder / "trials.parquet").stat().st_mtime
    part = part_of(folder, "trial", 3)
    part.write_bytes(b"not looked at")
    os.utime(part, (written - 1, written - 1))
    assert run_status(folder).unreadable == ()


def letting_go_at_sleep(number: int, handle: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody sleeps any more; whoever would for that many times finds the lock let go."""
    sleeps = itertools.count(1)
    monkeypatch.setattr(time, "sleep", lambda seconds: next(sleeps) == number and os.close(handle))


def test_watching_a_run_shows_each_look_and_ends_with_the_driver(
    make_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "run"
    run_until(make_config(), folder, rows=4)
    handle = os.open(folder / "lock", os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    letting_go_at_sleep(2, handle, monkeypatch)
    follow(folder, Console(), as_json=True)
    states = [json.loads(line)["state"] for line in capsys.readouterr().out.splitlines()]
    assert states == ["running", "running", "stopped"]


def test_ctrl_c_ends_watching_a_run_without_an_error(make_config: MakeConfig, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run_until(make_config(), folder, rows=4)
    with RunStore(folder):
        # What runs in the background inherits an ignored SIGINT; somebody at a terminal does not.
        watching = subprocess.Popen(
            [*COMMAND, "status", str(folder), "--watch", "--json"],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["state"] == "running"
        watching.send_signal(signal.SIGINT)
        assert watching.wait(timeout=300) == 0


def test_driver_waits_until_nobody_asks_for_the_runs_lock(
    tmp_path: Path, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    run_search(make_config(), folder)
    handle = os.open(folder / "lock", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    letting_go_at_sleep(1, handle, monkeypatch)
    with RunStore(folder) as store:
        assert len(store.trials) >= 12
