"""A part's one row as JSON in one Parquet column, and back.

With a column for each of a row's sixty values, Parquet's own description of the columns is most of the file
and of the time that it takes to write and to read it.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from search_spaces.settings.json_text import json_value
from search_spaces.settings.sentences import first_line
from trials.log.tables import DamagedPartError, NewerLogError, parquet_bytes, refuse_newer, sealed_facts

COLUMN = "record"
_TABLE = pa.schema([pa.field(COLUMN, pa.string(), nullable=False)])


def record_bytes(row: Mapping[str, Any], columns: pa.StructType, facts: Mapping[str, str]) -> bytes:
    """The bytes of a sealed file of one row, whose seal, description and text are compared once.

    Raises:
        pyarrow.ArrowException, TypeError: a value is not of its column's type.
    """
    pa.array([row], type=columns)  # what would not read is refused before it is written
    text = _ENCODER.encode(row)
    table = pa.Table.from_arrays([pa.array([text], pa.string())], schema=_TABLE)
    data = parquet_bytes(table, facts, is_short=True)
    # Neither compressed nor in a dictionary, the text stands in the file as it is.
    if not facts.items() <= sealed_facts(data).by_name.items() or text.encode() not in data:
        raise DamagedPartError("its bytes do not read as they were written")
    return data


def record_table(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The row of such a file as a table of these columns; those that an older version lacks are null.

    Raises:
        NewerLogError: a later version of this program wrote it.
        DamagedPartError: it is no such row.
    """
    try:
        row = dict(json_value(_text(table)))
        for field in schema:
            if pa.types.is_timestamp(field.type) and row.get(field.name) is not None:
                row[field.name] = datetime.fromisoformat(row[field.name])
        refuse_newer([row.get("schema_version")])
        return pa.Table.from_pylist([row], schema=schema)
    except NewerLogError:
        raise
    except (ValueError, TypeError, OverflowError, pa.ArrowException) as error:
        raise DamagedPartError(first_line(error)) from None


def _text(table: pa.Table) -> str:
    if table.schema.names != [COLUMN] or len(table) != 1:
        raise DamagedPartError(f"it holds {len(table)} rows of {table.num_columns} columns; one is expected")
    text: str = table.column(0)[0].as_py()
    return text


def _plain(value: object) -> object:
    """The JSON of what is none of Python's numbers and texts."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} is no value of a row")


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_plain)
