"""The number of threads that torch computes with on a CPU, for a block."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def using_threads(count: int | None) -> Iterator[None]:
    """Computes with that many threads inside the block; None leaves their number as it is."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads_of_trials(device: torch.device) -> int | None:
    """The threads that trials compute with on this device: one on a CPU's core; None: as they are."""
    return 1 if device.type == "cpu" else None
