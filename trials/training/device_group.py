"""The devices that take each training step together: what they sum, agree on, and divide among them."""

from typing import Any

import torch
from torch import Tensor
from torch.distributed import ReduceOp

PAIRINGS = (4, 2, 1)  # into how many pieces a device's share of a batch is laid, the most that fit


class PeerLostError(RuntimeError):
    """Another device of the group is gone; the group has to begin again at its last state."""


class DeviceGroup:
    """This process's place among `size` devices, each with a process of its own; ALONE is a group of one.

    Every method is called by all of the group, in one order. Sums come out bit by bit the same everywhere.

    Args:
        processes: torch's ProcessGroup of them, gloo for CPUs and nccl for GPUs, or one of its backends
            (another class); None: this device alone.
        device: where what is exchanged has to lie.
    """

    def __init__(self, processes: Any = None, device: torch.device | None = None) -> None:
        self._processes = processes
        self.device = device or torch.device("cpu")
        self.rank: int = processes.rank() if processes is not None else 0
        self.size: int = processes.size() if processes is not None else 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes files."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> None:
        """Adds the tensors of all devices up, in place. On CUDA a graph can hold it."""
        if self._processes is not None:
            self._reduce(tensor, ReduceOp.SUM)

    def largest(self, value: float) -> float:
        """The largest of all devices' values."""
        if self._processes is None:
            return value
        tensor = torch.tensor([value], dtype=torch.float64, device=self.device)
        self._reduce(tensor, ReduceOp.MAX)
        return float(tensor)

    def gathered(self, value: float) -> list[float]:
        """The values of all devices, in their order."""
        values = torch.zeros(self.size, dtype=torch.float64, device=self.device)
        values[self.rank] = value
        self.sum(values)
        return values.tolist()

    def text_of_first(self, text: str) -> str:
        """The first device's text."""
        if self._processes is None:
            return text
        data = text.encode() if self.is_first else b""
        length = int(self.largest(len(data)))
        # Whatever the others would say is zero here: the sum is the first one's.
        values = torch.zeros(length, dtype=torch.int32)
        values[: len(data)] = torch.tensor(list(data), dtype=torch.int32)
        values = values.to(self.device)
        self.sum(values)
        return bytes(values.tolist()).decode()

    def copy_first(self, tensor: Tensor) -> None:
        """Overwrites a tensor by the first device's."""
        if self._processes is None:
            return
        if not self.is_first:
            tensor.zero_()
        self.sum(tensor)

    def _reduce(self, tensor: Tensor, operation: ReduceOp.RedOpType) -> None:
        assert self._processes is not None
        try:
            self._processes.allreduce([tensor], operation).wait()
        except RuntimeError as error:
            raise PeerLostError(f"another device is gone: {str(error).splitlines()[0]}") from error


ALONE = DeviceGroup()


def share_of_batch(batch_size: int, *, rank: int = 0, size: int, pairing: int = 1) -> Tensor:
    """Positions (L,) in a batch that are device `rank`'s: those of all `size` are the whole batch.

    Mixing takes the image opposite in the batch for a partner (of a batch that is half mixup and half
    cutmix, opposite in its half). An image and its partner lie in the same share, again opposite each other,
    so that mixing a share is mixing the batch.

    Args:
        pairing: what the share must at least be divisible by: 1, of a mixed batch 2, with both kinds 4.

    Raises:
        ValueError: the batch cannot be divided so.
    """
    if size == 1:
        return torch.arange(batch_size)
    if batch_size % (size * pairing):
        mixed = "" if pairing == 1 else f" into shares whose size is a multiple of {pairing}, for mixing"
        raise ValueError(
            f"a batch of {batch_size} images cannot be divided among {size} devices{mixed}; choose a "
            f"recipe.batch_size that is a multiple of {size * pairing}"
        )
    share = batch_size // size
    pieces = next(number for number in PAIRINGS if share % number == 0)
    length, part = share // pieces, batch_size // max(pieces // 2, 1)
    own = torch.arange(rank * length, (rank + 1) * length)
    if pieces == 1:
        return own
    opposite = part - 1 - own.flip(0)
    half = torch.cat([own, opposite])
    return half if pieces == 2 else torch.cat([half, part + half])
