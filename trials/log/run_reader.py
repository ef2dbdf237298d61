"""A run's log read by others than its driver: nothing is written, moved or locked."""

import math
import os
from collections.abc import Callable, Collection, Container, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from search_spaces.settings.config_error import ConfigError
from trials.log.driver_lock import driver_of
from trials.log.earlier_log import FILE_NAME, file_rows, segment_table, trial_of
from trials.log.file_names import ENVIRONMENT_FOLDER, TRIALS_FILE
from trials.log.identity import Identity, identity_of, refuse_changed
from trials.log.parts import (
    PART_NAME,
    PARTS,
    SEGMENT_NAME,
    SEGMENTS,
    Part,
    position_of,
    read_asks,
    read_part,
    read_segment,
)
from trials.log.row_types import AskRow, IdentityRow, R, TrialRow
from trials.log.run_folder import STARTS, no_trial_yet, refuse_other_than_run
from trials.log.tables import ASKS, TRIALS, DamagedPartError, Kind, NewerLogError
from trials.log.views import (
    NOTHING,
    Reflected,
    damaged_view,
    log_reflected,
    view_rows,
    view_with_log,
)

T = TypeVar("T")
A = TypeVar("A", AskRow, TrialRow)


@dataclass(frozen=True)
class RunLog:
    """The rows of a run at this moment, and who works on it."""

    trials: dict[int, TrialRow]
    in_flight: dict[int, AskRow]  # asks without a trial's row
    unreadable: tuple[str, ...]  # files that do not verify; the next driver moves them aside
    driver: str | None  # who works on the run; None if nobody does
    driver_started_at: datetime | None  # the last one's, UTC

    @property
    def asked(self) -> int:
        """Number of trials that were asked for."""
        return len(self.trials) + len(self.in_flight)


def recorded_trials(folder: Path) -> list[TrialRow]:
    """Finished trials of a run, also while its driver works; read from the view.

    Raises:
        ConfigError: the folder is no run, is not as its log has recorded it, or has no finished trial.
    """
    refuse_other_than_run(folder)
    verified_identity(folder)
    try:
        return view_rows((folder / TRIALS_FILE).read_bytes(), TRIALS)
    except FileNotFoundError:
        raise no_trial_yet(folder) from None
    except DamagedPartError as error:
        raise ConfigError(damaged_view(f"{folder}/{TRIALS_FILE}", error)) from None
    except OSError as error:
        raise ConfigError(f"{folder}/{TRIALS_FILE}: cannot be read: {error.strerror}") from None


def read_run(folder: Path) -> RunLog:
    """The log of a run, whether its driver works, has ended or was killed.

    Finished trials come from the view, and from the parts that it does not hold yet: a run of thousands is
    read in a moment, again and again, beside a search that needs the processor.

    Raises:
        ConfigError: the folder is no run, or may not be read.
    """
    try:
        refuse_other_than_run(folder)
        found = _found(folder)
        starts = [path.stat().st_mtime for path in (folder / ENVIRONMENT_FOLDER).glob(STARTS)]
    except OSError as error:
        raise ConfigError(f"{error.filename or folder}: cannot be read: {error.strerror}") from error
    return RunLog(
        trials=found.trials,
        in_flight={i: row for i, row in sorted(found.asks.items()) if i not in found.trials},
        unreadable=tuple(found.damaged),
        driver=driver_of(folder),
        driver_started_at=datetime.fromtimestamp(max(starts), UTC) if starts else None,
    )


def verified_identity(folder: Path) -> Identity | None:
    """The identity of a run, whose files are compared with it; None if an earlier version began the run.

    Raises:
        ConfigError: a file is not as it was recorded, or may not be read.
    """
    identity = recorded_identity(folder)
    if identity is not None:
        refuse_changed(folder, identity)
    return identity


def recorded_identity(folder: Path) -> Identity | None:
    """The identity of a run, as its log has recorded it; None if an earlier version began it, or nothing.

    Raises:
        ConfigError: the log may not be read.
    """
    found = _Found()
    try:
        reflected = _reflected(folder)
        for path in _parts(folder, reflected, reflected.identities):
            _take_part(_verified(folder, path, read_part, found), found)
    except OSError as error:
        raise ConfigError(f"{error.filename or folder}: cannot be read: {error.strerror}") from error
    return identity_of([row for _, row in sorted(found.identities.items())])


# ---------------------------------------------------------------------- looking


@dataclass
class _Found:
    """Rows of a log, and the names of files that do not verify."""

    trials: dict[int, TrialRow] = field(default_factory=dict)
    asks: dict[int, AskRow] = field(default_factory=dict)
    identities: dict[int, IdentityRow] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)


