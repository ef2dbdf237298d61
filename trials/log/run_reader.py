"""A run's log read by others than its driver: nothing is written, moved or locked."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from search_spaces.settings.yaml_files import ConfigError
from trials.log.driver_lock import driver_of
from trials.log.parts import (
    ASKS,
    PART_NAME,
    SEGMENT_NAME,
    TRIALS,
    DamagedPartError,
    Kind,
    NewerLogError,
    part_rows,
    rows_of,
    segment_table,
    view_rows,
)
from trials.log.row_types import AskRow, R, TrialRow
from trials.log.store import refuse_other_than_run

A = TypeVar("A", AskRow, TrialRow)
STARTS = "[0-9][0-9][0-9][0-9].json"  # of environment/: one for each start of a driver
LOOKS = 3  # at a folder in which the driver replaces parts by a segment meanwhile


@dataclass(frozen=True)
class RunLog:
    """The rows of a run at this moment, and who works on it."""

    trials: dict[int, TrialRow]
    in_flight: dict[int, AskRow]  # asks without a trial's row
    unreadable: tuple[str, ...]  # parts that do not verify; the next driver moves them aside
    driver: str | None  # who works on the run; None if nobody does
    driver_started_at: datetime | None  # the last one's, UTC

    @property
    def asked(self) -> int:
        """Number of trials that were asked for."""
        return len(self.trials) + len(self.in_flight)


def read_run(folder: Path) -> RunLog:
    """The log of a run, whether its driver works, has ended or was killed.

    Finished trials come from the view, and from the parts that it does not hold yet: a run of thousands is
    read in a moment, again and again, beside a search that needs the processor.

    Raises:
        ConfigError: the folder is no run, or may not be read.
    """
    try:
        refuse_other_than_run(folder)
        viewed, written_at = _view(folder)
        # Trials before asks: a row without its ask would be odd.
        parts, damaged = _parts(folder, TRIALS, lambda number, time: number in viewed and time <= written_at)
        broken = {number for number, _ in damaged}
        trials = {number: row for number, row in (viewed | parts).items() if number not in broken}
        in_flight, damaged_asks = _parts(folder, ASKS, lambda number, time: number in trials)
        starts = [path.stat().st_mtime for path in (folder / "environment").glob(STARTS)]
    except OSError as error:
        raise ConfigError(f"{error.filename or folder}: cannot be read: {error.strerror}") from error
    return RunLog(
        trials=trials,
        in_flight=in_flight,
        unreadable=tuple(dict.fromkeys(name for _, name in (*damaged, *damaged_asks))),
        driver=driver_of(folder),
        driver_started_at=datetime.fromtimestamp(max(starts), UTC) if starts else None,
    )


def _view(folder: Path) -> tuple[dict[int, TrialRow], float]:
    """The rows of the view and when it was written; none where there is no whole one."""
    try:
        with (folder / "trials.parquet").open("rb") as file:  # the driver may replace it in between
            written_at = os.fstat(file.fileno()).st_mtime
            rows = view_rows(file.read(), TRIALS)
    except (FileNotFoundError, DamagedPartError):
        return {}, 0.0
    return {row["trial_id"]: row for row in rows}, written_at


def _parts(
    folder: Path, kind: Kind[A], is_known: Callable[[int, float], bool]
) -> tuple[dict[int, A], list[tuple[int, str]]]:
    """Rows of parts and segments that are not known by number and time of writing; and the damaged ones."""
    parts = folder / "log" / kind.name
    rows: dict[int, A] = {}
    for _ in range(LOOKS):
        damaged: list[tuple[int, str]] = []
        complete = True
        for path, numbers in _not_known(parts, is_known):
            try:
                found = _rows(path, kind)
            except FileNotFoundError:  # the driver moved it aside, or wrote a segment in its place
                complete = False
            except NewerLogError:
                raise
            except (DamagedPartError, OSError):
                damaged += [(number, f"log/{kind.name}/{path.name}") for number in numbers]
            else:
                rows |= {row["trial_id"]: row for row in found}
        if complete:
            break
    return rows, [(number, name) for number, name in damaged if number not in rows]


def _not_known(folder: Path, is_known: Callable[[int, float], bool]) -> list[tuple[Path, range]]:
    """The files of a kind, by name, of which some trial is not known."""
    found = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name) if folder.is_dir() else []:
        if segment := SEGMENT_NAME.fullmatch(entry.name):
            numbers = range(int(segment[1]), int(segment[2]) + 1)
        elif part := PART_NAME.fullmatch(entry.name):
            numbers = range(int(part[1]), int(part[1]) + 1)
        else:
            continue
        with suppress(FileNotFoundError):
            written_at = entry.stat(follow_symlinks=False).st_mtime
            if not all(is_known(number, written_at) for number in numbers):
                found.append((Path(entry.path), numbers))
    return found


def _rows(path: Path, kind: Kind[R]) -> list[R]:
    data = path.read_bytes()
    if SEGMENT_NAME.fullmatch(path.name):
        return rows_of(segment_table(path, data, kind), kind)
    return part_rows(path, data, kind)
