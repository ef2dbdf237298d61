"""The device memory of this process: what it holds, and what some work adds to it at most."""

import gc

import torch


class OwnMemory:
    """Measures how much device memory this process allocates from now on, beyond what it has already.

    So a network's memory is its own: images, a reference network and what is left of others are not counted.
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._held = device, 0
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self._held = torch.cuda.memory_allocated(device)

    def restart(self) -> None:
        """Forgets the peak so far; what is beyond remains what it was."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)

    def peak(self, *, besides: int = 0) -> int | None:
        """Bytes at most, without `besides`; None on a CPU, which has no such record."""
        if self._device.type != "cuda":
            return None
        return int(torch.cuda.max_memory_allocated(self._device)) - self._held - besides


def give_back(device: torch.device) -> None:
    """Gives memory back that garbage, or torch's cache, holds."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def held_bytes(device: torch.device) -> int:
    """Bytes of device memory that this process keeps from others; 0 on a CPU.

    Reserved and not allocated bytes: the memory pools of CUDA graphs are reserved. What is only cached is
    given back first.
    """
    if device.type != "cuda":
        return 0
    torch.cuda.empty_cache()
    return int(torch.cuda.memory_reserved(device))