def _found(folder: Path) -> _Found:
    """The rows of a log. Files that its driver replaces meanwhile are found again in what replaces them."""
    found = _Found()
    # 1. The view, and the parts that it does not reflect.
    reflected, written_at = _take_view(folder, found)
    for path in _parts(folder, reflected, reflected.asks, changed_after=written_at):
        _take_part(_verified(folder, path, read_part, found), found)
    # 2. Segments after parts: what vanished from among those is in one of these.
    for path in _names(folder / SEGMENTS, SEGMENT_NAME.fullmatch):
        if found.trials.keys() >= _trials_in(path):
            continue
        if path.name.startswith("a"):
            asked = _verified(folder, path, read_asks, found) or []
            found.asks = {row["trial_id"]: row for row in asked} | found.asks
        else:
            segment = _verified(folder, path, read_segment, found)
            rows = TRIALS.rows(segment.trials) if segment else []
            found.trials = {row["trial_id"]: row for row in rows} | found.trials
    # 3. Files of earlier versions.
    found.trials = _earlier(folder, TRIALS, found.trials, found) | found.trials
    found.asks = _earlier(folder, ASKS, found.trials, found) | found.asks
    return found


def _take_view(folder: Path, found: _Found) -> tuple[Reflected, float]:
    """The rows of the view, and when it was written; none where there is no whole one."""
    try:
        with (folder / TRIALS_FILE).open("rb") as file:  # the driver may replace it in between
            written_at = os.fstat(file.fileno()).st_mtime
            rows, reflected = view_with_log(file.read(), TRIALS)
    except (OSError, DamagedPartError):
        return NOTHING, 0.0
    found.trials = {row["trial_id"]: row for row in rows}
    return reflected, written_at


def _reflected(folder: Path) -> Reflected:
    try:
        return log_reflected((folder / TRIALS_FILE).read_bytes())
    except (OSError, DamagedPartError):
        return NOTHING


def _parts(
    folder: Path, reflected: Reflected, named: Collection[int], *, changed_after: float = math.inf
) -> Iterator[Path]:
    """The parts that a view does not reflect, those at the positions that are named, and changed ones."""
    for path in _names(folder / PARTS, PART_NAME.fullmatch):
        position = position_of(path)
        if position > reflected.through or position in named or _changed_at(path) > changed_after:
            yield path


def _changed_at(path: Path) -> float:
    try:
        return path.stat(follow_symlinks=False).st_mtime
    except FileNotFoundError:
        return 0.0


def _take_part(part: Part | None, found: _Found) -> None:
    if part is None:
        return
    if part.kind == "trial":
        found.trials[part.trial["trial_id"]] = part.trial
    elif part.kind == "ask":
        found.asks[part.ask["trial_id"]] = part.ask
    elif part.kind == "identity":
        found.identities[part.position] = part.identity_record


def _earlier(folder: Path, kind: Kind[A], known: Container[int], found: _Found) -> dict[int, A]:
    """Rows of files by earlier versions, of trials that are not known."""
    rows: dict[int, A] = {}
    for path in _names(folder / "log" / kind.name, _is_earlier):
        if all(trial_id in known for trial_id in _trials_in(path)):
            continue
        read = _read_segment if SEGMENT_NAME.fullmatch(path.name) else file_rows
        some = _verified(folder, path, partial(read, kind=kind), found) or []
        rows |= {row["trial_id"]: row for row in some if row["trial_id"] not in known}
    return rows


def _read_segment(path: Path, data: bytes, kind: Kind[R]) -> list[R]:
    return kind.rows(segment_table(path, data, kind))


def _is_earlier(name: str) -> bool:
    return bool(SEGMENT_NAME.fullmatch(name) or FILE_NAME.fullmatch(name))


def _trials_in(path: Path) -> set[int]:
    """The trials that a segment, or the file of one trial, may hold."""
    if segment := SEGMENT_NAME.fullmatch(path.name):
        return set(range(int(segment[1]), int(segment[2]) + 1))
    return {trial_of(path)}


def _names(folder: Path, fits: Callable[[str], object]) -> list[Path]:
    try:
        return sorted(Path(entry.path) for entry in os.scandir(folder) if fits(entry.name))
    except FileNotFoundError:
        return []


def _verified(folder: Path, path: Path, read: Callable[[Path, bytes], T], found: _Found) -> T | None:
    """A file's content; None if it is damaged, or has been replaced meanwhile."""
    try:
        return read(path, path.read_bytes())
    except FileNotFoundError:
        return None
    except NewerLogError:
        raise
    except (DamagedPartError, OSError):
        found.damaged.append(str(path.relative_to(folder)))
        return None
