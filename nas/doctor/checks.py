"""Checks of nas doctor besides timing and images: versions, devices, room, Ray."""

import importlib.util
import os
import platform
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from analysis.numbers import counted, percent
from nas.doctor import machine
from nas.doctor.data import data_findings
from nas.doctor.findings import Finding, Level
from nas.doctor.gpu import gpu_findings
from nas.doctor.timing import timing_findings
from nas.search.environment import describe_environment
from search_spaces.settings.sentences import first_line
from trials.devices.device import available_cores, available_slots, cpu_name
from trials.devices.memory_bound import available_bytes
from trials.devices.mps import START, mps_runs
from trials.devices.nvml import driver_version
from trials.devices.visible_gpus import unseen_words
from trials.executors.ray_actors import connected
from trials.executors.ray_folder import ray_folder
from trials.images.packed import default_cache
from trials.kernels.cpu_library import why_not
from trials.timing.gpu_clocks import watched_clocks

GB, GIB = 1e9, 1 << 30
DISK_HINDERS, DISK_NOTE = 1.0, 10.0  # GB
MEMORY_HINDERS, MEMORY_NOTE = 1.0, 2.0  # GiB for a worker
SHARED_MEMORY = 1.0  # GiB; Ray and data loaders exchange through it
RAY_PORT = 6379
CONNECT_SECONDS = 2.0


def examine(data: str | None, *, search: str | None = None) -> Iterator[Finding]:
    """Yields all findings as they are made, in some seconds; `data` as a search names it.

    With a `search` file also whether its networks suit the images.
    """
    yield version_finding()
    yield from device_findings(root=machine.HERE)
    if not torch.cuda.device_count():
        yield kernels_finding(why_not())
    yield from timing_findings(available_cores(), on_gpus=torch.cuda.device_count() > 0)
    yield memory_finding(available_bytes(), workers=len(available_slots()))
    yield from room_findings()
    if data is not None:
        yield from data_findings(data, search=search)
    yield from port_findings()
    yield ray_finding()


def examine_gpus() -> Iterator[Finding]:
    """Yields what is found of the GPUs alone, which are tried; in two minutes at most."""
    yield version_finding()
    yield from device_findings(root=machine.HERE)
    yield from gpu_findings()


def version_finding() -> Finding:
    """Versions of installed packages."""
    packages = describe_environment().packages
    named = [f"{name} {packages[name] or 'missing'}" for name in ("torch", "ray", "optuna", "pyarrow")]
    return Finding("versions", "fine", f"Python {platform.python_version()}, {', '.join(named)}")


def device_findings(*, root: Path) -> Iterator[Finding]:
    """Devices on which trials run, and what stands between torch and a GPU."""
    if unseen := unseen_words():
        yield Finding("devices", "hinders", unseen, "name GPUs that are there, each once, or unset it")
    count = torch.cuda.device_count()
    if not count:
        yield Finding("devices", "fine", f"no GPU; CPU {cpu_name()}")
        if (root / "proc/driver/nvidia/version").exists():
            yield Finding(
                "devices",
                "hinders",
                f"an NVIDIA driver is loaded, but torch {torch.__version__} sees no GPU",
                "install a torch with CUDA that suits the driver; in a container start it with --gpus all",
            )
        return
    driver = driver_version()
    for i in range(count):
        properties = torch.cuda.get_device_properties(i)
        words = f"{properties.name}, {properties.total_memory / GIB:.0f} GiB"
        yield Finding("devices", "fine", f"cuda:{i} {words}" + (f", driver {driver}" if driver else ""))
        yield from _gpu_findings(i)
    shared = "compute on a GPU at once (MPS)" if mps_runs() else f"take turns on a GPU; at once with: {START}"
    yield Finding("devices", "fine", f"several workers, as --per-device asks for, {shared}")
    if importlib.util.find_spec("pynvml") is None:
        yield Finding(
            "devices",
            "note",
            "a GPU's clock cannot be watched while it is timed",
            "pip install -e '.[gpu]' in the repository",
        )


