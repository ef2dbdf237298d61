"""A run's log, read and verified; nothing is changed."""

import errno
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import pyarrow as pa

from search_spaces.settings.unfinished_files import is_unfinished
from trials.log.durable_files import DurableFiles
from trials.log.parts import (
    ASKS,
    EPOCHS,
    PART_NAME,
    SEGMENT_NAME,
    TRIALS,
    DamagedPartError,
    Kind,
    part_rows,
    rows_of,
    segment_table,
)
from trials.log.row_types import AskRow, EpochRow, R, TrialRow

A = TypeVar("A", AskRow, TrialRow)  # of these a trial has one row
NO_PLAIN_FILE = (errno.ELOOP, errno.EISDIR, errno.ENXIO)
Block = tuple[int, int]  # the first and the last trial of a segment


@dataclass(frozen=True)
class Damaged:
    """A file that does not verify, and the trials that its name says it held."""

    path: Path
    kind: Kind
    first: int
    last: int
    why: str


@dataclass
class LogContents:
    """The rows and the files of a log.

    Attributes:
        sealed: blocks of which all three segments verify; their tables by kind. Their asks and trials are
            among `asks` and `trials` too, their epochs are not among `epochs`.
        repeated: parts whose rows a segment holds as well.
        contradicting: parts that say something else than a segment of the same trial.
        foreign: what is none of ours.
        unfinished: temporary files of a driver that was killed.
    """

    asks: dict[int, AskRow] = field(default_factory=dict)
    trials: dict[int, TrialRow] = field(default_factory=dict)
    epochs: dict[int, list[EpochRow]] = field(default_factory=dict)
    sealed: dict[Block, dict[Kind, pa.Table]] = field(default_factory=dict)
    damaged: list[Damaged] = field(default_factory=list)
    repeated: list[Path] = field(default_factory=list)
    contradicting: list[Path] = field(default_factory=list)
    foreign: list[Path] = field(default_factory=list)
    unfinished: list[Path] = field(default_factory=list)

    def places(self) -> set[int]:
        """The places of all asks and rows in their one order; a row knows its ask's as well."""
        asks = {row["ask_seq"] for row in self.asks.values()}
        return asks | {place for row in self.trials.values() for place in (row["ask_seq"], row["tell_seq"])}


def trials_of(blocks: Iterable[Block]) -> set[int]:
    """All trials of these blocks."""
    return {trial_id for first, last in blocks for trial_id in range(first, last + 1)}


@dataclass(frozen=True)
class FilesOfKind(Generic[R]):
    """The files of one kind that verify: segments by block, and parts with their trial and rows."""

    tables: dict[Block, list[pa.Table]]
    parts: list[tuple[int, Path, list[R]]]


def read_log(folder: Path, files: DurableFiles, *, unreadable_is_damaged: bool = True) -> LogContents:
    """Reads and verifies the log of the run in `folder`.

    Raises:
        NewerLogError: a later version of this program wrote it.
        OSError: the disk does not give a file, and that is not to count as damage.
    """
    contents = LogContents()
    trials = _verified(folder, TRIALS, files, contents, unreadable_is_damaged=unreadable_is_damaged)
    asks = _verified(folder, ASKS, files, contents, unreadable_is_damaged=unreadable_is_damaged)
    epochs = _verified(folder, EPOCHS, files, contents, unreadable_is_damaged=unreadable_is_damaged)
    # A block is sealed where each kind has one segment of it; only then its parts may be removed.
    tables: dict[Kind, dict[Block, list[pa.Table]]]
    tables = {TRIALS: trials.tables, ASKS: asks.tables, EPOCHS: epochs.tables}
    for block in trials.tables:
        if all(len(of_kind.get(block, ())) == 1 for of_kind in tables.values()):
            contents.sealed[block] = {kind: of_kind[block][0] for kind, of_kind in tables.items()}
    _take_rows(TRIALS, trials, contents.trials, contents)
    _take_rows(ASKS, asks, contents.asks, contents)
    _take_epochs(epochs, contents)
    return contents


