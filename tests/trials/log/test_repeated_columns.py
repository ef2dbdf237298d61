"""Columns that a cached row repeats of the equal trial's: every column is repeated, or named here as not."""

from trials.log.rows import REPEATED
from trials.log.schema import ASK_COLUMNS, TRIAL_COLUMNS

# A cached trial ran nowhere: it has no times, attempts, place in the order or error of its own.
NOT_REPEATED = {
    "status", "tell_seq", "attempts", "error", "started_at", "finished_at", "build_seconds", "timing_seconds",
    "train_seconds", "evaluate_seconds", "waiting_seconds",
}  # fmt: skip


def test_every_column_of_a_row_is_its_asks_or_repeated_or_of_its_own_run() -> None:
    columns = {column.name for column in TRIAL_COLUMNS}
    asked = {column.name for column in ASK_COLUMNS}
    assert set(REPEATED) | asked | NOT_REPEATED == columns
    assert not set(REPEATED) & (asked | NOT_REPEATED)
