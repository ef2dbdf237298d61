"""The views of a run, `trials.parquet` and `epochs.parquet`: bytes made and verified."""

import json
from dataclasses import asdict, dataclass

import pyarrow as pa

from search_spaces.settings.json_text import json_value
from search_spaces.settings.sentences import first_line
from trials.log.row_types import R
from trials.log.tables import (
    DamagedPartError,
    Facts,
    Kind,
    in_columns,
    parquet_bytes,
    read_view,
    view_facts,
)

LOG = "log"  # among a view's facts


@dataclass(frozen=True)
class Reflected:
    """The state of the log that a view reflects, so that a reader knows which parts it need not open.

    Attributes:
        through: the highest position that the view reflects; -1 of a view by an earlier version.
        asks: the positions of asks that had no row.
        identities: the positions of the records of what the run is.
    """

    through: int = -1
    asks: tuple[int, ...] = ()
    identities: tuple[int, ...] = ()

    def text(self) -> str:
        """The record as JSON, as it is kept beside the rows."""
        return json.dumps(asdict(self))


NOTHING = Reflected()


def view_bytes(table: pa.Table, reflected: Reflected = NOTHING) -> bytes:
    """Parquet bytes of a view."""
    return parquet_bytes(table, {LOG: reflected.text()}, is_short=False)


def view_rows(data: bytes, kind: Kind[R]) -> list[R]:
    """Rows of a view.

    Raises:
        DamagedPartError: it is not as it was written.
        NewerLogError: a later version of this program wrote it.
    """
    return kind.rows(in_columns(read_view(data)[0], kind.schema))


def view_with_log(data: bytes, kind: Kind[R]) -> tuple[list[R], Reflected]:
    """Rows of a view, and what of the log it reflects.

    Raises:
        DamagedPartError, NewerLogError: as `view_rows`.
    """
    table, facts = read_view(data)
    return kind.rows(in_columns(table, kind.schema)), _reflected(facts)


def log_reflected(data: bytes) -> Reflected:
    """The state of the log that a view reflects; its rows are not decoded.

    Raises:
        DamagedPartError: it is not as it was written.
    """
    return _reflected(view_facts(data))


def view_trials(data: bytes) -> list[int]:
    """The trials' numbers in a view.

    Raises:
        DamagedPartError: it does not read.
    """
    try:
        numbers: list[int] = read_view(data)[0].column("trial_id").cast(pa.int64()).drop_null().to_pylist()
        return numbers
    except (pa.ArrowException, KeyError) as error:
        raise DamagedPartError(first_line(error)) from None


def damaged_view(file: object, reason: object) -> str:
    """The message about a view that does not read."""
    return f"{file}: damaged ({reason}); continue the search, which makes it again"


def _reflected(facts: Facts) -> Reflected:
    if LOG not in facts.by_name:
        return NOTHING
    try:
        found = json_value(facts[LOG])
        return Reflected(found["through"], tuple(found["asks"]), tuple(found["identities"]))
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedPartError(f"it does not say what it reflects: {first_line(error)}") from None