def _verified(
    run: Path,
    kind: Kind[R],
    files: DurableFiles,
    contents: LogContents,
    *,
    unreadable_is_damaged: bool,
) -> FilesOfKind[R]:
    """The files of a kind that verify; what is damaged or foreign is noted."""
    found: FilesOfKind[R] = FilesOfKind({}, [])
    folder = run / "log" / kind.name
    for path in files.list(folder):
        segment, part = SEGMENT_NAME.fullmatch(path.name), PART_NAME.fullmatch(path.name)
        if is_unfinished(path):
            contents.unfinished.append(path)
        elif not segment and not part:
            contents.foreign.append(path)
        else:
            first, last = (int(segment[1]), int(segment[2])) if segment else (int(path.name[1:9]),) * 2
            try:
                data = files.read(path)
                if segment:
                    found.tables.setdefault((first, last), []).append(segment_table(path, data, kind))
                else:
                    found.parts.append((first, path, part_rows(path, data, kind)))
            except DamagedPartError as error:
                contents.damaged.append(Damaged(path, kind, first, last, str(error)))
            except OSError as error:  # a block of the disk that does not read; or a link, a folder
                if not unreadable_is_damaged and error.errno not in NO_PLAIN_FILE:
                    raise
                contents.damaged.append(Damaged(path, kind, first, last, error.strerror or str(error)))
    return found


def _take_rows(kind: Kind[A], found: FilesOfKind[A], rows: dict[int, A], contents: LogContents) -> None:
    """Rows of segments, and of parts whose trial is in none; other parts repeat or contradict a segment."""
    for table in (table for tables in found.tables.values() for table in tables):
        rows |= {row["trial_id"]: row for row in rows_of(table, kind)}
    in_segments = set(rows)
    for trial_id, path, (row,) in found.parts:
        if trial_id not in in_segments:
            rows[trial_id] = row
        elif rows[trial_id] == row:
            contents.repeated.append(path)
        else:
            contents.contradicting.append(path)


def _take_epochs(found: FilesOfKind[EpochRow], contents: LogContents) -> None:
    """Epochs of trials that are not sealed; of several attempts those of the last."""
    # The segment of a block that is not sealed counts as the parts of its trials.
    for block, tables in found.tables.items():
        if block not in contents.sealed:
            for table in tables:
                for rows in _by_trial(table).values():
                    _take_attempt(rows, contents.epochs)
    blocks: dict[int, Block] = {i: block for block in contents.sealed for i in range(block[0], block[1] + 1)}
    in_segment: dict[Block, dict[int, list[EpochRow]]] = {}
    for trial_id, path, rows in found.parts:
        if trial_id not in blocks:
            _take_attempt(rows, contents.epochs)
            continue
        # A killed driver leaves parts of sealed trials; one that says something else was written by nobody.
        block = blocks[trial_id]
        if block not in in_segment:
            in_segment[block] = _by_trial(contents.sealed[block][EPOCHS])
        same = in_segment[block].get(trial_id) == rows
        (contents.repeated if same else contents.contradicting).append(path)


def _by_trial(table: pa.Table) -> dict[int, list[EpochRow]]:
    rows: dict[int, list[EpochRow]] = {}
    for row in rows_of(table, EPOCHS):
        rows.setdefault(row["trial_id"], []).append(row)
    return rows


def _take_attempt(rows: list[EpochRow], epochs: dict[int, list[EpochRow]]) -> None:
    def attempt(some: list[EpochRow]) -> tuple[int, int]:
        return max((row["attempt"] for row in some), default=-1), len(some)

    trial_id = rows[0]["trial_id"]
    if attempt(rows) >= attempt(epochs.get(trial_id, [])):
        epochs[trial_id] = rows
