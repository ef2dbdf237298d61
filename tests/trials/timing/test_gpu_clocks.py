"""The GPU's clock through NVML: a made-up driver, none, and one that refuses."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from trials.timing import gpu_clocks
from trials.timing.gpu_clocks import Clocks, driver_version, watched_clocks

GPU = torch.device("cuda:0")


class Driver:
    """As much of pynvml as is used; each reading of the clock takes the next value."""

    NVML_CLOCK_SM = 1

    class NVMLError(Exception):
        """What pynvml raises."""

    def __init__(self, clocks: list[float], reasons: int = 0, *, refuses: str = "") -> None:
        self.clocks, self.reasons, self.refuses = list(clocks), reasons, refuses
        self.open = 0

    def __getattr__(self, name: str) -> Any:
        known = {
            "nvmlInit": lambda: self._count(1),
            "nvmlShutdown": lambda: self._count(-1),
            "nvmlDeviceGetHandleByUUID": lambda uuid: uuid,
            "nvmlDeviceGetClockInfo": lambda handle, kind: self.clocks.pop(0),
            "nvmlDeviceGetCurrentClocksEventReasons": lambda handle: self.reasons,
            "nvmlSystemGetDriverVersion": lambda: "580.1",
        }
        if name == self.refuses:
            return self._refuse
        return known[name]

    def _refuse(self, *_: object) -> None:
        raise self.NVMLError("no permission")

    def _count(self, by: int) -> None:
        self.open += by


@pytest.fixture(autouse=True)
def _a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="abc"))


def _with(monkeypatch: pytest.MonkeyPatch, driver: Driver | None) -> None:
    monkeypatch.setattr(gpu_clocks, "_import_nvml", lambda: driver)


def _sampled(times: int = 3) -> Clocks:
    with watched_clocks(GPU) as clocks:
        for _ in range(times):
            clocks.sample(0.5)
    return clocks


def test_steady_gpu_clock_is_recorded_and_not_flagged(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver([1980, 1980, 1965, 1980], reasons=0x01)
    _with(monkeypatch, driver)
    clocks = _sampled()
    assert clocks.median_mhz == 1980
    assert clocks.flag is None
    assert driver.open == 0


@pytest.mark.parametrize(
    ("clocks", "reasons", "flag"),
    [
        ([1980, 1980, 1900, 1980], 0, "clock between 1900 and 1980 MHz"),
        ([1980] * 4, 0x40, "thermal slowdown"),
        ([1980] * 4, 0x08 | 0x04, "hardware slowdown"),
    ],
)
def test_gpu_clock_that_moves_or_is_held_back_is_flagged(
    clocks: list[float], reasons: int, flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with(monkeypatch, Driver(clocks, reasons))
    assert _sampled().flag == flag


@pytest.mark.parametrize(
    "refuses", ["nvmlInit", "nvmlDeviceGetHandleByUUID", "nvmlDeviceGetCurrentClocksEventReasons"]
)
def test_gpu_driver_that_refuses_leaves_a_timing_without_clock_or_flag(
    refuses: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver([1980] * 9, refuses=refuses)
    _with(monkeypatch, driver)
    clocks = _sampled()
    assert (clocks.median_mhz, clocks.flag, driver.open) == (None, None, 0)


def test_gpu_clock_is_not_sampled_without_the_package_or_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    _with(monkeypatch, None)
    assert _sampled().median_mhz is None
    assert driver_version() is None
    _with(monkeypatch, Driver([1980] * 9))
    with watched_clocks(torch.device("cpu")) as clocks:
        clocks.sample()
    assert clocks.median_mhz is None


def test_gpu_drivers_version_is_read_or_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver([])
    _with(monkeypatch, driver)
    assert driver_version() == "580.1"
    assert driver.open == 0
    _with(monkeypatch, Driver([], refuses="nvmlSystemGetDriverVersion"))
    assert driver_version() is None
