"""Cores, clocks and other work of a machine, as far as Linux reports them; on other systems nothing."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path("/")
LONGEST_NAME = 20


@dataclass(frozen=True)
class CoreTimes:
    """Clock ticks since the start: of all cores, and of each process by its number."""

    busy: int
    stolen: int  # by other machines on the same hardware
    total: int
    processes: Mapping[int, tuple[str, int]]  # name and ticks


@dataclass(frozen=True)
class Neighbours:
    """Work of others while one looked, in cores."""

    busy: float
    stolen: float
    names: tuple[tuple[str, float], ...]  # the busiest first


def text_of(path: Path) -> str | None:
    """A file of /proc or /sys, stripped; None where it cannot be read."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None


def cpu_quota(root: Path = HERE) -> float | None:
    """The cores that a container may use at once; None without a limit."""
    group = root / "sys/fs/cgroup"
    if (text := text_of(group / "cpu.max")) is not None:  # version 2: "150000 100000" or "max 100000"
        quota, _, period = text.partition(" ")
        return None if quota == "max" else int(quota) / int(period or 100_000)
    quota_text = text_of(group / "cpu/cpu.cfs_quota_us")
    period_text = text_of(group / "cpu/cpu.cfs_period_us")
    if quota_text is None or period_text is None or int(quota_text) <= 0:
        return None
    return int(quota_text) / int(period_text)


def throttled_periods(root: Path = HERE) -> int:
    """Number of times that the container's limit on cores has stopped it."""
    for folder in ("", "cpu"):
        text = text_of(root / "sys/fs/cgroup" / folder / "cpu.stat")
        for line in (text or "").splitlines():
            name, _, number = line.partition(" ")
            if name == "nr_throttled":
                return int(number)
    return 0


def clock_source(root: Path = HERE) -> str | None:
    """Clock from which the kernel takes the time."""
    return text_of(root / "sys/devices/system/clocksource/clocksource0/current_clocksource")


def governors(cores: list[int], root: Path = HERE) -> set[str]:
    """Governors of the cores' frequency; empty where they are not reported, as in most virtual machines."""
    folder = root / "sys/devices/system/cpu"
    found = (text_of(folder / f"cpu{core}/cpufreq/scaling_governor") for core in cores)
    return {text for text in found if text is not None}


def too_hot(cores: list[int], root: Path = HERE) -> int:
    """Number of times that a core was slowed down for its temperature since the start."""
    folder = root / "sys/devices/system/cpu"
    counts = (text_of(folder / f"cpu{core}/thermal_throttle/core_throttle_count") for core in cores)
    return sum(int(text) for text in counts if text is not None and text.isdigit())


def shared_cores(cores: list[int], root: Path = HERE) -> int:
    """Number of these that are a second hardware thread of a core that is counted already."""
    folder = root / "sys/devices/system/cpu"
    seen: set[str] = set()
    extra = 0
    for core in cores:
        siblings = text_of(folder / f"cpu{core}/topology/thread_siblings_list")
        if siblings is not None and siblings in seen:
            extra += 1
        seen.add(siblings or f"core {core}")
    return extra


def core_times(root: Path = HERE) -> CoreTimes | None:
    """Ticks of the cores and of processes so far; None where it is not reported."""
    text = text_of(root / "proc/stat")
    if not text:
        return None
    user, nice, system, idle, waiting, *rest = map(int, text.splitlines()[0].split()[1:])
    stolen = rest[2] if len(rest) > 2 else 0
    busy = user + nice + system + sum(rest[:2])
    processes = dict(
        found for folder in (root / "proc").glob("[0-9]*") if (found := _process(folder)) is not None
    )
    return CoreTimes(busy, stolen, busy + stolen + idle + waiting, processes)


def _process(folder: Path) -> tuple[int, tuple[str, int]] | None:
    text = text_of(folder / "stat")
    if text is None or ")" not in text:
        return None
    name = text[text.index("(") + 1 : text.rindex(")")]
    fields = text[text.rindex(")") + 2 :].split()
    return int(folder.name), (name[:LONGEST_NAME], int(fields[11]) + int(fields[12]))


def neighbours(before: CoreTimes, after: CoreTimes, *, cores: int, own: int) -> Neighbours:
    """Work of other processes than `own` between two looks, in cores of `cores`."""
    per_core = max((after.total - before.total) / cores, 1)
    used = {
        number: (name, max(ticks - before.processes.get(number, (name, ticks))[1], 0) / per_core)
        for number, (name, ticks) in after.processes.items()
    }
    mine = used.pop(own, ("", 0.0))[1]
    names = sorted(used.values(), key=lambda item: -item[1])
    busy = max((after.busy - before.busy) / per_core - mine, 0.0)
    return Neighbours(busy, (after.stolen - before.stolen) / per_core, tuple(names))


def look_at_neighbours(seconds: float, *, root: Path = HERE) -> Neighbours | None:
    """Work of other processes here for that long; None where it is not reported."""
    before = core_times(root)
    time.sleep(seconds)
    after = core_times(root)
    if before is None or after is None:
        return None
    return neighbours(before, after, cores=os.cpu_count() or 1, own=os.getpid())
