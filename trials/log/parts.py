"""The log's files: their names, rows as sealed Parquet bytes, and how these are verified."""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from search_spaces.settings.yaml_files import ConfigError
from trials.log.row_types import AskRow, EpochRow, R, Row, TrialRow
from trials.log.schema import ASK_SCHEMA, EPOCH_SCHEMA, SCHEMA_VERSION, TRIAL_SCHEMA

T = TypeVar("T")


@dataclass(frozen=True)
class Kind(Generic[R]):
    """A kind of rows: the name of its folder in the log, and its columns."""

    name: str
    schema: pa.Schema = field(repr=False, compare=False)


ASKS: Kind[AskRow] = Kind("asks", ASK_SCHEMA)
TRIALS: Kind[TrialRow] = Kind("trials", TRIAL_SCHEMA)
EPOCHS: Kind[EpochRow] = Kind("epochs", EPOCH_SCHEMA)

DIGEST = b"values_sha256"  # in a part's metadata
PART_NAME = re.compile(r"t(\d{8})\.parquet")
# First and last trial, and the SHA-256 of the whole file: a segment that lost a bit no longer fits its name.
SEGMENT_NAME = re.compile(r"s(\d{8})-(\d{8})-([0-9a-f]{32})\.parquet")


class DamagedPartError(ValueError):
    """A file of the log does not read as it was written."""


class NewerLogError(ConfigError):
    """A log of a later version of this program."""


def part_name(trial_id: int) -> str:
    """The name of the file of one trial."""
    return f"t{trial_id:08d}.parquet"


def segment_name(first: int, last: int, data: bytes) -> str:
    """The name of the file of trials `first` to `last`, which holds these bytes."""
    return f"s{first:08d}-{last:08d}-{hashlib.sha256(data).hexdigest()[:32]}.parquet"


# ---------------------------------------------------------------------- writing


def part_bytes(rows: Sequence[Row], schema: pa.Schema) -> bytes:
    """Parquet bytes with page checksums and a digest of their values, read back once.

    Page checksums do not cover Parquet's footer, in which a flipped bit can change what a value means: the
    digest of the values, kept in the file's metadata, does.
    """
    table = pa.Table.from_pylist(rows, schema=schema)
    table = table.replace_schema_metadata({DIGEST: _digest(table.to_pylist())})
    # Each of a row's fifty columns would be compressed alone: ten times the time, and more bytes.
    data = _written(table, compression="none", is_short=True)
    _intact(data)
    return data


def table_bytes(table: pa.Table) -> bytes:
    """Parquet bytes of a segment or a view, with page checksums."""
    return _written(table, compression="zstd", is_short=False)


def _written(table: pa.Table, *, compression: str, is_short: bool) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        write_page_checksum=True,
        compression=compression,
        use_dictionary=not is_short,
        write_statistics=not is_short,
    )
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _digest(rows: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(rows, default=str, sort_keys=True).encode()).hexdigest()


# ---------------------------------------------------------------------- reading


def sealed_rows(data: bytes, kind: Kind[R]) -> list[R]:
    """Rows of a part, verified by its page checksums and its digest.

    Raises:
        DamagedPartError: they are not those that were written.
        NewerLogError: a later version of this program wrote them.
    """
    table, rows = _intact(data)
    in_ours = in_columns(table, kind.schema)
    return rows if in_ours is table else rows_of(in_ours, kind)


def _intact(data: bytes) -> tuple[pa.Table, list[Any]]:
    """A part's table and rows in its own columns, verified by its page checksums and its digest."""
    table = _table(data)
    try:
        rows = table.to_pylist()
        intact = (table.schema.metadata or {}).get(DIGEST, b"") == _digest(rows).encode()
    except (pa.ArrowException, ValueError) as error:  # names or values that are not even text any more
        raise DamagedPartError(str(error)) from None
    if not intact:
        raise DamagedPartError("its values are not those that were written")
    return table, rows


def part_rows(path: Path, data: bytes, kind: Kind[R]) -> list[R]:
    """Rows of a part, verified also to be those of its name.

    Raises:
        DamagedPartError, NewerLogError: as `sealed_rows`.
    """
    rows = _at(path, lambda: sealed_rows(data, kind))
    trial_id = int(path.name[1:9])
    if not rows or any(row["trial_id"] != trial_id for row in rows):
        raise DamagedPartError("its rows are not those of its name")
    if kind != EPOCHS and len(rows) != 1:
        raise DamagedPartError(f"it holds {len(rows)} rows; one is expected")
    return rows


def segment_table(path: Path, data: bytes, kind: Kind) -> pa.Table:
    """Rows of a segment as a table, verified by the digest in its name.

    Raises:
        DamagedPartError, NewerLogError: as `sealed_rows`.
    """
    match = SEGMENT_NAME.fullmatch(path.name)
    assert match, f"{path.name} is no segment's name"
    if hashlib.sha256(data).hexdigest()[:32] != match[3]:
        raise DamagedPartError("its bytes are not those that were written")
    return _at(path, lambda: in_columns(_table(data), kind.schema))


def view_rows(data: bytes, kind: Kind[R]) -> list[R]:
    """Rows of a view, verified by its page checksums.

    Raises:
        DamagedPartError, NewerLogError: as `sealed_rows`.
    """
    return rows_of(in_columns(_table(data), kind.schema), kind)


def rows_of(table: pa.Table, kind: Kind[R]) -> list[R]:
    """A table in the columns of its kind as rows."""
    rows: list[R] = table.to_pylist()
    return rows


def view_trials(data: bytes) -> list[int]:
    """The trials' numbers in a view, verified by its page checksums.

    Raises:
        DamagedPartError: it does not read.
    """
    try:
        numbers: list[int] = _table(data).column("trial_id").cast(pa.int64()).drop_null().to_pylist()
        return numbers
    except (pa.ArrowException, KeyError) as error:
        raise DamagedPartError(str(error).splitlines()[0]) from None


def damaged_view(file: object, reason: object) -> str:
    """The message about a view that does not read."""
    return f"{file}: damaged ({reason}); continue the search, which makes it again"


def _at(path: Path, read: Callable[[], T]) -> T:
    try:
        return read()
    except NewerLogError as error:
        raise NewerLogError(f"{path}: {error}") from None


def _table(data: bytes) -> pa.Table:
    try:
        with pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as file:
            return file.read(use_threads=False)  # for one row threads cost more than they give
    except Exception as error:  # whatever a reader says to bytes that are not Parquet any more
        raise DamagedPartError((str(error).splitlines() or ["unreadable"])[0]) from None


def in_columns(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table in our columns; those that an older version lacks are null."""
    try:
        if "schema_version" in table.schema.names:
            versions = table.column("schema_version").drop_null().to_pylist()
            if max(versions, default=0) > SCHEMA_VERSION:
                raise NewerLogError(
                    f"written by a later version of this program (rows of version {max(versions)}; this one "
                    f"reads up to {SCHEMA_VERSION}); use the later one"
                )
        if table.schema.equals(schema):
            return table
        for field in schema:
            if field.name not in table.schema.names:
                table = table.append_column(field, pa.nulls(len(table), field.type))
        return table.select(schema.names).cast(schema)
    except NewerLogError:
        raise
    except (pa.ArrowException, ValueError) as error:
        raise DamagedPartError(str(error).splitlines()[0]) from None
