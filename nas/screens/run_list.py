"""The screen of a folder's runs: a line for each."""

from pathlib import Path
from shlex import quote

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nas.results.run_list import RunList
from nas.results.status import Best, RunStatus
from nas.screens.terminal import copyable
from search_spaces.settings.sentences import one_line

NAME_WIDTH = 20
UNCERTAIN = "†"
UNITS = {"trials": "", "epochs": " epochs", "device-seconds": " s"}


def folder_screen(listed: RunList) -> RenderableType:
    """A line for each run, and what to type next; fits 80 columns.

    Rewards are means of n trainings of so many epochs, with half of their 95 % interval.
    """
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", pad_edge=False)
    table.add_column("run", max_width=NAME_WIDTH, no_wrap=True, overflow="ellipsis")
    table.add_column("state", no_wrap=True)
    for name in ("spent", "best reward", "accuracy", "n x epochs", "trial"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in listed.runs:
        cells = _cells(run) if isinstance(run, RunStatus) else ("", "", "", "", "")
        table.add_row(one_line(Path(run.run).name), run.state, *cells)
    running = [run.run for run in listed.runs if run.state == "running"]
    next_one = quote(running[0] if running else listed.runs[0].run)
    notes = []
    if any(isinstance(run, RunStatus) and run.best and run.best.uncertain_step_time for run in listed.runs):
        notes.append(Text(f"{UNCERTAIN} its step time is uncertain"))
    return Group(table, *notes, copyable(f"next:  nas status {next_one}{' --watch' if running else ''}"))


def _cells(run: RunStatus) -> tuple[str, ...]:
    budget, best = run.budget, run.best
    spent = f"{budget.spent:,.0f}/{budget.total:,.0f}{UNITS[budget.unit]}"
    if best is None:
        return (spent, "-", "-", "-", "-")
    return (
        spent,
        f"{best.reward:.4f}{_half_width(best)}{UNCERTAIN if best.uncertain_step_time else ''}",
        f"{best.accuracy:.4f}",
        f"{best.trainings} x {best.epochs}",
        str(best.trial_id),
    )


def _half_width(best: Best) -> str:
    """Half of the 95 % interval of a mean of several trainings; nothing of one."""
    if best.reward_interval is None:
        return ""
    low, high = best.reward_interval
    return f" ±{(high - low) / 2:.4f}"
