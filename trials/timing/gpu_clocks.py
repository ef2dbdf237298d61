"""Samples a GPU's clock, and the reasons why it is throttled, through NVML while a step is timed.

A change of the clock changes the times of both networks of an alternating measurement, but not by the same
factor, because memory-bound work hardly depends on it. Such a timing is flagged. Where the driver gives no
answer, nothing is sampled or flagged.
"""

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from trials.devices.nvml import handle_of, opened_nvml, whole_gpu

Read = Callable[[], tuple[float, int] | None]  # SM clock in MHz, bits of HELD_BACK and others

STEADY = 0.02  # largest relative difference between the slowest and the fastest sample of a steady clock
# Bits of NVML's nvmlClocksEventReasons for throttling: the device was slower than it usually is.
HELD_BACK = {
    0x08: "hardware slowdown",
    0x20: "thermal slowdown (software)",
    0x40: "thermal slowdown",
    0x80: "power brake",
}
# Their function, and its name in drivers before R535.
REASONS = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")


@dataclass
class Clocks:
    """Samples of one device's clock; none where there is no `read`."""

    read: Read | None = None
    mhz: list[float] = field(default_factory=list)
    reasons: int = 0

    def sample(self, _: float = 0.0) -> None:
        """Takes a sample; to be called between two rounds. Takes a fraction of a millisecond."""
        found = None if self.read is None else self.read()
        if found is not None:
            self.mhz.append(found[0])
            self.reasons |= found[1]

    @property
    def median_mhz(self) -> float | None:
        """The median of the samples; None where there are none."""
        return statistics.median(self.mhz) if self.mhz else None

    @property
    def flag(self) -> str | None:
        """The reasons why a timing in this time is uncertain; None if there are none."""
        found = [text for bit, text in HELD_BACK.items() if self.reasons & bit]
        if self.mhz and max(self.mhz) > (1 + STEADY) * min(self.mhz):
            found.append(f"clock between {min(self.mhz):.0f} and {max(self.mhz):.0f} MHz")
        return "; ".join(found) or None


@contextmanager
def watched_clocks(device: torch.device) -> Iterator[Clocks]:
    """Clocks to sample from within the block; on a CPU they never have samples."""
    if device.type != "cuda":
        yield Clocks()
        return
    with opened_nvml() as nvml:
        yield Clocks(None if nvml is None else _reader(nvml, device))


def _reader(nvml: Any, device: torch.device) -> Read | None:
    """A function that reads a device's clock and throttling reasons; None where the driver refuses.

    A slice of a GPU has its GPU's clock. Where only the reasons are refused, there are none.
    """
    handle = handle_of(nvml, device)
    if handle is None:
        return None
    gpu = whole_gpu(nvml, handle)

    def read() -> tuple[float, int] | None:
        try:
            clock = float(nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM))
        except (nvml.NVMLError, AttributeError):
            return None
        return clock, _reasons(nvml, gpu)

    return None if read() is None else read


def _reasons(nvml: Any, handle: Any) -> int:
    for name in REASONS:
        try:
            return int(getattr(nvml, name)(handle))
        except (nvml.NVMLError, AttributeError):
            continue
    return 0