def _gpu_findings(index: int) -> Iterator[Finding]:
    """A GPU whose memory is taken by others, or whose clock is held back."""
    free, total = torch.cuda.mem_get_info(index)
    if free < 0.9 * total:
        yield Finding(
            "devices",
            "note",
            f"cuda:{index} {percent(1 - free / total)} of its memory is taken",
            "another process works there: wait for it, or leave this GPU out (CUDA_VISIBLE_DEVICES)",
        )
    with watched_clocks(torch.device("cuda", index)) as clocks:
        clocks.sample()
        if clocks.flag:
            yield Finding("timing", "note", f"cuda:{index} {clocks.flag}", "look at its cooling and power")


def kernels_finding(reason: str | None) -> Finding:
    """Kernels for this processor; compiles them the first time."""
    if reason is None:
        return Finding("kernels", "fine", "own kernels between convolutions are compiled for this processor")
    return Finding(
        "kernels",
        "note",
        f"networks compute as torch does, which takes longer: {reason}",
        "install a C++ compiler (apt install g++)" if "no C++ compiler" in reason else "",
    )


def memory_finding(available: int | None, *, workers: int) -> Finding:
    """Memory that each worker has."""
    if available is None:
        return Finding("memory", "fine", "not told here")
    each = available / GIB / workers
    level: Level = "hinders" if each < MEMORY_HINDERS else "note" if each < MEMORY_NOTE else "fine"
    fewer = max(int(available / GIB / MEMORY_NOTE), 1)
    return Finding(
        "memory",
        level,
        f"{available / GIB:.1f} GiB are free: {each:.1f} for each of {counted(workers, 'worker')}",
        f"nas search … --workers {fewer}, or smaller batches" if level != "fine" else "",
    )


def room_findings() -> Iterator[Finding]:
    """Room on the disks that are written to, each once; and in shared memory."""
    places = {"runs": Path.cwd(), "packed images": default_cache(), "temporary": Path(tempfile.gettempdir())}
    disks: dict[int, list[str]] = {}
    for name, path in places.items():
        there = next(folder for folder in (path, *path.parents) if folder.exists())
        if not os.access(there, os.W_OK):
            yield Finding("disk", "hinders", f"{there} cannot be written ({name})", "work in another folder")
        disks.setdefault(there.stat().st_dev, [str(there)]).append(name)
    for place, *names in disks.values():
        yield disk_finding(shutil.disk_usage(place).free / GB, place, names)
    shared = Path("/dev/shm")
    if shared.is_dir() and (free := shutil.disk_usage(shared).free / GIB) < SHARED_MEMORY:
        yield Finding(
            "memory", "note", f"shared memory has {free:.2f} GiB", "in a container: docker run --shm-size 8g"
        )


def disk_finding(free: float, folder: str, names: list[str]) -> Finding:
    """Room on a disk, in GB."""
    level: Level = "hinders" if free < DISK_HINDERS else "note" if free < DISK_NOTE else "fine"
    advice = "make room; packed images can be deleted at any time, or moved by XDG_CACHE_HOME"
    words = f"{free:,.0f} GB free at {folder} ({', '.join(names)})"
    return Finding("disk", level, words, "" if level == "fine" else advice)


def port_findings(ray_port: int = RAY_PORT) -> Iterator[Finding]:
    """Ports by which processes here reach each other, and that of a Ray cluster to join."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        yield Finding(
            "ray",
            "hinders",
            f"processes cannot reach each other on 127.0.0.1 ({error.strerror or error})",
            "nas search … --in-process needs no ports; allow connections on the loopback interface",
        )
    try:
        socket.create_connection(("127.0.0.1", ray_port), timeout=CONNECT_SECONDS).close()
    except OSError:
        return
    yield Finding(
        "ray", "fine", f"something listens at port {ray_port}, where a Ray cluster would: --ray-address auto"
    )


def ray_finding() -> Finding:
    """Start and end of a local Ray, on the loopback interface alone."""
    start = time.perf_counter()
    try:
        with connected(None, 1, 1):
            started = time.perf_counter() - start
    except Exception as error:  # of Ray, its processes and its ports
        reason = first_line(error)
        return Finding(
            "ray", "hinders", f"does not start: {reason}", "nas search … --in-process needs no Ray"
        )
    _, elsewhere = ray_folder()
    words = f"starts on the loopback interface in {started:.1f} s"
    return Finding("ray", "fine", f"{words}; {elsewhere}" if elsewhere else words)
