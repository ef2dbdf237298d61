"""A block of finished trials as two files, and the parts that these replace."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from trials.log.durable_files import DurableFiles
from trials.log.parts import (
    SEGMENTS,
    Block,
    Sealed,
    asks_bytes,
    read_asks,
    read_segment,
    segment_bytes,
    segment_name,
)
from trials.log.row_types import AskRow, EpochRow, TrialRow
from trials.log.tables import DamagedPartError

T = TypeVar("T")


@dataclass(frozen=True)
class Written:
    """A block's segments: its rows, and the files."""

    rows: Sealed
    paths: tuple[Path, Path]


def write_segments(
    folder: Path,
    files: DurableFiles,
    block: Block,
    asks: Sequence[AskRow],
    trials: Sequence[TrialRow],
    epochs: Mapping[int, Sequence[EpochRow]],
) -> Written:
    """Writes a block's segments, both read back from the disk as they were written.

    Their names hold their digests: of two drivers that seal a block, both write the same.
    """
    of_asks, of_rows = asks_bytes(asks), segment_bytes(trials, epochs)
    paths = (
        folder / SEGMENTS / segment_name("a", block, of_asks),
        folder / SEGMENTS / segment_name("s", block, of_rows),
    )
    _write(paths[0], of_asks, files, read_asks)
    return Written(_write(paths[1], of_rows, files, read_segment), paths)


def _write(path: Path, data: bytes, files: DurableFiles, read: Callable[[Path, bytes], T]) -> T:
    files.write(path, data)
    try:
        return read(path, files.read_back(path))
    except DamagedPartError as error:
        raise OSError(f"{path} reads back differently from what was written: {error}") from None


def remove_sealed(files: DurableFiles, paths: Iterable[Path]) -> None:
    """Removes files that a segment replaces. A driver that is killed in between leaves some to the next."""
    removed = list(paths)
    for path in removed:
        files.remove(path)
    for folder in {path.parent for path in removed}:
        files.sync_folder(folder)
