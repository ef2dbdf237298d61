"""The memory that this machine has left, and a limit on how much of it a process takes (Linux only)."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch

SHARE = 0.9  # of the memory left that a process may take; the rest is for others
KIB = 1024


def available_bytes() -> int | None:
    """Bytes that can still be allocated without swapping, within the container's limit; None if unknown."""
    available = _kib_of(Path("/proc/meminfo"), "MemAvailable")
    if available is None:
        return None
    return min([available * KIB, *_left_in_container()])


def _left_in_container() -> Iterator[int]:
    """Bytes left below the limit of a control group (version 2, version 1); file caches count as free."""
    for folder, limit, usage, cached in (
        ("", "memory.max", "memory.current", "inactive_file"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        group = Path("/sys/fs/cgroup") / folder
        try:
            most, used = ((group / name).read_text().strip() for name in (limit, usage))
            statistics = dict(line.split(" ", 1) for line in (group / "memory.stat").read_text().splitlines())
        except OSError:
            continue
        if most != "max":
            yield max(int(most) - int(used) + int(statistics.get(cached, 0)), 0)


@contextmanager
def bounded_memory(share: float = SHARE) -> Iterator[None]:
    """Limits this process's allocations within the block to a share (0-1) of the memory that is left.

    Beyond it, allocating raises MemoryError or torch's RuntimeError (`is_out_of_memory` recognises both).
    Without a limit the kernel would kill processes.
    """
    held, left = own_bytes("VmData"), available_bytes()
    if held is None or left is None:
        yield
        return
    import resource  # Unix only

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bound = held + int(share * left)
    if soft != resource.RLIM_INFINITY:
        bound = min(bound, soft)
    resource.setrlimit(resource.RLIMIT_DATA, (bound, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


@contextmanager
def bounded_on(device: torch.device) -> Iterator[None]:
    """`bounded_memory` on a CPU; nothing on other devices, which refuse by themselves what does not fit."""
    with bounded_memory() if device.type == "cpu" else nullcontext():
        yield


def own_bytes(name: str) -> int | None:
    """Bytes of this process by their name in /proc/self/status, as VmRSS; None off Linux."""
    kib = _kib_of(Path("/proc/self/status"), name)
    return None if kib is None else kib * KIB


def _kib_of(path: Path, name: str) -> int | None:
    """The number of KiB under a name in a file of /proc; None where there is no such file or name."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    found = next((line for line in lines if line.startswith(f"{name}:")), None)
    return None if found is None else int(found.split()[1])
