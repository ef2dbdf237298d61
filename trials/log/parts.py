"""The files of a run's log: parts, one for each record, and segments, one for a block of trials.

A part's name is its position in the log. Whoever writes takes the next position, and creates the file only
where nothing has its name: of two drivers one finds its position taken, and stops.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

import pyarrow as pa
import pyarrow.compute as pc

from search_spaces.settings.sentences import first_line
from trials.log.record_text import record_bytes, record_table
from trials.log.row_types import AskRow, DriverRow, EpochRow, IdentityRow, LogRow, RepairRow, TrialRow
from trials.log.schema import (
    ASK_SCHEMA,
    DRIVER_SCHEMA,
    EPOCH_SCHEMA,
    IDENTITY_SCHEMA,
    REPAIR_SCHEMA,
    TRIAL_SCHEMA,
)
from trials.log.tables import (
    ASKS,
    EPOCHS,
    TRIALS,
    DamagedPartError,
    Facts,
    NewerLogError,
    in_columns,
    newer_log,
    parquet_bytes,
    read_sealed,
)

PARTS, SEGMENTS = "log/parts", "log/segments"  # in the run
PART_NAME = re.compile(r"p(\d{8})\.parquet")
# First and last trial, and the SHA-256 of the whole file: a segment that lost a bit no longer fits its name.
# A block's asks (a) have a file of their own: where its rows (s) are damaged, its trials run again.
SEGMENT_NAME = re.compile(r"[as](\d{8})-(\d{8})-([0-9a-f]{32})\.parquet")
NESTED = "epoch_rows"  # the column in which a trial's row carries its epochs
# Ends the kind of a part whose row is one text. Earlier versions wrote a column for each value: they know no
# kind of this name, and refuse the log as a later version's.
AS_TEXT = "/2"

PartKind = Literal["ask", "trial", "driver", "identity", "repair"]
Block = tuple[int, int]  # the first and the last trial of a segment

_STRUCT = pa.struct(list(EPOCH_SCHEMA))
_WITH_EPOCHS = TRIAL_SCHEMA.append(pa.field(NESTED, pa.list_(_STRUCT)))
_SCHEMAS: dict[PartKind, pa.Schema] = {
    "ask": ASK_SCHEMA,
    "trial": _WITH_EPOCHS,
    "driver": DRIVER_SCHEMA,
    "identity": IDENTITY_SCHEMA,
    "repair": REPAIR_SCHEMA,
}
_COLUMNS = {kind: pa.struct(list(schema)) for kind, schema in _SCHEMAS.items()}


@dataclass(frozen=True)
class Part:
    """One record of the log.

    Attributes:
        driver: the number of the driver that wrote it.
        identity: the digest of what the run was then, see `trials.log.identity`; "" where not recorded.
        epochs: of a trial's row alone.
    """

    position: int
    kind: PartKind
    driver: int
    identity: str
    row: LogRow
    epochs: list[EpochRow] = field(default_factory=list)

    @property
    def ask(self) -> AskRow:
        """The row of an ask."""
        assert self.kind == "ask"
        return cast(AskRow, self.row)

    @property
    def trial(self) -> TrialRow:
        """The row of a trial."""
        assert self.kind == "trial"
        return cast(TrialRow, self.row)

    @property
    def start(self) -> DriverRow:
        """The row of a driver's start."""
        assert self.kind == "driver"
        return cast(DriverRow, self.row)

    @property
    def identity_record(self) -> IdentityRow:
        """The record of what the run is."""
        assert self.kind == "identity"
        return cast(IdentityRow, self.row)

    @property
    def repair(self) -> RepairRow:
        """The record of a repair."""
        assert self.kind == "repair"
        return cast(RepairRow, self.row)


@dataclass(frozen=True)
class Sealed:
    """The rows of a segment as tables, its trials in order."""

    trials: pa.Table
    epochs: pa.Table


# ---------------------------------------------------------------------- parts


def part_name(position: int) -> str:
    """The name of the file at a position."""
    return f"p{position:08d}.parquet"


def position_of(path: Path) -> int:
    """The position of a part in the log, by its name."""
    return int(path.name[1:9])


def part_bytes(part: Part) -> bytes:
    """The bytes of a part's file, read back once."""
    row: Mapping[str, Any] = part.row
    if part.kind == "trial":
        row = {**row, NESTED: part.epochs}
    facts = {
        "kind": part.kind + AS_TEXT,
        "position": str(part.position),
        "driver": str(part.driver),
        "identity": part.identity,
    }
    return record_bytes(row, _COLUMNS[part.kind], facts)


