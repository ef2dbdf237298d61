"""What lies under log/, read and verified; nothing is changed."""

import errno
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from trials.log.durable_files import DurableFiles
from trials.log.parts import (
    PART_NAME,
    SEGMENT_NAME,
    DamagedPartError,
    Kind,
    Row,
    part_rows,
    segment_table,
)

KINDS: tuple[Kind, ...] = ("trials", "asks", "epochs")
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
    """A log as it lies there.

    Attributes:
        sealed: blocks of which all three segments verify; their tables by kind. Their asks and trials are
            among `asks` and `trials` too, their epochs are not among `epochs`.
        repeated: parts whose rows a segment holds as well.
        contradicting: parts that say something else than a segment of the same trial.
        foreign: what is none of ours.
        unfinished: temporary files of a driver that was killed.
    """

    asks: dict[int, Row] = field(default_factory=dict)
    trials: dict[int, Row] = field(default_factory=dict)
    epochs: dict[int, list[Row]] = field(default_factory=dict)
    sealed: dict[Block, dict[Kind, pa.Table]] = field(default_factory=dict)
    damaged: list[Damaged] = field(default_factory=list)
    repeated: list[Path] = field(default_factory=list)
    contradicting: list[Path] = field(default_factory=list)
    foreign: list[Path] = field(default_factory=list)
    unfinished: list[Path] = field(default_factory=list)

    def places(self) -> set[int]:
        """The places of all asks and rows in their one order; a row knows its ask's as well."""
        asks = {row["ask_seq"] for row in (*self.asks.values(), *self.trials.values())}
        return asks | {row["tell_seq"] for row in self.trials.values()}


def read_log(folder: Path, files: DurableFiles, *, unreadable_is_damaged: bool = True) -> LogContents:
    """The log of the run in `folder`.

    Raises:
        NewerLogError: a later version of this program wrote it.
        OSError: the disk does not give a file, and that is not to count as damage.
    """
    contents = LogContents()
    tables: dict[Kind, dict[Block, list[pa.Table]]] = {}
    parts: dict[Kind, list[tuple[int, Path, list[Row]]]] = {}
    for kind in KINDS:
        tables[kind], parts[kind] = _verified(
            folder / "log" / kind, kind, files, contents, unreadable_is_damaged=unreadable_is_damaged
        )
    for block, found in tables["trials"].items():
        whole = all(len(tables[kind].get(block, ())) == 1 for kind in KINDS)
        if whole and len(found) == 1:
            contents.sealed[block] = {kind: tables[kind][block][0] for kind in KINDS}
    _take_rows("trials", tables["trials"], parts["trials"], contents.trials, contents)
    _take_rows("asks", tables["asks"], parts["asks"], contents.asks, contents)
    _take_epochs(tables["epochs"], parts["epochs"], contents)
    return contents


def _verified(
    folder: Path,
    kind: Kind,
    files: DurableFiles,
    contents: LogContents,
    *,
    unreadable_is_damaged: bool,
) -> tuple[dict[Block, list[pa.Table]], list[tuple[int, Path, list[Row]]]]:
    """Segments by block and parts by trial; what is damaged or foreign is noted."""
    tables: dict[Block, list[pa.Table]] = {}
    parts = []
    for path in files.list(folder):
        segment, part = SEGMENT_NAME.fullmatch(path.name), PART_NAME.fullmatch(path.name)
        if path.name.startswith(".") and path.name.endswith(".tmp"):
            contents.unfinished.append(path)
        elif not segment and not part:
            contents.foreign.append(path)
        else:
            first, last = (int(segment[1]), int(segment[2])) if segment else (int(path.name[1:9]),) * 2
            try:
                data = files.read(path)
                if segment:
                    tables.setdefault((first, last), []).append(segment_table(path, data, kind))
                else:
                    parts.append((first, path, part_rows(path, data, kind)))
            except DamagedPartError as error:
                contents.damaged.append(Damaged(path, kind, first, last, str(error)))
            except OSError as error:  # a block of the disk that does not read; or a link, a folder
                if not unreadable_is_damaged and error.errno not in NO_PLAIN_FILE:
                    raise
                contents.damaged.append(Damaged(path, kind, first, last, error.strerror or str(error)))
    return tables, parts


def _take_rows(
    kind: Kind,
    tables: dict[Block, list[pa.Table]],
    parts: Iterable[tuple[int, Path, list[Row]]],
    rows: dict[int, Row],
    contents: LogContents,
) -> None:
    for found in tables.values():
        for row in (row for table in found for row in table.to_pylist()):
            rows[row["trial_id"]] = row
    in_segments = set(rows)
    for trial_id, path, (row,) in parts:
        if trial_id not in in_segments:
            rows[trial_id] = row
        elif rows[trial_id] == row:
            contents.repeated.append(path)
        else:
            contents.contradicting.append(path)


def _take_epochs(
    tables: dict[Block, list[pa.Table]],
    parts: Iterable[tuple[int, Path, list[Row]]],
    contents: LogContents,
) -> None:
    """Epochs of trials that are not sealed; of several attempts those of the last."""
    for block, found in tables.items():
        if block not in contents.sealed:
            for table in found:
                for rows in _by_trial(table).values():
                    _take_attempt(rows, contents.epochs)
    blocks: dict[int, Block] = {i: block for block in contents.sealed for i in range(block[0], block[1] + 1)}
    in_segment: dict[Block, dict[int, list[Row]]] = {}
    for trial_id, path, rows in parts:
        if trial_id not in blocks:
            _take_attempt(rows, contents.epochs)
            continue
        block = blocks[trial_id]
        if block not in in_segment:
            in_segment[block] = _by_trial(contents.sealed[block]["epochs"])
        same = in_segment[block].get(trial_id) == rows
        (contents.repeated if same else contents.contradicting).append(path)


def _by_trial(table: pa.Table) -> dict[int, list[Row]]:
    rows: dict[int, list[Row]] = {}
    for row in table.to_pylist():
        rows.setdefault(row["trial_id"], []).append(row)
    return rows


def _take_attempt(rows: list[Row], epochs: dict[int, list[Row]]) -> None:
    def attempt(some: list[Row]) -> tuple[Any, int]:
        return max((row["attempt"] for row in some), default=-1), len(some)

    trial_id = rows[0]["trial_id"]
    if attempt(rows) >= attempt(epochs.get(trial_id, [])):
        epochs[trial_id] = rows
