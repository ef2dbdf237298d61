"""The device that a trial runs on: slot, name, memory and clock."""

import ctypes
import os
import platform
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import torch

from trials.devices.device_lock import DeviceLock, core_id
from trials.devices.lock_files import FOLDER
from trials.devices.memory_bound import available_bytes, own_bytes
from trials.devices.nvml import gpu_id
from trials.devices.visible_gpus import gpus_here, visible_slices
from trials.trial import DeviceInfo, Slot

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # parameters of mallopt, from malloc.h
KEPT_BYTES = 1 << 30  # blocks up to this size come from the heap, which is trimmed only beyond it
PLENTY = 0.5  # share of this process's memory that is plenty if the machine has as much left


def claim(slot: Slot) -> torch.device:
    """Makes this process the slot's worker; on a CPU with one thread, on the slot's core if it names one.

    Two trials of one thread on two cores do a third more work than one trial of two threads; and two teams
    of spinning OpenMP threads on the same cores slow each other down many times.
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
    """Tells glibc to keep freed memory for later use; returns false where there is no glibc.

    By default every large activation is a new memory mapping, whose pages the kernel zeroes one by one.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, KEPT_BYTES) and mallopt(M_TRIM_THRESHOLD, KEPT_BYTES))


def give_back_freed_memory() -> None:
    """Returns freed memory that glibc kept to the system, unless the machine has plenty left.

    The next network may need less, but to get the memory back from the system takes a trial up to seconds.
    """
    held, left = own_bytes("VmRSS"), available_bytes()
    if held is not None and left is not None and left > PLENTY * held:
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def available_cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def use_all_cores() -> None:
    """Sets one thread per core, or OMP_NUM_THREADS, for work that has the CPU to itself."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    torch.set_num_threads(int(asked) if asked.isdigit() and int(asked) else len(available_cores()))
    keep_freed_memory()


def available_slots() -> list[Slot]:
    """This machine's slots: one per GPU, or slice of a GPU, or, without any, one per core.

    Each of several slices is the first CUDA device of a process that sees no other.
    """
    if gpus := gpus_here():
        return [Slot(index=i, device="cuda:0" if visible_slices() else f"cuda:{i}") for i in range(gpus)]
    return [Slot(index=i, core=core) for i, core in enumerate(available_cores())]


def device_info(slot: Slot) -> DeviceInfo:
    """Model and id of the slot's device, and the host's name."""
    host = socket.gethostname()
    device = torch.device(slot.device)
    if device.type == "cuda":
        name = torch.cuda.get_device_properties(device).name
        return DeviceInfo(device_name=name, device_id=gpu_id(device), host=host)
    core = "any core" if slot.core is None else f"core {slot.core}"
    return DeviceInfo(device_name=cpu_name(), device_id=core, host=host)


def this_device() -> str:
    """The model of this machine's devices."""
    return device_info(available_slots()[0]).device_name


def lock_of(device: torch.device, *, folder: Path = FOLDER) -> DeviceLock:
    """The lock of a GPU, or of the core that this process is bound to; without either it locks nothing.

    Slices of a GPU have a lock each.
    """
    if device.type == "cuda":
        return DeviceLock(gpu_id(device), folder=folder, synchronise=partial(torch.cuda.synchronize, device))
    cores = available_cores()
    return DeviceLock(core_id(cores[0]) if len(cores) == 1 else None, folder=folder)


def cpu_name() -> str:
    """The processor's model name as the system reports it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def clock_of(device: torch.device) -> Callable[[], float]:
    """A clock in seconds: wall time after synchronising on CUDA; on a CPU the thread's CPU time.

    The latter does not run while other processes use the core.
    """
    if device.type == "cpu":
        return time.thread_time

    def synchronised() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return synchronised
