"""NVIDIA's management library (NVML): opened for a while, and a CUDA device's handle in it.

It is asked through the package nvidia-ml-py. Without the package, a driver, or the permission to ask it,
there is no answer, and nothing fails for want of one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from trials.devices.visible_gpus import visible_slices

PREFIXES = ("GPU-", "MIG-")  # of whole GPUs and of their slices


@contextmanager
def opened_nvml() -> Iterator[Any]:
    """The module of NVML, initialised for the block; None where it is missing or fails to initialise."""
    try:
        import pynvml
    except ImportError:
        yield None
        return
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def driver_version() -> str | None:
    """The version of the NVIDIA driver; None where it is unknown."""
    with opened_nvml() as nvml:
        try:
            return None if nvml is None else str(nvml.nvmlSystemGetDriverVersion())
        except nvml.NVMLError:
            return None


def handle_of(nvml: Any, device: torch.device) -> Any:
    """NVML's handle of a CUDA device, which may be a slice of a GPU (MIG); None where the driver refuses.

    A slice has a UUID of its own, but older versions of CUDA report its GPU's. So a slice that the
    environment names is asked for by that name; of another one in MIG mode CUDA takes the first slice.
    """
    uuid = str(torch.cuda.get_device_properties(device).uuid)
    own = (uuid,) if uuid.startswith(PREFIXES) else tuple(f"{prefix}{uuid}" for prefix in PREFIXES)
    slices = visible_slices()
    for name in (*slices[:1], *own):
        try:
            handle = nvml.nvmlDeviceGetHandleByUUID(name)
        except (nvml.NVMLError, AttributeError):
            continue
        return handle if slices else _first_slice(nvml, handle)
    return None


def whole_gpu(nvml: Any, handle: Any) -> Any:
    """The GPU that a slice belongs to, which has the clock; any other handle as it is."""
    try:
        if nvml.nvmlDeviceIsMigDeviceHandle(handle):
            return nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)
    except (nvml.NVMLError, AttributeError):
        pass  # a driver that knows no slices
    return handle


def gpu_id(device: torch.device) -> str:
    """A CUDA device's UUID, the same under all of its names; of a slice it begins with MIG-."""
    named = visible_slices()
    with opened_nvml() as nvml:
        handle = None if nvml is None else handle_of(nvml, device)
        try:
            uuid = "" if handle is None else nvml.nvmlDeviceGetUUID(handle)
        except (nvml.NVMLError, AttributeError):
            uuid = ""
    if isinstance(uuid, bytes):
        uuid = uuid.decode()
    if named and not uuid.startswith("MIG-"):  # the driver does not know it by its name
        return named[0]
    return (uuid or str(torch.cuda.get_device_properties(device).uuid)).removeprefix("GPU-")


def _first_slice(nvml: Any, handle: Any) -> Any:
    """The first slice of a GPU in MIG mode, on which CUDA computes; any other handle as it is."""
    try:
        if not nvml.nvmlDeviceGetMigMode(handle)[0]:
            return handle
        for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
            try:
                return nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
            except nvml.NVMLError:
                continue  # there may be gaps
    except (nvml.NVMLError, AttributeError):
        pass  # a GPU or a driver that knows no slices
    return handle
