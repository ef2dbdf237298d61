"""Errors of devices, told apart by what CUDA and its libraries say, and by whether the device answers."""

from pathlib import Path

import pytest
import torch

from trials.devices.device_errors import (
    CaptureFailedError,
    DeviceFault,
    device_fault,
    is_out_of_memory,
    names_device_fault,
)
from trials.devices.device_lock import DeviceLock

GPU = torch.device("cuda:0")

# As torch and the libraries below it word them.
MEMORY = [
    "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried …",
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 139.80 GiB",
    "HIP out of memory. Tried to allocate 2.00 GiB",
    "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call",
    "CUDA driver error: out of memory",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "cuFFT error: CUFFT_ALLOC_FAILED",
    "NCCL error in: ProcessGroupNCCL.cpp:1970, unhandled cuda error\nncclUnhandledCudaError: "
    "Call to CUDA function failed.\nLast error:\nCuda failure 2 'out of memory'",
    "NCCL error: unhandled cuda error\nLast error:\nFailed to CUDA calloc async 4096 bytes",
    "Triton Error [CUDA]: out of memory",
]
FAULTS = [
    "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be …",
    "CUDA error: device-side assert triggered",
    "CUDA error: uncorrectable ECC error encountered",
    "CUDA error: unspecified launch failure",
    "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(…)`",
    "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR",
    "CUDA driver error: unknown error",
    "Triton Error [CUDA]: misaligned address",
    "CUDA unknown error - this may be due to an incorrectly set up environment",
    "Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling …",
]
NEITHER = ["mat1 and mat2 shapes cannot be multiplied (1x2 and 3x4)", "CUDA is not what this is about", ""]


@pytest.mark.parametrize("text", MEMORY)
def test_every_librarys_words_for_full_memory_are_known(text: str) -> None:
    assert is_out_of_memory(RuntimeError(text))
    assert not names_device_fault(text)
    assert device_fault(RuntimeError(text), GPU) is None


@pytest.mark.parametrize("text", FAULTS)
def test_faults_of_the_device_are_known_by_their_words(text: str) -> None:
    assert not is_out_of_memory(RuntimeError(text))
    assert device_fault(RuntimeError(text), GPU) == DeviceFault(text.splitlines()[0])


@pytest.mark.parametrize("text", NEITHER)
def test_an_error_of_something_else_is_a_fault_only_if_the_device_does_not_answer(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[RuntimeError | None] = [None, RuntimeError("CUDA error: misaligned address\n…")]

    def synchronize(device: torch.device) -> None:
        if error := answers.pop(0):
            raise error

    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    assert device_fault(RuntimeError(text), GPU) is None
    assert device_fault(RuntimeError(text), GPU) == DeviceFault("CUDA error: misaligned address")
    assert device_fault(RuntimeError(text), torch.device("cpu")) is None


def test_an_accelerators_error_is_a_fault_whatever_it_says_unless_memory_is_full() -> None:
    assert device_fault(torch.AcceleratorError("words of a later version"), GPU) is not None
    assert device_fault(torch.AcceleratorError("CUDA error: out of memory"), GPU) is None
    assert device_fault(torch.OutOfMemoryError("words of a later version"), GPU) is None


def test_a_failed_capture_is_no_fault_of_the_device() -> None:
    fault = device_fault(CaptureFailedError("no CUDA graph"), GPU)
    assert fault == DeviceFault("no CUDA graph", of_capture=True)


def test_a_lock_is_released_although_the_device_has_failed(tmp_path: Path) -> None:
    def fail() -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    lock = DeviceLock("gpu", folder=tmp_path, synchronise=fail)
    list(lock.queue("training"))
    lock.release()
    other = DeviceLock("gpu", folder=tmp_path, patience_seconds=0.0)
    with other.timing():
        assert other.is_exclusive
