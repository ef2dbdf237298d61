"""The memory that this machine has left, and a bound on what a process takes of it (Linux only)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SHARE = 0.9  # of what is left: the rest is for whoever else works here
KIB = 1024


def available_bytes() -> int | None:
    """What can still be allocated without swapping: the machine's, or less where a container is limited."""
    available = kib_of(Path("/proc/meminfo"), "MemAvailable")
    if available is None:
        return None
    return min([available * KIB, *_left_in_container()])


def _left_in_container() -> Iterator[int]:
    """What the limit of a control group leaves, version 2 and version 1; cached files make room."""
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
    """Inside, allocating more than that share of what is left raises; else the kernel would end processes.

    An allocation that is refused is a MemoryError, or torch's RuntimeError (`is_out_of_memory` knows both).
    """
    held, left = kib_of(Path("/proc/self/status"), "VmData"), available_bytes()
    if held is None or left is None:
        yield
        return
    import resource  # Unix only

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bound = held * KIB + int(share * left)
    if soft != resource.RLIM_INFINITY:
        bound = min(bound, soft)
    resource.setrlimit(resource.RLIMIT_DATA, (bound, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def kib_of(path: Path, name: str) -> int | None:
    """The KiB that a file of /proc gives under that name; None where there is no such file or name."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    found = next((line for line in lines if line.startswith(f"{name}:")), None)
    return None if found is None else int(found.split()[1])
