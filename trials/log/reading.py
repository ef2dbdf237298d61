"""A run's log, read and verified; nothing is changed."""

import errno
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

import pyarrow as pa

from search_spaces.settings.unfinished_files import is_unfinished
from trials.log.durable_files import DurableFiles
from trials.log.earlier_log import FILE_NAME, KINDS, file_rows, segment_table
from trials.log.parts import (
    PART_NAME,
    PARTS,
    SEGMENT_NAME,
    SEGMENTS,
    Block,
    Part,
    Sealed,
    part_name,
    position_of,
    read_asks,
    read_part,
    read_segment,
)
from trials.log.row_types import AskRow, DriverRow, EpochRow, IdentityRow, R, RepairRow, Row, TrialRow
from trials.log.rows import ask_columns
from trials.log.run_folder import QUARANTINE
from trials.log.tables import ASKS, EPOCHS, TRIALS, DamagedPartError, Kind

T = TypeVar("T")
NO_PLAIN_FILE = (errno.ELOOP, errno.EISDIR, errno.ENXIO)
UNLISTED = 32  # positions beyond the newest that are looked at when something is missing
# A part that was moved aside keeps its name behind when and where from, and its position stays taken.
QUARANTINED_PART = re.compile(rf"parts-\d+-{PART_NAME.pattern}")


@dataclass(frozen=True)
class Damaged:
    """A file that does not verify."""

    path: Path
    why: str


@dataclass
class LogContents:
    """The rows and the files of a log.

    Attributes:
        epochs: of trials that are in no segment.
        sealed: the rows of blocks whose segments are both there; their asks and trials are among `asks` and
            `trials` too.
        files: the files of what is in no segment, and the trials that they are of.
        identities: the records of what the run is, by position.
        marks: the digests of what the run is that its parts carry.
        positions: those at which there is a file.
        newest: the highest position that was ever taken; -1 where there is none.
        seen: the highest position of which there is a file: below `newest` where the last one is gone.
        repeated: files whose rows another one holds as well.
        contradicting: files that say something else than another one of the same trial.
        foreign: what is none of ours.
        unfinished: temporary files of a driver that was killed.
        vanished: whether a file was removed while the log was read.
        told_in_parts: the trials whose row is in a part.
    """

    asks: dict[int, AskRow] = field(default_factory=dict)
    trials: dict[int, TrialRow] = field(default_factory=dict)
    epochs: dict[int, list[EpochRow]] = field(default_factory=dict)
    sealed: dict[Block, Sealed] = field(default_factory=dict)
    files: dict[Path, Block] = field(default_factory=dict)
    ask_positions: dict[int, int] = field(default_factory=dict)
    drivers: dict[int, DriverRow] = field(default_factory=dict)
    identities: dict[int, IdentityRow] = field(default_factory=dict)
    repairs: list[RepairRow] = field(default_factory=list)
    marks: set[str] = field(default_factory=set)
    positions: set[int] = field(default_factory=set)
    newest: int = -1
    seen: int = -1
    damaged: list[Damaged] = field(default_factory=list)
    repeated: list[Path] = field(default_factory=list)
    contradicting: list[Path] = field(default_factory=list)
    foreign: list[Path] = field(default_factory=list)
    unfinished: list[Path] = field(default_factory=list)
    vanished: bool = False
    told_in_parts: set[int] = field(default_factory=set)
    _sealed_epochs: dict[Block, dict[int, list[EpochRow]]] = field(default_factory=dict)

    @property
    def is_earlier(self) -> bool:
        """True if an earlier version began the run: it numbered its starts, but recorded none in the log."""
        return min(self.drivers, default=2) > 1

    def recorded_identities(self) -> list[IdentityRow]:
        """The records of what the run is, in their order."""
        return [row for _, row in sorted(self.identities.items())]

    def records(self) -> int:
        """Positions that were taken, at least: each record that is known took one, also of sealed trials."""
        beside = len(self.drivers) + len(self.identities) + len(self.repairs)
        return beside + (0 if self.is_earlier else len(self.asks) + len(self.trials))

    def gaps(self, folder: Path) -> list[Path]:
        """The files at positions of which none is there: sealed and removed, lost, or not listed yet.

        The last of a log may be those that are not listed.
        """
        some = range(self.newest + 1 + UNLISTED)
        return [folder / PARTS / part_name(i) for i in some if i not in self.positions]

    def places(self) -> set[int]:
        """The places of all asks and rows in their one order; a row knows its ask's as well."""
        asks = {row["ask_seq"] for row in self.asks.values()}
        return asks | {place for row in self.trials.values() for place in (row["ask_seq"], row["tell_seq"])}

    def epochs_of(self, trial_id: int) -> list[EpochRow]:
        """The epochs of one trial, also of one in a segment."""
        for block, segment in self.sealed.items():
            if block[0] <= trial_id <= block[1]:
                if block not in self._sealed_epochs:
                    self._sealed_epochs[block] = by_trial(segment.epochs, EPOCHS)
                return self._sealed_epochs[block].get(trial_id, [])
        return self.epochs.get(trial_id, [])

    def all_epochs(self) -> dict[int, list[EpochRow]]:
        """All epochs by trial, those in segments included."""
        epochs = dict(self.epochs)
        for segment in self.sealed.values():
            epochs |= by_trial(segment.epochs, EPOCHS)
        return epochs


