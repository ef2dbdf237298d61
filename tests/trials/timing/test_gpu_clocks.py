"""The GPU's clock through NVML: a made-up driver, none, and one that refuses."""

import sys
from types import SimpleNamespace

import pytest
import torch
from made_up_nvml import GPU, SLICE, SLICED, MadeUpNvml, made_up_nvml

from trials.devices.nvml import driver_version
from trials.devices.visible_gpus import VARIABLE
from trials.timing.gpu_clocks import REASONS, Clocks, watched_clocks

CUDA = torch.device("cuda:0")


@pytest.fixture(autouse=True)
def _a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=GPU))


def _with(monkeypatch: pytest.MonkeyPatch, driver: MadeUpNvml | None) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", driver)


def _sampled(times: int = 3) -> Clocks:
    with watched_clocks(CUDA) as clocks:
        for _ in range(times):
            clocks.sample(0.5)
    return clocks


def test_steady_gpu_clock_is_recorded_and_not_flagged(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = made_up_nvml(clocks=[1980, 1980, 1965, 1980], reasons=0x01)
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
    _with(monkeypatch, made_up_nvml(clocks=clocks, reasons=reasons))
    assert _sampled().flag == flag


@pytest.mark.parametrize("refuses", ["nvmlInit", "nvmlDeviceGetHandleByUUID", "nvmlDeviceGetClockInfo"])
def test_gpu_driver_that_refuses_leaves_a_timing_without_clock_or_flag(
    refuses: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = made_up_nvml(refused=frozenset([refuses]))
    _with(monkeypatch, driver)
    clocks = _sampled()
    assert (clocks.median_mhz, clocks.flag, driver.open) == (None, None, 0)


def test_gpu_clock_is_watched_without_the_reasons_or_under_their_older_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _with(monkeypatch, made_up_nvml(reasons=0x40, missing=frozenset(REASONS[:1])))
    assert _sampled().flag == "thermal slowdown"
    _with(monkeypatch, made_up_nvml(reasons=0x40, refused=frozenset(REASONS)))
    clocks = _sampled()
    assert (clocks.median_mhz, clocks.flag) == (1980, None)


def test_a_driver_that_falls_silent_does_not_end_a_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = made_up_nvml()
    _with(monkeypatch, driver)
    with watched_clocks(CUDA) as clocks:
        clocks.sample()
        driver.refused = frozenset(["nvmlDeviceGetClockInfo"])
        clocks.sample()
    assert (clocks.mhz, clocks.flag) == ([1980], None)


@pytest.mark.parametrize("name", [f"MIG-{SLICE}", f"MIG-GPU-{SLICED}/3/0", "2"])
def test_a_slice_of_a_gpu_has_its_gpus_clock(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver refuses to say a slice's own, which must not count as a clock that stands still."""
    monkeypatch.setenv(VARIABLE, name)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=SLICED))
    _with(monkeypatch, made_up_nvml(reasons=0x80))
    clocks = _sampled()
    assert (clocks.median_mhz, clocks.flag) == (1980, "power brake")


def test_gpu_clock_is_not_sampled_without_the_package_or_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    _with(monkeypatch, None)
    assert _sampled().median_mhz is None
    assert driver_version() is None
    _with(monkeypatch, made_up_nvml())
    with watched_clocks(torch.device("cpu")) as clocks:
        clocks.sample()
    assert clocks.median_mhz is None


def test_gpu_drivers_version_is_read_or_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = made_up_nvml()
    _with(monkeypatch, driver)
    assert driver_version() == "580.1"
    assert driver.open == 0
    _with(monkeypatch, made_up_nvml(refused=frozenset(["nvmlSystemGetDriverVersion"])))
    assert driver_version() is None
