"""The kernels of a run: the same for all of its networks, whose step times are compared."""

from collections.abc import Iterable

from trials.log.row_types import TrialRow
from trials.timing.block_table import BlockTable
from trials.trial import Kernels


def decided_kernels(rows: Iterable[TrialRow], *, table: BlockTable | None = None) -> Kernels | None:
    """The kernels that a run with these rows goes on with; None where each worker's host decides.

    Runs of versions that did not record them were timed with torch's. A run without rows takes those of its
    table of block times.
    """
    for row in rows:
        if row["step_seconds"] is not None and row["status"] != "cached":
            return row.get("kernels") or "torch"
    return None if table is None else table.conditions.kernels