def trials_of(blocks: Iterable[Block]) -> set[int]:
    """All trials of these blocks."""
    return {trial_id for first, last in blocks for trial_id in range(first, last + 1)}


def by_trial(table: pa.Table, kind: Kind[R]) -> dict[int, list[R]]:
    """Rows of a table by their trial."""
    rows: dict[int, list[R]] = {}
    for row in kind.rows(table):
        rows.setdefault(row["trial_id"], []).append(row)
    return rows


def read_log(folder: Path, files: DurableFiles, *, unreadable_is_damaged: bool = True) -> LogContents:
    """Reads and verifies the log of the run in `folder`.

    Raises:
        NewerLogError: a later version of this program wrote it.
        OSError: the disk does not give a file, and that is not to count as damage.
    """
    contents = LogContents()
    reader = _Reader(folder, files, contents, unreadable_is_damaged=unreadable_is_damaged)
    # 1. Segments come first: what else says the same of their trials is no longer needed.
    _take_segments(reader)
    earlier = [EarlierFiles(kind, reader) for kind in KINDS]
    _take_earlier_segments(earlier, contents)
    # 2. Parts, in the order in which they were written.
    for path in reader.names(PARTS, PART_NAME):
        contents.positions.add(position_of(path))
        contents.newest = max(contents.newest, position_of(path))
        if (part := reader.verified(path, read_part)) is not None:
            _take_part(path, part, contents)
    for path in reader.quarantined():
        contents.newest = max(contents.newest, int(path.name[-16:-8]))
    # 3. Files of earlier versions, one for each trial.
    for of_kind in earlier:
        _take_earlier_files(of_kind, contents)
    contents.seen = contents.newest
    contents.newest = max(contents.seen, contents.records() - 1)
    newest = folder / PARTS / part_name(contents.newest)  # it stays: by it the log's end is found
    contents.repeated = [path for path in contents.repeated if path != newest]
    return contents


# ---------------------------------------------------------------------- files


