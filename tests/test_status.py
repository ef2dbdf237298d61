"""The state of a run: running, finished, stopped; read without its lock and without a trace."""

import fcntl
import io
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeConfig, formula_result, formula_worker
from rich.console import Console

from nas.search import search
from nas.status import _seconds_left, _spent, run_status, status_screen
from search_spaces.yaml_io import ConfigError
from trials.executors.in_process import in_process
from trials.run_reader import read_run
from trials.store import RunStore
from trials.trial import Event, TrialResult


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(config: Any, folder: Path, *, until: int | None = None) -> None:
    """A search of formula trials; stopped after that many rows, with more in flight."""

    def stop(news: object) -> None:
        if until is not None and len(list((folder / "log" / "trials").glob("t*"))) >= until:
            raise KeyboardInterrupt

    execute = in_process(device="cpu")
    if until is None:
        search(config, folder, execute=execute, start=formula_worker)
    else:
        with pytest.raises(KeyboardInterrupt):
            search(config, folder, execute=execute, start=formula_worker, on_news=stop)


def shown(figures: dict[str, Any]) -> str:
    console = Console(width=80, record=True, file=io.StringIO(), highlight=False)
    console.print(status_screen(figures))
    return console.export_text()


def test_a_finished_run(make_config: MakeConfig, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(make_config(), folder)
    before = contents(folder)
    figures = run_status(folder)
    assert contents(folder) == before
    assert figures["state"] == "finished"
    assert figures["status"]["completed"] == 12
    assert figures["purpose"]["baseline"] == 3
    assert figures["budget"] == {"unit": "trials", "spent": 12, "total": 12}
    rows = RunStore(folder)
    with rows:
        best = max(rows.trials.values(), key=lambda row: row["reward"])
    assert figures["best"]["trial_id"] == best["trial_id"]
    assert figures["seconds_left"] is None
    screen = shown(figures)
    assert "12/12 trials   12 completed" in screen
    assert f"nas export {folder}"[:60] in screen.replace("\n", "")


def test_a_stopped_run_says_how_to_continue(make_config: MakeConfig, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(make_config(), folder, until=5)
    figures = run_status(folder)
    assert figures["state"] == "stopped"
    assert figures["budget"]["spent"] == 5
    assert figures["asked"] == figures["in_flight"] + 5
    assert "(continues)" in shown(figures)


def test_a_running_run_names_its_driver(make_config: MakeConfig, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(make_config(), folder, until=4)
    code = (
        "import sys, time; from pathlib import Path; from trials.store import RunStore\n"
        "with RunStore(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    figures = run_status(folder)
    holder.kill()
    holder.wait()
    assert figures["state"] == "running"
    assert figures["driver"].startswith(f"process {holder.pid} on")
    assert run_status(folder)["state"] == "stopped"


def test_the_time_left_goes_by_the_pace_since_the_driver_started(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    """Four trials in 80 seconds: eight more take 160."""
    folder = tmp_path / "run"
    config = make_config()
    run(config, folder, until=4)
    log = read_run(folder)
    start = datetime(2025, 12, 31, tzinfo=UTC)
    log = type(log)(log.asks, log.trials, (), "somebody", start)
    left = _seconds_left(
        config.budget, log, _spent(config.budget, list(log.trials.values())), start + timedelta(seconds=80)
    )
    assert left == pytest.approx(80 / 4 * 8)


def test_infeasible_trials_and_their_reasons_are_counted(make_config: MakeConfig, tmp_path: Path) -> None:
    def start(slot: object) -> Any:
        def run_trial(trial: Any) -> Any:
            events: list[Event] = [formula_result(trial, accuracy=0.5)]
            if trial.trial_id % 2:
                events = [TrialResult(trial=trial, status="infeasible", failure_kind="over_limit")]
            yield from events

        return run_trial

    search(make_config(), tmp_path / "run", execute=in_process(device="cpu"), start=start)
    figures = run_status(tmp_path / "run")
    assert figures["status"] == {"completed": 6, "infeasible": 6}
    assert figures["failure_kind"] == {"over_limit": 6}


def test_damaged_parts_are_named_and_left_alone(make_config: MakeConfig, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(make_config(), folder)
    part = folder / "log" / "trials" / "t00000003.parquet"
    part.write_bytes(part.read_bytes()[:-40])
    before = contents(folder)
    figures = run_status(folder)
    assert figures["unreadable"] == ["log/trials/t00000003.parquet"]
    assert (figures["in_flight"], figures["state"]) == (1, "stopped")
    assert contents(folder) == before


def test_what_is_no_run_is_refused(make_config: MakeConfig, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    for name in ("nowhere", "empty", "file"):
        with pytest.raises(ConfigError, match=f"{name}: (there is no such folder|not a run directory)"):
            run_status(tmp_path / name)
    run(make_config(), tmp_path / "run")
    (tmp_path / "run" / "search.yaml").write_text("space: [")
    with pytest.raises(ConfigError, match=r"search\.yaml: line"):
        run_status(tmp_path / "run")


def test_a_driver_waits_out_who_only_asks(tmp_path: Path, make_config: MakeConfig) -> None:
    folder = tmp_path / "run"
    run(make_config(), folder)
    handle = os.open(folder / "lock", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    threading.Timer(0.06, os.close, [handle]).start()
    with RunStore(folder) as store:
        assert len(store.trials) >= 12
