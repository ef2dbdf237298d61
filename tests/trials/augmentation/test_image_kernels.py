"""Triton's kernels, interpreted on a CPU, give the images of torch's operators; which devices have them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
import torch
from places import REPOSITORY

from trials.augmentation import kernel_check
from trials.augmentation.kernel_check import FUSED_KERNELS, kernels_run

CPU, CUDA = torch.device("cpu"), torch.device("cuda:0")


@pytest.fixture(autouse=True)
def unchecked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(FUSED_KERNELS, raising=False)
    kernel_check._agree.cache_clear()
    yield
    kernel_check._agree.cache_clear()


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton, which interprets them, is not installed")
def test_kernels_give_the_images_of_torchs_operators() -> None:
    """Every operation, in one layer and in two; crops; mixtures; several blocks.

    Tolerance: none, but one grey level in one value of 1,000 for mixtures, and of 100 for antialiased crops.
    """
    paths = [str(REPOSITORY), str(REPOSITORY / "tests" / "fixtures"), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "interpreted_images"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    differing = json.loads(done.stdout.splitlines()[-1])
    assert len(differing) == 8
    assert not any(differing.values()), differing


def test_kernels_run_only_where_they_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_check, "find_spec", lambda name: object())
    shares = iter([0.0, 0.2])
    monkeypatch.setattr(kernel_check, "differing_share", lambda device: next(shares))
    assert kernels_run(CUDA)
    assert kernels_run(CUDA)  # checked once
    kernel_check._agree.cache_clear()
    with pytest.warns(UserWarning, match=r"change 20\.0 % of an image's grey levels otherwise"):
        assert not kernels_run(CUDA)
    monkeypatch.setattr(kernel_check, "find_spec", lambda name: None)
    assert not kernels_run(CUDA)


def test_kernels_that_do_not_compile_are_not_used_but_a_fault_of_the_device_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(device: torch.device) -> float:
        raise RuntimeError(reason)

    monkeypatch.setattr(kernel_check, "find_spec", lambda name: object())
    monkeypatch.setattr(kernel_check, "differing_share", fails)
    reason = "ptxas died"
    with pytest.warns(UserWarning, match="own kernels do not run: RuntimeError: ptxas died"):
        assert not kernels_run(CUDA)
    kernel_check._agree.cache_clear()
    reason = "CUDA error: an illegal memory access was encountered"
    with pytest.raises(RuntimeError, match="illegal memory access"):
        kernels_run(CUDA)


@pytest.mark.parametrize(
    ("wanted", "device", "run"), [("0", CUDA, False), ("1", CUDA, True), ("1", CPU, True)]
)
def test_the_environment_decides_without_a_check(
    wanted: str, device: torch.device, run: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_check, "differing_share", lambda device: pytest.fail("checked"))
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert not kernels_run(CPU)
    monkeypatch.setenv(FUSED_KERNELS, wanted)
    assert kernels_run(device) is run
    monkeypatch.delenv("TRITON_INTERPRET")
    assert not kernels_run(CPU)