class _Reader:
    """Reads the log's files; notes those that are damaged, foreign or unfinished."""

    def __init__(
        self, run: Path, files: DurableFiles, contents: LogContents, *, unreadable_is_damaged: bool
    ) -> None:
        self._run, self._files, self.contents = run, files, contents
        self._unreadable_is_damaged = unreadable_is_damaged

    def names(self, folder: str, *patterns: re.Pattern[str]) -> Iterator[Path]:
        """The files in a folder whose names fit, in order; the others are noted."""
        for path in self._listed(folder):
            if is_unfinished(path):
                self.contents.unfinished.append(path)
            elif any(pattern.fullmatch(path.name) for pattern in patterns):
                yield path
            else:
                self.contents.foreign.append(path)

    def quarantined(self) -> Iterator[Path]:
        """Parts that were moved aside."""
        return (path for path in self._listed(QUARANTINE) if QUARANTINED_PART.fullmatch(path.name))

    def _listed(self, folder: str) -> list[Path]:
        try:
            return self._files.list(self._run / folder)
        except FileNotFoundError:  # of another version, or a run that has just begun
            return []

    def verified(self, path: Path, read: Callable[[Path, bytes], T]) -> T | None:
        """A file's content; None if it is damaged."""
        try:
            return read(path, self._files.read(path))
        except DamagedPartError as error:
            self.contents.damaged.append(Damaged(path, str(error)))
        except FileNotFoundError:  # another driver has just sealed it
            self.contents.vanished = True
        except OSError as error:  # a block of the disk that does not read; or a link, a folder
            if not self._unreadable_is_damaged and error.errno not in NO_PLAIN_FILE:
                raise
            self.contents.damaged.append(Damaged(path, error.strerror or str(error)))
        return None


def block_of(path: Path) -> Block:
    """The block of trials that a segment holds, by its name."""
    match = SEGMENT_NAME.fullmatch(path.name)
    assert match, f"{path.name} is no segment's name"
    return int(match[1]), int(match[2])


# ---------------------------------------------------------------------- segments and parts


def _take_segments(reader: _Reader) -> None:
    """A block is sealed where its asks and its rows are both there; else their rows count as single files."""
    contents = reader.contents
    asks: dict[Block, tuple[Path, list[AskRow]]] = {}
    rows: dict[Block, tuple[Path, Sealed]] = {}
    for path in reader.names(SEGMENTS, SEGMENT_NAME):
        block = block_of(path)
        if path.name.startswith("a"):
            if (asked := reader.verified(path, read_asks)) is not None:
                known = asks.setdefault(block, (path, asked))
                _note_other(path, contents, known[0], same=known[1] == asked)
        elif (segment := reader.verified(path, read_segment)) is not None:
            known_rows = rows.setdefault(block, (path, segment))
            _note_other(path, contents, known_rows[0], same=known_rows[1] == segment)
    for block, (path, segment) in rows.items():
        if block in asks:
            contents.sealed[block] = segment
        else:
            contents.files[path] = block
            contents.epochs |= by_trial(segment.epochs, EPOCHS)
        contents.trials |= {row["trial_id"]: row for row in TRIALS.rows(segment.trials)}
    for block, (path, asked) in asks.items():
        if block not in rows:
            contents.files[path] = block
        contents.asks |= {row["trial_id"]: row for row in asked}
    for trial_id, row in contents.trials.items():
        contents.asks.setdefault(trial_id, ask_columns(row))


def _note_other(path: Path, contents: LogContents, first: Path, *, same: bool) -> None:
    """Notes a second file of the same block."""
    if path != first:
        _note(path, contents, same=same)


def _take_part(path: Path, part: Part, contents: LogContents) -> None:
    contents.marks.add(part.identity)
    if part.kind == "driver":
        contents.drivers[part.start["number"]] = part.start
    elif part.kind == "identity":
        contents.identities[part.position] = part.identity_record
    elif part.kind == "repair":
        contents.repairs.append(part.repair)
    elif part.kind == "ask":
        _take_ask(path, part.position, part.ask, contents)
    else:
        _take_trial(path, part.trial, part.epochs, contents)


def _take_ask(path: Path, position: int, row: AskRow, contents: LogContents) -> None:
    trial_id = row["trial_id"]
    known = contents.asks.get(trial_id)
    if known is not None:
        _note(path, contents, same=known == row)
        return
    contents.asks[trial_id] = row
    contents.ask_positions[trial_id] = position
    contents.files[path] = (trial_id, trial_id)


