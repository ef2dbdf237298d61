"""The device a trial runs on: its name, its precision, its memory and its clock."""

import ctypes
import os
import platform
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from pathlib import Path

import torch

from trials.devices.device_lock import DeviceLock, core_id
from trials.devices.lock_files import FOLDER
from trials.devices.memory_bound import KIB, available_bytes, kib_of
from trials.trial import DeviceInfo, Slot

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
KEPT_BYTES = 1 << 30
PLENTY = 0.5  # times what this process holds


def claim(slot: Slot) -> torch.device:
    """Makes this process the slot's worker: one thread and, where the slot names one, one core on CPU.

    Two one-thread trials on two cores do a third more work than one two-thread trial, and a second spinning
    OpenMP team on the same cores slows both many times over.
    """
    device = torch.device(slot.device)
    if device.type == "cpu":
        torch.set_num_threads(1)
        keep_freed_memory()
        if slot.core is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {slot.core})
    else:
        torch.cuda.set_device(device)
    return device


def keep_freed_memory() -> bool:
    """Tells glibc to keep what is freed; whether it is there to be told.

    By default every large activation is a fresh mapping, whose pages the kernel zeroes one by one.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, KEPT_BYTES) and mallopt(M_TRIM_THRESHOLD, KEPT_BYTES))


def give_back_freed_memory() -> None:
    """Returns what glibc kept to the system, unless the machine has plenty left.

    The next network may be a small one, but getting as much memory again costs a trial up to seconds.
    """
    held, left = kib_of(Path("/proc/self/status"), "VmRSS"), available_bytes()
    if held is not None and left is not None and left > PLENTY * held * KIB:
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def available_cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def use_all_cores() -> None:
    """For work that has a CPU to itself: a thread on each core, or as many as OMP_NUM_THREADS asks for."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    torch.set_num_threads(int(asked) if asked.isdigit() and int(asked) else len(available_cores()))
    keep_freed_memory()


def available_slots() -> list[Slot]:
    """This machine's slots: one per CUDA device, else one per core, each on a core of its own."""
    if gpus := torch.cuda.device_count():
        return [Slot(index=i, device=f"cuda:{i}") for i in range(gpus)]
    return [Slot(index=i, core=core) for i, core in enumerate(available_cores())]


def device_info(slot: Slot) -> DeviceInfo:
    """Name and identity of the slot's device, and the host's name."""
    host = socket.gethostname()
    device = torch.device(slot.device)
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return DeviceInfo(device_name=properties.name, device_id=str(properties.uuid), host=host)
    core = "any core" if slot.core is None else f"core {slot.core}"
    return DeviceInfo(device_name=cpu_name(), device_id=core, host=host)


def this_device() -> str:
    """The model of this machine's devices."""
    return device_info(available_slots()[0]).device_name


def lock_of(device: torch.device, *, folder: Path = FOLDER) -> DeviceLock:
    """The lock of a GPU, or of the one core to which this process is bound; else it excludes nobody."""
    if device.type == "cuda":
        uuid = str(torch.cuda.get_device_properties(device).uuid)
        return DeviceLock(uuid, folder=folder, synchronise=partial(torch.cuda.synchronize, device))
    cores = available_cores()
    return DeviceLock(core_id(cores[0]) if len(cores) == 1 else None, folder=folder)


def cpu_name() -> str:
    """The processor's model name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context in which the forward pass runs; bf16 needs no gradient scaler."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether that is what an error says; torch's CPU allocator has no exception class of its own."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)


def clock_of(device: torch.device) -> Callable[[], float]:
    """Seconds of work: the thread's CPU time on CPU (neighbours do not count), synchronised time on CUDA."""
    if device.type == "cpu":
        return time.thread_time

    def synchronised() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return synchronised


def reset_peak_memory(device: torch.device) -> None:
    """Starts a new peak-memory measurement where the device has one."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> int | None:
    """Bytes at most allocated since the reset; None on CPU, which does not tell."""
    return int(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else None
