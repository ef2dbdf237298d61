"""Rows as Parquet bytes under a seal, and back: the encoding of parts, segments and views."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic

import pyarrow as pa
import pyarrow.parquet as pq

from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.seal import OPEN_SEAL, BrokenSealError, check_seal, has_seal, sealed
from search_spaces.settings.sentences import first_line
from trials.log.parquet_errors import UnreadableParquetError, parquet_refused
from trials.log.row_types import AskRow, EpochRow, R, TrialRow
from trials.log.schema import ASK_SCHEMA, EPOCH_SCHEMA, SCHEMA_VERSION, TRIAL_SCHEMA

SEAL = "seal"  # among a file's facts


@dataclass(frozen=True)
class Kind(Generic[R]):
    """A kind of rows: its name, and its columns."""

    name: str
    schema: pa.Schema = field(repr=False, compare=False)

    def rows(self, table: pa.Table) -> list[R]:
        """A table in these columns as rows."""
        rows: list[R] = table.to_pylist()
        return rows


ASKS: Kind[AskRow] = Kind("asks", ASK_SCHEMA)
TRIALS: Kind[TrialRow] = Kind("trials", TRIAL_SCHEMA)
EPOCHS: Kind[EpochRow] = Kind("epochs", EPOCH_SCHEMA)


class DamagedPartError(ValueError):
    """A file of the log does not read as it was written."""


class NewerLogError(ConfigError):
    """A log of a later version of this program."""


@dataclass(frozen=True)
class Facts:
    """Short texts beside a file's table, by name."""

    by_name: dict[str, str]

    def __getitem__(self, name: str) -> str:
        try:
            return self.by_name[name]
        except KeyError:
            raise DamagedPartError(f"it does not say its {name}") from None


# ---------------------------------------------------------------------- writing


def parquet_bytes(table: pa.Table, facts: Mapping[str, str] | None = None, *, is_short: bool) -> bytes:
    """Parquet bytes with page checksums, for other readers, and a seal over the whole file, for ours.

    Page checksums do not cover Parquet's footer, in which a flipped bit can change what a value means.

    Args:
        is_short: of a few rows: each column would be compressed alone, which takes time and more bytes; and
            its columns are such as Parquet describes without Arrow's own schema.
    """
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        table.schema,
        write_page_checksum=True,
        compression="none" if is_short else "zstd",
        use_dictionary=not is_short,
        write_statistics=not is_short,
        store_schema=not is_short,
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({**(facts or {}), SEAL: OPEN_SEAL})
    return sealed(sink.getvalue().to_pybytes())


# ---------------------------------------------------------------------- reading


def read_sealed(data: bytes) -> tuple[pa.Table, Facts]:
    """The table of a file and the facts beside it, verified by the seal.

    Raises:
        DamagedPartError: the file is not as it was written.
    """
    _check(data)
    return read_parquet(data)


def sealed_facts(data: bytes) -> Facts:
    """The facts beside a file's table, whose rows are not decoded, verified by the seal.

    Raises:
        DamagedPartError: the file is not as it was written.
    """
    _check(data)
    return _facts(_footer(data))


def _check(data: bytes) -> None:
    try:
        check_seal(data)
    except BrokenSealError as error:
        raise DamagedPartError(str(error)) from None


def read_view(data: bytes) -> tuple[pa.Table, Facts]:
    """The same of a file that an earlier version may have written, without a seal: by page checksums.

    Raises:
        DamagedPartError: the file is not as it was written.
    """
    view_facts(data)
    return read_parquet(data)


def view_facts(data: bytes) -> Facts:
    """The facts beside a view's table, whose rows are not decoded, verified by the seal if it has one.

    Raises:
        DamagedPartError: the file is not as it was written.
    """
    if has_seal(data):
        return sealed_facts(data)
    facts = _facts(_footer(data))
    if facts.by_name.keys() & {SEAL, "log"}:
        raise DamagedPartError("its seal is gone")
    return facts


def read_parquet(data: bytes) -> tuple[pa.Table, Facts]:
    """The table of a file and the facts beside it, verified by page checksums.

    Raises:
        DamagedPartError: it does not read.
    """
    with (
        _as_damage(),
        pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as file,
    ):
        table = file.read(use_threads=False)  # for one row threads cost more than they give
        return table, _facts(file.metadata)


def _footer(data: bytes) -> pq.FileMetaData:
    with _as_damage():
        return pq.read_metadata(pa.BufferReader(data))


def _facts(metadata: pq.FileMetaData) -> Facts:
    with _as_damage():
        found = (metadata.metadata or {}).items()
        return Facts({name.decode(): value.decode() for name, value in found if name != b"ARROW:schema"})


@contextmanager
def _as_damage() -> Iterator[None]:
    try:
        with parquet_refused():
            yield
    except UnreadableParquetError as error:
        raise DamagedPartError(str(error)) from None


def in_columns(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table in our columns; those that an older version lacks are null.

    Raises:
        NewerLogError: a later version of this program wrote it.
        DamagedPartError: its columns are none of ours.
    """
    try:
        if "schema_version" in table.schema.names:
            refuse_newer(table.column("schema_version").to_pylist())
        if table.schema.equals(schema):
            return table
        for field in schema:
            if field.name not in table.schema.names:
                table = table.append_column(field, pa.nulls(len(table), field.type))
        return table.select(schema.names).cast(schema)
    except NewerLogError:
        raise
    except (pa.ArrowException, ValueError) as error:
        raise DamagedPartError(first_line(error)) from None


def refuse_newer(versions: Iterable[int | None]) -> None:
    """Refuses rows of which one says that it is of a later version.

    Raises:
        NewerLogError: one does.
    """
    newest = max((version for version in versions if version is not None), default=0)
    if newest > SCHEMA_VERSION:
        raise newer_log(f"rows of version {newest}")


def newer_log(found: str) -> NewerLogError:
    """The refusal of what a later version has written."""
    return NewerLogError(
        f"written by a later version of this program ({found}; this one reads up to {SCHEMA_VERSION}); use "
        "the later one"
    )
