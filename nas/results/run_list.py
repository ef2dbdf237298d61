"""The runs of a folder: the state of each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nas.results.status import RunStatus, run_status
from search_spaces.settings.config_error import ConfigError
from trials.log.file_names import SEARCH_FILE
from trials.log.parts import PARTS
from trials.log.run_folder import is_run


@dataclass(frozen=True)
class UnreadableRun:
    """A run that does not read, and why."""

    run: str
    state: Literal["unreadable"]
    error: str


@dataclass(frozen=True)
class RunList:
    """The runs of a folder, the last changed first."""

    folder: str
    runs: tuple[RunStatus | UnreadableRun, ...]


def holds_runs(folder: Path) -> bool:
    """True if a folder is no run itself, but holds runs."""
    return not is_run(folder) and bool(_runs(folder))


def _runs(folder: Path) -> list[Path]:
    try:
        return [path for path in sorted(folder.iterdir()) if is_run(path)]
    except OSError:
        return []


def folder_status(folder: Path) -> RunList:
    """The state of each run, the last changed first."""
    found = sorted(_runs(folder), key=_changed_at, reverse=True)
    return RunList(str(folder), tuple(map(_status, found)))


def _changed_at(run: Path) -> float:
    places = (run / PARTS, run / "log" / "asks", run / SEARCH_FILE)  # asks: of earlier versions
    return max(path.stat().st_mtime for path in places if path.exists())


def _status(run: Path) -> RunStatus | UnreadableRun:
    try:
        return run_status(run)
    except ConfigError as error:
        return UnreadableRun(str(run), "unreadable", str(error))
