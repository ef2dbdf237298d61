"""A block of finished trials as one file of each kind, and the parts that it replaces."""

from pathlib import Path

import pyarrow as pa

from trials.log.durable_files import DurableFiles
from trials.log.parts import (
    PART_NAME,
    SCHEMAS,
    SEGMENT_NAME,
    DamagedPartError,
    Kind,
    Row,
    segment_name,
    segment_table,
    table_bytes,
)
from trials.log.reading import Block

# Rows last: a block counts as sealed once its rows are, and then everything else is there.
ORDER: tuple[Kind, ...] = ("epochs", "asks", "trials")


def write_segments(
    folder: Path, files: DurableFiles, block: Block, rows: dict[Kind, list[Row]]
) -> dict[Kind, pa.Table]:
    """The tables of a block's segments, which are on the disk; what they replace is gone.

    Every segment is read back from the disk and compared before anything is removed. A driver that is killed
    in between leaves parts that repeat a segment, which the next one removes.
    """
    tables: dict[Kind, pa.Table] = {}
    names: dict[Kind, str] = {}
    for kind in ORDER:
        tables[kind] = pa.Table.from_pylist(rows[kind], schema=SCHEMAS[kind])
        data = table_bytes(tables[kind])
        names[kind] = segment_name(*block, data)
        path = folder / "log" / kind / names[kind]
        files.write(path, data)
        if not _reads_back(path, files.read(path), kind, tables[kind]):
            raise OSError(f"{path} reads back differently from what was written")
    for kind in ORDER:
        _remove_replaced(folder / "log" / kind, files, block, keep=names[kind])
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
