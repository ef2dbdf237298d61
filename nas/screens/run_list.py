"""The screen of a folder's runs: a line for each."""

from pathlib import Path
from shlex import quote

from rich.console import Group, RenderableType
from rich.table import Table

from nas.results.run_list import RunList
from nas.results.status import RunStatus
from nas.screens.terminal import copyable
from search_spaces.settings.sentences import one_line

NAME_WIDTH = 26
UNITS = {"trials": "", "epochs": " epochs", "device-seconds": " s"}


def folder_screen(listed: RunList) -> RenderableType:
    """A line for each run, and what to type next; fits 80 columns."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", pad_edge=False)
    table.add_column("run", max_width=NAME_WIDTH, no_wrap=True, overflow="ellipsis")
    table.add_column("state", no_wrap=True)
    for name in ("spent", "best reward", "accuracy", "trial"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in listed.runs:
        cells = _cells(run) if isinstance(run, RunStatus) else ("", "", "", "")
        table.add_row(one_line(Path(run.run).name), run.state, *cells)
    running = [run.run for run in listed.runs if run.state == "running"]
    next_one = quote(running[0] if running else listed.runs[0].run)
    return Group(table, copyable(f"next:  nas status {next_one}{' --watch' if running else ''}"))


def _cells(run: RunStatus) -> tuple[str, ...]:
    budget, best = run.budget, run.best
    spent = f"{budget.spent:,.0f}/{budget.total:,.0f}{UNITS[budget.unit]}"
    if best is None:
        return (spent, "-", "-", "-")
    return (spent, f"{best.reward:.4f}", f"{best.accuracy:.4f}", str(best.trial_id))
