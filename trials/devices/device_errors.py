"""Errors of devices: memory that ran out, and faults after which a process cannot use its device any more."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search_spaces.settings.sentences import first_line

if TYPE_CHECKING:  # the command line names these errors without torch
    import torch

# Texts of errors that mean that memory ran out, where the kind of exception does not say it: of torch's CPU
# allocator, of CUDA calls that torch's allocator does not make, of cuBLAS, cuDNN, NCCL and ROCm.
OUT_OF_MEMORY = re.compile(
    r"can't allocate memory"
    r"|(?:CUDA|HIP)(?: driver)? error: out of memory|(?:CUDA|HIP) out of memory"
    r"|(?:Cuda|Hip) failure(?: \d+)? '?out of memory"
    r"|Triton Error \[\w+\]: out of memory"
    r"|[A-Z]+_[A-Z_]*ALLOC[A-Z]*_FAILED"  # CUBLAS_STATUS_ALLOC_FAILED, cuDNN's DEVICE_ALLOCATION_FAILED, …
    r"|Failed to (?:CUDA|HIP) (?:calloc|malloc)"
)
# Texts of errors of the device itself. After most of them every later CUDA call of the process fails, too.
DEVICE_FAULT = re.compile(
    r"(?:CUDA|HIP)(?: driver)? error:"
    r"|Triton Error \[\w+\]"
    r"|[A-Z]+_(?:STATUS_)?(?:EXECUTION_FAILED|INTERNAL_ERROR|MAPPING_ERROR)"
    r"|unhandled cuda error|device-side assert"
    r"|CUDA (?:unknown error|driver initialization failed)|cudaGetDeviceCount|No CUDA GPUs are available"
)

WITHOUT_GRAPHS = "NAS_CUDA_GRAPHS=0"  # in the environment: work is launched kernel by kernel


class CaptureFailedError(RuntimeError):
    """Work could not be captured as a CUDA graph; this process must not use its device any more.

    A capture that ends in an error leaves torch's allocator and generators as if it went on, and they then
    refuse ordinary calls. Whether a version of torch cleans up is not asked: the process is replaced.
    """


class DeviceLostError(RuntimeError):
    """The device is of no more use to this process, which runs on nothing else."""


@dataclass(frozen=True)
class DeviceFault:
    """The reason why a process must not use its device any more; `of_capture`: which is not the device's."""

    reason: str
    of_capture: bool = False


def names_device_fault(text: str) -> bool:
    """True if an error that says this is a fault of a device."""
    return bool(DEVICE_FAULT.search(text)) and not OUT_OF_MEMORY.search(text)


def is_out_of_memory(error: BaseException) -> bool:
    """True if an error means that memory ran out, of a device or of the machine.

    Not so of a capture that failed for want of it: smaller parts in the same process would not help.
    """
    import torch

    if isinstance(error, CaptureFailedError):
        return False
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and bool(OUT_OF_MEMORY.search(str(error)))


def device_fault(error: BaseException, device: "torch.device") -> DeviceFault | None:
    """The fault after which this process must not use the device, as an error shows; None if it may.

    Errors come late on CUDA, where kernels run behind the host: so the device is waited for, too.
    """
    import torch

    if isinstance(error, CaptureFailedError):
        return DeviceFault(first_line(error), of_capture=True)
    if device.type == "cpu" or is_out_of_memory(error):
        return None
    if isinstance(error, torch.AcceleratorError) or names_device_fault(str(error)):
        return DeviceFault(first_line(error))
    try:
        torch.cuda.synchronize(device)
    except RuntimeError as later:
        return None if is_out_of_memory(later) else DeviceFault(first_line(later))
    return None
