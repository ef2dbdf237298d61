"""A GPU's clock and why it is held back, sampled through NVML while a step is timed.

A clock that moves moves both networks of an alternating measurement, but not by the same factor: memory-bound
work hardly notices. Such a timing is flagged. Without the package nvidia-ml-py, a driver, or the right to ask
it, nothing is sampled and nothing is said.
"""

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch

STEADY = 0.02  # of the clock, between its slowest and its fastest sample
# NVML's nvmlClocksEventReasons: those that say that the device could not do what it does in quiet.
HELD_BACK = {
    0x08: "hardware slowdown",
    0x20: "thermal slowdown (software)",
    0x40: "thermal slowdown",
    0x80: "power brake",
}


@dataclass
class Clocks:
    """What was sampled of one device; nothing where there is no `read`."""

    read: Callable[[], tuple[float, int]] | None = None  # SM clock in MHz, bits of HELD_BACK and others
    mhz: list[float] = field(default_factory=list)
    reasons: int = 0

    def sample(self, _: float = 0.0) -> None:
        """Between two rounds; takes a fraction of a millisecond."""
        if self.read is None:
            return
        clock, reasons = self.read()
        self.mhz.append(clock)
        self.reasons |= reasons

    @property
    def median_mhz(self) -> float | None:
        """The middle of the sampled clocks; None where nothing was sampled."""
        return statistics.median(self.mhz) if self.mhz else None

    @property
    def flag(self) -> str | None:
        """Why a timing meanwhile should be doubted; None if nothing says so."""
        found = [text for bit, text in HELD_BACK.items() if self.reasons & bit]
        if self.mhz and max(self.mhz) > (1 + STEADY) * min(self.mhz):
            found.append(f"clock between {min(self.mhz):.0f} and {max(self.mhz):.0f} MHz")
        return "; ".join(found) or None


@contextmanager
def watched_clocks(device: torch.device) -> Iterator[Clocks]:
    """Clocks to be sampled inside; they stay empty on a CPU."""
    nvml = _nvml() if device.type == "cuda" else None
    if nvml is None:
        yield Clocks()
        return
    try:
        yield Clocks(_reader(nvml, device))
    finally:
        nvml.nvmlShutdown()


def driver_version() -> str | None:
    """Of the NVIDIA driver; None where nobody tells."""
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
    """The library, begun; None where it is missing or refuses."""
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
    """Reads clock and reasons of a device; None where the driver does not tell of it."""
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