def _take_trial(path: Path, row: TrialRow, epochs: list[EpochRow], contents: LogContents) -> None:
    trial_id = row["trial_id"]
    known = contents.trials.get(trial_id)
    if known is not None:
        _note(path, contents, same=known == row and epochs == contents.epochs_of(trial_id))
        return
    contents.trials[trial_id] = row
    contents.told_in_parts.add(trial_id)
    if epochs:
        contents.epochs[trial_id] = epochs
    contents.files[path] = (trial_id, trial_id)


def _note(path: Path, contents: LogContents, *, same: bool) -> None:
    (contents.repeated if same else contents.contradicting).append(path)


# ---------------------------------------------------------------------- files of earlier versions


class EarlierFiles:
    """The files of one kind that earlier versions wrote: segments by block, and files of single trials."""

    def __init__(self, kind: Kind, reader: _Reader) -> None:
        self.kind = kind
        self.tables: dict[Block, list[tuple[Path, pa.Table]]] = {}
        self.rows: list[tuple[Path, list[Row]]] = []
        for path in reader.names(f"log/{kind.name}", SEGMENT_NAME, FILE_NAME):
            if SEGMENT_NAME.fullmatch(path.name):
                table = reader.verified(path, partial(segment_table, kind=kind))
                if table is not None:
                    self.tables.setdefault(block_of(path), []).append((path, table))
            elif (rows := reader.verified(path, partial(file_rows, kind=kind))) is not None:
                self.rows.append((path, rows))


def _take_earlier_segments(earlier: list[EarlierFiles], contents: LogContents) -> None:
    """A block is sealed where each kind has one segment of it; the rows of others count as single files."""
    trials, asks, epochs = earlier
    for block in list(trials.tables):
        whole = all(len(files.tables.get(block, ())) == 1 for files in earlier)
        if not whole or block in contents.sealed:
            continue
        ((_, of_trials),), ((_, of_asks),) = trials.tables.pop(block), asks.tables.pop(block)
        ((_, of_epochs),) = epochs.tables.pop(block)
        contents.sealed[block] = Sealed(of_trials, of_epochs)
        contents.trials |= {row["trial_id"]: row for row in TRIALS.rows(of_trials)}
        contents.asks |= {row["trial_id"]: row for row in ASKS.rows(of_asks)}
    for files in earlier:
        for block, tables in files.tables.items():
            for path, table in tables:
                contents.files[path] = block
                files.rows += [(path, rows) for rows in by_trial(table, files.kind).values()]


def _take_earlier_files(files: EarlierFiles, contents: LogContents) -> None:
    """Rows of files of single trials; others repeat or contradict a segment or a part."""
    known: Mapping[int, AskRow | TrialRow] = contents.asks if files.kind == ASKS else contents.trials
    sealed = trials_of(contents.sealed)
    for path, rows in files.rows:
        trial_id = rows[0]["trial_id"]
        is_segment = path in contents.files
        if files.kind == EPOCHS:
            _take_earlier_epochs(path, cast(list[EpochRow], rows), contents, is_sealed=trial_id in sealed)
        elif trial_id in known:
            if not is_segment:
                _note(path, contents, same=known[trial_id] == rows[0])
        else:
            cast(dict[int, Row], known)[trial_id] = rows[0]
            contents.files.setdefault(path, (trial_id, trial_id))


def _take_earlier_epochs(path: Path, rows: list[EpochRow], contents: LogContents, *, is_sealed: bool) -> None:
    """Epochs of a trial; of several attempts those of the last."""
    trial_id = rows[0]["trial_id"]
    if is_sealed:  # a killed driver leaves such files; one that says something else was written by nobody
        if path not in contents.files:
            _note(path, contents, same=contents.epochs_of(trial_id) == rows)
        return
    if trial_id in contents.told_in_parts:  # it has ended since, and its part carries its epochs
        contents.repeated.append(path)
        return
    if _attempt(rows) >= _attempt(contents.epochs.get(trial_id, [])):
        contents.epochs[trial_id] = rows
    contents.files.setdefault(path, (trial_id, trial_id))


def _attempt(rows: list[EpochRow]) -> tuple[int, int]:
    return max((row["attempt"] for row in rows), default=-1), len(rows)
