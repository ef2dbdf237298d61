"""The kernels of a run: the same for all of its networks, whose step times are compared."""

from collections.abc import Iterable

import torch

from trials.log.row_types import TrialRow
from trials.timing.block_table import BlockTable
from trials.training.step import kernels_of_steps
from trials.trial import Kernels

TRAINED = ("completed", "stopped")  # trials that had a network


def decided_kernels(rows: Iterable[TrialRow], *, table: BlockTable | None = None) -> Kernels | None:
    """The kernels that a run with these rows goes on with; None where each worker's host decides.

    Runs of versions that did not record them were timed with torch's. A run without rows takes those of its
    table of block times.
    """
    for row in rows:
        kernels = row.get("kernels")
        if row["status"] in TRAINED or (kernels is not None and row["status"] != "cached"):
            return kernels or "torch"
    return None if table is None else table.conditions.kernels


def kernels_here() -> Kernels | None:
    """Own kernels where this machine's CPU has them: then all of a new run's CPUs must; else each decides.

    None where it has GPUs: each tries Triton's for itself.
    """
    device = torch.device("cpu")
    if torch.cuda.is_available() or kernels_of_steps(device, "fp32") == "torch":
        return None
    return "fused"