def read_part(path: Path, data: bytes) -> Part:
    """A part, verified to be as it was written and at the position of its name.

    Raises:
        DamagedPartError: it is not.
        NewerLogError: a later version of this program wrote it.
    """
    table, facts = read_sealed(data)
    epochs: list[EpochRow] = []
    with naming_newer(path):
        kind = _kind(facts)
        if facts["kind"].endswith(AS_TEXT):
            table = record_table(table, _SCHEMAS[kind])
        if kind == "trial":
            split = _split(table)
            rows, epochs = split.trials, EPOCHS.rows(split.epochs)
        else:
            rows = in_columns(table, _SCHEMAS[kind])
    position, driver = _number(facts, "position"), _number(facts, "driver")
    if path.name != part_name(position):
        raise DamagedPartError("its record is not that of its name")
    if len(rows) != 1:
        raise DamagedPartError(f"it holds {len(rows)} rows; one is expected")
    return Part(position, kind, driver, facts["identity"], rows.to_pylist()[0], epochs)


def _kind(facts: Facts) -> PartKind:
    kind = facts["kind"].removesuffix(AS_TEXT)
    if kind not in get_args(PartKind):
        raise newer_log(f"a record of kind {facts['kind']}")
    return cast(PartKind, kind)


def _number(facts: Facts, name: str) -> int:
    try:
        return int(facts[name])
    except ValueError:
        raise DamagedPartError(f"its {name} is no number") from None


# ---------------------------------------------------------------------- segments


def segment_name(letter: Literal["a", "s"], block: Block, data: bytes) -> str:
    """The name of a block's segment of asks, or of rows, which holds these bytes."""
    return f"{letter}{block[0]:08d}-{block[1]:08d}-{_digest(data)}.parquet"


def asks_bytes(asks: Sequence[AskRow]) -> bytes:
    """The bytes of a segment of asks."""
    return parquet_bytes(pa.Table.from_pylist(asks, schema=ASK_SCHEMA), is_short=False)


def segment_bytes(trials: Sequence[TrialRow], epochs: Mapping[int, Sequence[EpochRow]]) -> bytes:
    """The bytes of a segment of rows with their epochs."""
    rows = [{**row, NESTED: list(epochs.get(row["trial_id"], ()))} for row in trials]
    return parquet_bytes(pa.Table.from_pylist(rows, schema=_WITH_EPOCHS), is_short=False)


def read_asks(path: Path, data: bytes) -> list[AskRow]:
    """The rows of a segment of asks, verified by the digest in its name.

    Raises:
        DamagedPartError: it is not as it was written.
        NewerLogError: a later version of this program wrote it.
    """
    table = read_sealed(verified_segment(path, data))[0]
    with naming_newer(path):
        return ASKS.rows(in_columns(table, ASK_SCHEMA))


def read_segment(path: Path, data: bytes) -> Sealed:
    """The rows of a segment of rows, verified by the digest in its name.

    Raises:
        DamagedPartError, NewerLogError: as `read_asks`.
    """
    table = read_sealed(verified_segment(path, data))[0]
    with naming_newer(path):
        return _split(table)


def verified_segment(path: Path, data: bytes) -> bytes:
    """The bytes of a segment, if they have the digest in its name.

    Raises:
        DamagedPartError: they have another.
    """
    match = SEGMENT_NAME.fullmatch(path.name)
    assert match, f"{path.name} is no segment's name"
    if _digest(data) != match[3]:
        raise DamagedPartError("its bytes are not those that were written")
    return data


def _digest(data: bytes) -> str:
    """The digest of a segment in its name."""
    return hashlib.sha256(data).hexdigest()[:32]


@contextmanager
def naming_newer(path: Path) -> Iterator[None]:
    """Names the file in the error of a log by a later version of this program."""
    try:
        yield
    except NewerLogError as error:
        raise NewerLogError(f"{path}: {error}") from None


def _split(table: pa.Table) -> Sealed:
    """Rows of trials, and the epochs that they carry."""
    try:
        nested = table.column(NESTED).combine_chunks()
        epochs = pa.Table.from_struct_array(pc.list_flatten(nested))
    except (KeyError, pa.ArrowException, TypeError) as error:
        raise DamagedPartError(first_line(error)) from None
    return Sealed(in_columns(table.drop_columns([NESTED]), TRIALS.schema), in_columns(epochs, EPOCHS.schema))
