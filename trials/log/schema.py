"""The columns of a run's log for Arrow: their types, made of the types of rows."""

from dataclasses import dataclass
from datetime import datetime
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import pyarrow as pa

from trials.log.row_types import AskRow, EpochRow, TrialRow, annotations_of

SCHEMA_VERSION = 1

WORK = ("build", "timing", "train", "evaluate")  # what a trial holds its device for, in its order
WORK_SECONDS = tuple(f"{kind}_seconds" for kind in WORK)  # the columns; waiting for others is in none

_TEXT = pa.string()
_TIME = pa.timestamp("us", tz="UTC")
_ARROW_TYPES: dict[Any, pa.DataType] = {
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    str: _TEXT,
    datetime: _TIME,
    list[float]: pa.list_(pa.float64()),
    list[int]: pa.list_(pa.int16()),
}
_SMALL = {"schema_version": pa.int16()}


@dataclass(frozen=True)
class Column:
    """One column; where it is `required`, every row has a value."""

    name: str
    type: pa.DataType
    meaning: str
    unit: str = ""
    required: bool = False


def _columns_of(row: type) -> tuple[Column, ...]:
    """The columns of a type of rows whose annotations have a Meaning."""
    columns = []
    for name, (hint, meaning) in annotations_of(row).items():
        members = get_args(hint) if NoneType in get_args(hint) else (hint,)
        # A union of literals is text.
        plain = [str if get_origin(kind) is Literal else kind for kind in members if kind is not NoneType]
        (kind,) = set(plain)
        type_ = _SMALL.get(name) or _ARROW_TYPES[kind]
        columns.append(Column(name, type_, meaning.text, meaning.unit, NoneType not in members))
    return tuple(columns)


TRIAL_COLUMNS = _columns_of(TrialRow)
EPOCH_COLUMNS = _columns_of(EpochRow)
ASK_NAMES = frozenset(AskRow.__annotations__)
ASK_COLUMNS = tuple(column for column in TRIAL_COLUMNS if column.name in ASK_NAMES)


def schema_of(columns: tuple[Column, ...]) -> pa.Schema:
    """The Arrow schema of columns; units are kept in the fields' metadata."""
    return pa.schema(
        [pa.field(c.name, c.type, metadata={"unit": c.unit} if c.unit else None) for c in columns]
    )


ASK_SCHEMA = schema_of(ASK_COLUMNS)
TRIAL_SCHEMA = schema_of(TRIAL_COLUMNS)
EPOCH_SCHEMA = schema_of(EPOCH_COLUMNS)

DRIVER_SCHEMA = pa.schema(
    [("number", pa.int32()), ("process", pa.int64()), ("host", _TEXT), ("started_at", _TIME)]
)
IDENTITY_SCHEMA = pa.schema([("search", _TEXT), ("files", _TEXT), ("recorded_at", _TIME)])
REPAIR_SCHEMA = pa.schema(
    [
        ("at", _TEXT),
        ("lost_trials", pa.list_(pa.int64())),
        ("lost_places", pa.list_(pa.int64())),
        ("in_flight_again", pa.list_(pa.int64())),
        ("quarantined", pa.list_(_TEXT)),
    ]
)
