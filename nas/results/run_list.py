"""The runs of a folder at a glance: their state, how far they are, their best."""

from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nas.results.status import run_status
from search_spaces.settings.yaml_files import ConfigError
from trials.log.store import RunStore

NAME_WIDTH = 26


def holds_runs(folder: Path) -> bool:
    """Whether a folder is no run itself, and runs lie in it."""
    return not RunStore.is_run(folder) and bool(_runs(folder))


def _runs(folder: Path) -> list[Path]:
    try:
        return [path for path in sorted(folder.iterdir()) if RunStore.is_run(path)]
    except OSError:
        return []


def folder_status(folder: Path) -> dict[str, Any]:
    """The state of each run (`run_status`), the last changed first; of one that does not read, its error."""
    found = sorted(_runs(folder), key=_changed_at, reverse=True)
    return {"folder": str(folder), "runs": [_status(run) for run in found]}


def _changed_at(run: Path) -> float:
    return max(path.stat().st_mtime for path in (run / "log" / "asks", run / "search.yaml"))


def _status(run: Path) -> dict[str, Any]:
    try:
        return run_status(run)
    except ConfigError as error:
        return {"run": str(run), "state": "unreadable", "error": str(error)}


def folder_screen(figures: dict[str, Any]) -> RenderableType:
    """A line for each run, and what to type next; fits 80 columns."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", pad_edge=False)
    table.add_column("run", max_width=NAME_WIDTH, no_wrap=True, overflow="ellipsis")
    table.add_column("state", no_wrap=True)
    for name in ("spent", "best reward", "accuracy", "trial"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in figures["runs"]:
        table.add_row(Path(run["run"]).name, run["state"], *_cells(run))
    running = [run["run"] for run in figures["runs"] if run["state"] == "running"]
    first = running[0] if running else figures["runs"][0]["run"]
    next_step = f"nas status {first} --watch" if running else f"nas status {first}"
    return Group(table, Text(f"next:  {next_step}"))


def _cells(run: dict[str, Any]) -> tuple[str, ...]:
    if "budget" not in run:
        return ("", "", "", "")
    budget, best = run["budget"], run["best"]
    unit = {"trials": "", "epochs": " epochs", "device-seconds": " s"}[budget["unit"]]
    spent = f"{budget['spent']:,.0f}/{budget['total']:,.0f}{unit}"
    if best is None:
        return (spent, "-", "-", "-")
    return (spent, f"{best['reward']:.4f}", f"{best['accuracy']:.4f}", str(best["trial_id"]))
