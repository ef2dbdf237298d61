"""Measurements read from recorded rows, by the names of a Measurement's attributes."""

from collections.abc import Callable, Mapping
from typing import Any

from trials.log.row_types import TrialRow, annotations_of
from trials.measurement import INFERENCE

_MEANINGS = {column: meaning for column, (_, meaning) in annotations_of(TrialRow).items()}


def _columns_of(part: str) -> dict[str, str]:
    """The column of each attribute of a Measurement, or of one of its times."""
    attributes = {column: meaning.measured.rpartition(".") for column, meaning in _MEANINGS.items()}
    return {name: column for column, (owner, _, name) in attributes.items() if name and owner == part}


MEASUREMENT_COLUMNS = _columns_of("")
STEP_TIME_COLUMNS = _columns_of("step_time")
INFERENCE_TIME_COLUMNS = _columns_of("inference_time")
TIMES = {"step_time": STEP_TIME_COLUMNS, "inference_time": INFERENCE_TIME_COLUMNS}
ALL_COLUMNS = tuple(column for column, meaning in _MEANINGS.items() if meaning.measured)
TRAINED = tuple(column for column, meaning in _MEANINGS.items() if meaning.trained)


class Recorded:
    """The attributes of a Measurement, or of one of its times, each read when it is asked for.

    The values may be those of one row, or whole columns of a table: arithmetic is the same on both.

    Args:
        value_of: a column's value by the column's name; None where nothing was measured.
    """

    def __init__(
        self, value_of: Callable[[str], Any], columns: Mapping[str, str] = MEASUREMENT_COLUMNS
    ) -> None:
        self._value_of = value_of
        self._columns = columns

    def __getattr__(self, name: str) -> Any:
        """The recorded value of an attribute.

        Raises:
            AttributeError: rows do not keep it.
        """
        if name in self._columns:
            return self._value_of(self._columns[name])
        if self._columns is MEASUREMENT_COLUMNS and name in TIMES:
            is_measured = name != "inference_time" or self._value_of(INFERENCE) is not None
            return Recorded(self._value_of, TIMES[name]) if is_measured else None
        raise AttributeError(f"rows do not keep {name}; they keep {', '.join(self._columns)}")
