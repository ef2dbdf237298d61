"""Conditions under which a step measures: its device, its folder, its time, and whether it only rehearses."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

Size = TypeVar("Size")


class NotHereError(Exception):
    """A step cannot be measured on this machine; the text says why, and what it needs."""


@dataclass(frozen=True)
class Conditions:
    """The conditions that a step is given.

    `out` is the folder of all results, in which a step keeps its files under its own name. A rehearsal runs
    the same code on the CPU, at sizes that take seconds; its figures mean nothing.
    """

    out: Path
    deadline: float  # on the monotonic clock, by which the step should have ended by itself
    rehearse: bool = False

    @property
    def device(self) -> "torch.device":
        """The first GPU; of a rehearsal the CPU."""
        import torch

        return torch.device("cpu" if self.rehearse else "cuda:0")

    @property
    def precision(self) -> str:
        """The precision that `auto` means on the GPU; of a rehearsal fp32."""
        from trials.devices.arithmetic import fastest_of_cuda

        return "fp32" if self.rehearse else fastest_of_cuda(self.device)[0]

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline, at least 0."""
        return max(self.deadline - time.monotonic(), 0.0)

    def sized(self, measured: Size, rehearsed: Size) -> Size:
        """The size of a measurement, or the one at which it is rehearsed."""
        return rehearsed if self.rehearse else measured

    def folder(self, name: str) -> Path:
        """A folder of a step's own files, made if it is not there."""
        path = self.out / name
        path.mkdir(parents=True, exist_ok=True)
        return path
