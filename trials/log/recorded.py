"""Measurements read from recorded rows: the same attributes as those of a Measurement."""

from collections.abc import Callable, Mapping
from typing import Any

from trials.trial import INFERENCE

# The column of each attribute. What is not listed is not recorded.
STEP_TIME_COLUMNS = {
    "step_seconds": "step_seconds",
    "step_seconds_p10": "step_seconds_p10",
    "step_seconds_p90": "step_seconds_p90",
    "step_time_ratio": "step_time_ratio",
    "step_time_ratio_spread": "step_time_ratio_spread",
    "reference_step_seconds": "reference_step_seconds",
    "device": "timing_device",
    "resolution": "timing_resolution",
    "batch_size": "timing_batch_size",
    "precision": "timing_precision",
    "source": "timing_source",
    "step_time_ratio_error": "step_time_ratio_error",
    "is_exclusive": "timing_exclusive",
    "clock_mhz": "timing_clock_mhz",
    "mode": "timing_mode",
}
INFERENCE_TIME_COLUMNS = {
    "inference_seconds": "inference_seconds",
    "inference_time_ratio": INFERENCE,
    "inference_time_ratio_spread": "inference_time_ratio_spread",
    "reference_inference_seconds": "reference_inference_seconds",
    "batch_size": "inference_batch_size",
}
ACCURACIES = ("accuracy", "accuracy_raw", "accuracy_top5", "balanced_accuracy")
COUNTS = ("minival_images", "params", "macs", "peak_memory_bytes", "reference_params", "reference_macs")
MEASUREMENT_COLUMNS = {name: name for name in (*ACCURACIES, *COUNTS)}
TIMES = {"step_time": STEP_TIME_COLUMNS, "inference_time": INFERENCE_TIME_COLUMNS}
ALL_COLUMNS = tuple(
    dict.fromkeys(column for columns in (MEASUREMENT_COLUMNS, *TIMES.values()) for column in columns.values())
)


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
