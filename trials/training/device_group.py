"""The devices of a data-parallel training: sums over all of them, and each one's share of a batch."""

from typing import Any

import torch
from torch import Tensor
from torch.distributed import ReduceOp

from trials.devices.device_errors import is_out_of_memory

PAIRINGS = (4, 2, 1)  # possible numbers of pieces of a device's share of a batch; the largest that divides it


class PeerLostError(RuntimeError):
    """Another device of the group is gone; training has to resume from the last checkpoint."""


class DeviceGroup:
    """This process's rank among `size` devices with a process each; ALONE is a group of one device.

    All processes must call the same methods in the same order. Results of sums are bitwise equal on all.

    Args:
        processes: torch's ProcessGroup, or its backend: gloo for CPUs, nccl for GPUs; None: one device alone.
        device: the device on which exchanged tensors must lie.
    """

    def __init__(self, processes: Any = None, device: torch.device | None = None) -> None:
        self._processes = processes
        self.device = device or torch.device("cpu")
        self.rank: int = processes.rank() if processes is not None else 0
        self.size: int = processes.size() if processes is not None else 1

    @property
    def is_first(self) -> bool:
        """True for the process that writes files."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> None:
        """Sums a tensor over all devices, in place. A CUDA graph can hold it."""
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
        """The values of all devices, by rank."""
        values = torch.zeros(self.size, dtype=torch.float64, device=self.device)
        values[self.rank] = value
        self.sum(values)
        return values.tolist()

    def text_of_first(self, text: str) -> str:
        """The text of the first device, on every device."""
        if self._processes is None:
            return text
        data = text.encode() if self.is_first else b""
        length = int(self.largest(len(data)))
        # A broadcast as a sum, in which the other devices contribute zeros: one operation for all purposes.
        values = torch.zeros(length, dtype=torch.int32)
        values[: len(data)] = torch.tensor(list(data), dtype=torch.int32)
        values = values.to(self.device)
        self.sum(values)
        return bytes(values.tolist()).decode()

    def copy_first(self, tensor: Tensor) -> None:
        """Overwrites a tensor by that of the first device (a broadcast)."""
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
            # Errors of this device, of earlier work, come to light here, too: nobody else is to blame.
            if isinstance(error, torch.AcceleratorError) or is_out_of_memory(error):
                raise
            raise PeerLostError(f"another device is gone: {str(error).splitlines()[0]}") from error


ALONE = DeviceGroup()


def share_of_batch(batch_size: int, *, rank: int = 0, size: int, pairing: int = 1) -> Tensor:
    """Positions (L,) in a batch that device `rank` of `size` trains on; all shares together are the batch.

    Mixup and CutMix mix each image with the one opposite in the batch or, if half of a batch gets each, in
    its half (`augment_batch`). A share is chosen such that the partner of every image is in it, too, and
    opposite in the share: mixing a share is then the same as mixing the whole batch.

    Args:
        pairing: number that the share's size must be divisible by: 1 without mixing, 2 with one kind, 4 with
            both.

    Raises:
        ValueError: the batch cannot be divided in this way.
    """
    if size == 1:
        return torch.arange(batch_size)
    if batch_size % (size * pairing):
        mixed = "" if pairing == 1 else f" into shares whose size is a multiple of {pairing}, for mixing"
        raise ValueError(
            f"a batch of {batch_size} images cannot be divided among {size} devices{mixed}; choose a "
            f"recipe.batch_size that is a multiple of {size * pairing}"
        )
    # A share consists of as many pieces as its size allows: 1 (a run of images), 2 (with the opposite run),
    # or 4 (both, in either half of the batch). `length` is the size of a piece, `part` the size of the batch
    # or half within which opposites are found.
    share = batch_size // size
    pieces = next(number for number in PAIRINGS if share % number == 0)
    length, part = share // pieces, batch_size // max(pieces // 2, 1)
    own = torch.arange(rank * length, (rank + 1) * length)
    if pieces == 1:
        return own
    opposite = part - 1 - own.flip(0)
    half = torch.cat([own, opposite])
    return half if pieces == 2 else torch.cat([half, part + half])
