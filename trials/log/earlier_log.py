"""The log as versions before this one wrote it, read only.

In `log/asks`, `log/trials` and `log/epochs` lay a file for each trial, and a segment for each block of trials
whose rows had all been written. A file of one trial holds a digest of its values.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from trials.log.parts import naming_newer, verified_segment
from trials.log.row_types import R
from trials.log.tables import (
    ASKS,
    EPOCHS,
    TRIALS,
    DamagedPartError,
    Kind,
    in_columns,
    read_parquet,
)

KINDS: tuple[Kind, ...] = (TRIALS, ASKS, EPOCHS)
DIGEST = "values_sha256"  # in a file's metadata
FILE_NAME = re.compile(r"t(\d{8})\.parquet")


def values_digest(rows: Sequence[object]) -> str:
    """The digest of a file's values."""
    return hashlib.sha256(json.dumps(rows, default=str, sort_keys=True).encode()).hexdigest()


def trial_of(path: Path) -> int:
    """The trial of a file, by its name."""
    return int(path.name[1:9])


def file_rows(path: Path, data: bytes, kind: Kind[R]) -> list[R]:
    """Rows of the file of one trial, verified to be those that were written, and those of its name.

    Raises:
        DamagedPartError: they are not.
        NewerLogError: a later version of this program wrote them.
    """
    table = _intact(data)
    with naming_newer(path):
        rows = kind.rows(in_columns(table, kind.schema))
    trial_id = trial_of(path)
    if not rows or any(row["trial_id"] != trial_id for row in rows):
        raise DamagedPartError("its rows are not those of its name")
    if kind != EPOCHS and len(rows) != 1:
        raise DamagedPartError(f"it holds {len(rows)} rows; one is expected")
    return rows


def _intact(data: bytes) -> pa.Table:
    """The table of a file, verified by page checksums and the digest of its values."""
    table, facts = read_parquet(data)
    try:
        rows: list[Any] = table.to_pylist()
        intact = facts.by_name.get(DIGEST, "") == values_digest(rows)
    except (pa.ArrowException, ValueError) as error:  # names or values that are not even text any more
        raise DamagedPartError(str(error)) from None
    if not intact:
        raise DamagedPartError("its values are not those that were written")
    return table


def segment_table(path: Path, data: bytes, kind: Kind) -> pa.Table:
    """Rows of a segment as a table, verified by the digest in its name.

    Raises:
        DamagedPartError, NewerLogError: as `file_rows`.
    """
    table = read_parquet(verified_segment(path, data))[0]
    with naming_newer(path):
        return in_columns(table, kind.schema)
