"""When own kernels are used: what the environment, the device and a probe say."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from triton_kernels import needs_triton

from trials.kernels import cuda_probe
from trials.kernels.cuda_probe import Comparison, Verdict, compare, kernels_verdict, probed
from trials.training.cuda_graphs import Recorded

CUDA, CPU = torch.device("cuda:0"), torch.device("cpu")


def record(work: Callable[[], object]) -> Recorded:
    """Captures nothing, as nothing may be asked of a device here."""
    return Recorded(work)


def compared(*, torch_seconds: float = 2.0, difference: float = 1e-3, late_seconds: float = 1.0) -> Verdict:
    """The verdict on kernels that take 1 s at the first shape and `late_seconds` at the second."""

    def comparison(shape: tuple[int, int, int]) -> Comparison:
        own = 1.0 if shape == cuda_probe.SHAPES[0] else late_seconds
        return Comparison(shape, difference, own, torch_seconds)

    return probed(comparison, 0.01)


def test_kernels_that_agree_and_are_faster_are_used() -> None:
    verdict = compared(late_seconds=0.5)
    assert verdict.used
    assert "2.00 to 4.00 times as fast" in verdict.reason


def test_kernels_that_are_slower_at_one_shape_are_not_used() -> None:
    verdict = compared(late_seconds=3.0)
    assert not verdict.used
    assert "1.50 of the time" in verdict.reason
    assert str(cuda_probe.SHAPES[1]) in verdict.reason


def test_kernels_that_are_hardly_faster_are_not_used() -> None:
    assert not compared(torch_seconds=1.04).used
    assert compared(torch_seconds=1.06).used


@pytest.mark.parametrize("difference", [0.011, float("nan"), float("inf")])
def test_kernels_that_differ_are_not_used(difference: float) -> None:
    verdict = compared(difference=difference)
    assert not verdict.used
    assert "differ" in verdict.reason


def test_kernels_that_do_not_run_are_not_used() -> None:
    def fails(shape: tuple[int, int, int]) -> Comparison:
        raise ValueError("no such target: sm_130\nand more")

    assert probed(fails, 0.01) == Verdict(False, "own ones do not run: ValueError: no such target: sm_130")


def test_a_fault_of_the_device_is_raised() -> None:
    """This process must not use the device any more; only a new one finds out whether it works."""

    def fails(shape: tuple[int, int, int]) -> Comparison:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal memory access") as caught:
        probed(fails, 0.01)
    assert "NAS_FUSED_KERNELS=0" in caught.value.__notes__[0]


def test_the_environment_forbids_and_demands_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_probe, "compare", lambda *_: pytest.fail("no probe"))
    monkeypatch.setenv("NAS_FUSED_KERNELS", "0")
    assert not kernels_verdict(CUDA, "bf16", record).used
    monkeypatch.setenv("NAS_FUSED_KERNELS", "1")
    assert kernels_verdict(CUDA, "bf16", None).used
    assert not kernels_verdict(CPU, "bf16", None).used


def test_eager_steps_and_machines_without_triton_run_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAS_FUSED_KERNELS", raising=False)
    assert "one by one" in kernels_verdict(CUDA, "bf16", None).reason
    monkeypatch.setattr(cuda_probe, "find_spec", lambda name: None)
    assert kernels_verdict(CUDA, "bf16", record) == Verdict(False, "triton is not installed")


def test_a_device_is_asked_once_for_each_type_and_says_why_it_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NAS_FUSED_KERNELS", raising=False)
    monkeypatch.setattr(cuda_probe, "find_spec", lambda name: "there")
    asked = []

    def slow(device: torch.device, dtype: torch.dtype, _: Any, shape: tuple[int, int, int]) -> Comparison:
        asked.append(dtype)
        return Comparison(shape, 0.0, 2.0, 1.0)

    monkeypatch.setattr(cuda_probe, "compare", slow)
    monkeypatch.setattr(cuda_probe, "_VERDICTS", {})
    for precision in ("bf16", "bf16", "fp32", "tf32"):
        with pytest.warns(UserWarning, match=r"runs torch's kernels: own ones take 2\.00"):
            assert not kernels_verdict(CUDA, precision, record).used
    shapes = len(cuda_probe.SHAPES)
    assert asked == [torch.bfloat16] * shapes + [torch.float32] * shapes


@needs_triton
@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("dtype", cuda_probe.TOLERANCE)
def test_the_comparison_itself_runs_and_agrees(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter's times are not asserted."""
    monkeypatch.setattr(cuda_probe, "ROUNDS", 1)
    monkeypatch.setattr(cuda_probe, "CALLS", 1)
    state = torch.get_rng_state()
    for shape in ((2, 24, 4), (2, 512, 2)):
        assert compare(CPU, dtype, record, shape).difference <= cuda_probe.TOLERANCE[dtype]
    assert torch.equal(torch.get_rng_state(), state)
