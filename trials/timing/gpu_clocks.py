"""Samples a GPU's clock, and the reasons why it is throttled, through NVML while a step is timed.

A change of the clock changes the times of both networks of an alternating measurement, but not by the same
factor, because memory-bound work hardly depends on it. Such a timing is flagged. Without the package
nvidia-ml-py, a driver, or the permission to ask it, nothing is sampled or flagged.
"""

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch

STEADY = 0.02  # largest relative difference between the slowest and the fastest sample of a steady clock
# Bits of NVML's nvmlClocksEventReasons for throttling: the device was slower than it usually is.
HELD_BACK = {
    0x08: "hardware slowdown",
    0x20: "thermal slowdown (software)",
    0x40: "thermal slowdown",
    0x80: "power brake",
}


@dataclass
class Clocks:
    """Samples of one device's clock; none where there is no `read`."""

    read: Callable[[], tuple[float, int]] | None = None  # SM clock in MHz, bits of HELD_BACK and others
    mhz: list[float] = field(default_factory=list)
    reasons: int = 0

    def sample(self, _: float = 0.0) -> None:
        """Takes a sample; to be called between two rounds. Takes a fraction of a millisecond."""
        if self.read is None:
            return
        clock, reasons = self.read()
        self.mhz.append(clock)
        self.reasons |= reasons

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
    nvml = _nvml() if device.type == "cuda" else None
    if nvml is None:
        yield Clocks()
        return
    try:
        yield Clocks(_reader(nvml, device))
    finally:
        nvml.nvmlShutdown()


def driver_version() -> str | None:
    """The version of the NVIDIA driver; None where it is unknown."""
    nvml = _nvml()
    if nvml is None:
        return None
    try:
        return str(nvml.nvmlSystemGetDriverVersion())
    except nvml.NVMLError:
        return None
    finally:
        nvml.nvmlShutdown()


def _nvml() -> Any:
    """The NVML module, initialised; None where it is missing or fails to initialise."""
    nvml = _import_nvml()
    if nvml is None:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    return nvml


def _import_nvml() -> ModuleType | None:
    try:
        import pynvml
    except ImportError:
        return None
    return pynvml


def _reader(nvml: Any, device: torch.device) -> Callable[[], tuple[float, int]] | None:
    """A function that reads a device's clock and throttling reasons; None where the driver refuses."""
    uuid = str(torch.cuda.get_device_properties(device).uuid)

    def read() -> tuple[float, int]:
        clock = float(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM))
        return clock, int(nvml.nvmlDeviceGetCurrentClocksEventReasons(handle))

    try:
        handle = nvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}")
        read()
    except (nvml.NVMLError, AttributeError):
        return None
    return read
