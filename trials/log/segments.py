"""A block of finished trials as one file of each kind, and the parts that it replaces."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from trials.log.durable_files import DurableFiles
from trials.log.parts import (
    ASKS,
    EPOCHS,
    PART_NAME,
    SEGMENT_NAME,
    TRIALS,
    DamagedPartError,
    Kind,
    segment_name,
    segment_table,
    table_bytes,
)
from trials.log.reading import Block
from trials.log.row_types import Row

# Trials last: a block counts as sealed once their rows are, and then everything else is there.
ORDER: tuple[Kind, ...] = (EPOCHS, ASKS, TRIALS)


def write_segments(
    folder: Path, files: DurableFiles, block: Block, rows: Mapping[Kind, Sequence[Row]]
) -> dict[Kind, pa.Table]:
    """Writes a block's segments, removes what they replace, and returns their tables.

    A driver that is killed in between leaves parts that repeat a segment, which the next one removes.
    """
    # 1. Each kind is written, read back from the disk and compared: until all are there, nothing is removed.
    tables: dict[Kind, pa.Table] = {}
    names: dict[Kind, str] = {}
    for kind in ORDER:
        tables[kind] = pa.Table.from_pylist(rows[kind], schema=kind.schema)
        data = table_bytes(tables[kind])
        names[kind] = segment_name(*block, data)
        path = folder / "log" / kind.name / names[kind]
        files.write(path, data)
        if not _reads_back(path, files.read(path), kind, tables[kind]):
            raise OSError(f"{path} reads back differently from what was written")
    # 2. The parts, and segments of a smaller block, hold nothing more.
    for kind in ORDER:
        _remove_replaced(folder / "log" / kind.name, files, block, keep=names[kind])
    return tables


def _reads_back(path: Path, data: bytes, kind: Kind, table: pa.Table) -> bool:
    try:
        return bool(segment_table(path, data, kind).equals(table))
    except DamagedPartError:
        return False


def _remove_replaced(folder: Path, files: DurableFiles, block: Block, *, keep: str) -> None:
    removed = False
    for path in files.list(folder):
        if path.name != keep and _lies_in(path.name, block):
            files.remove(path)
            removed = True
    if removed:
        files.sync_folder(folder)


def _lies_in(name: str, block: Block) -> bool:
    if segment := SEGMENT_NAME.fullmatch(name):
        return block[0] <= int(segment[1]) and int(segment[2]) <= block[1]
    part = PART_NAME.fullmatch(name)
    return part is not None and block[0] <= int(part[1]) <= block[1]
