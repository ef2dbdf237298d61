"""Checks of the conditions of step times on this machine: cores, clocks, neighbours, a trial run."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from analysis.numbers import counted, percent
from nas.doctor import machine
from nas.doctor.findings import Finding, Level

TOPIC = "timing"
GOOD_SOURCES = ("tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "xen", "arch_sys_counter", "arm,sp804")
COARSEST = 1e-4  # seconds of the thread's clock, some hundredths of a short step
LOOK_SECONDS = 1.0
BUSY_NOTE, BUSY_HINDERS = 0.1, 0.5  # of the cores
STOLEN = 0.02  # of the cores
SPREAD_NOTE, SPREAD_HINDERS = 0.05, 0.15  # of the same work, between its 10th and 90th percentile
REPEATS = 60
TICKS = 20  # steps of a clock, of which the smallest counts
SIDE = 192  # of the matrices of the same work: about a millisecond


def timing_findings(
    cores: list[int], *, on_gpus: bool = False, root: Path = machine.HERE
) -> Iterator[Finding]:
    """Findings that bear on step times taken on these cores; where GPUs are timed, they hinder nothing."""
    for finding in _on_cores(cores, root=root):
        softer = on_gpus and finding.level == "hinders"
        yield replace(finding, level="note") if softer else finding


def _on_cores(cores: list[int], *, root: Path) -> Iterator[Finding]:
    yield from core_findings(cores, root=root)
    yield from clock_findings(cores, root=root)
    seen = machine.look_at_neighbours(LOOK_SECONDS, root=root)
    if seen is not None:
        yield neighbour_finding(seen, cores=len(cores))
    yield spread_finding(repeated_work())


def core_findings(cores: list[int], *, root: Path) -> Iterator[Finding]:
    """Number of cores to run on, and what bounds them."""
    quota = machine.cpu_quota(root)
    count = len(cores)
    if quota is not None and quota < count:
        workers = max(int(quota), 1)
        yield Finding(
            TOPIC,
            "hinders",
            f"{count} cores are seen, but the container may use {quota:g} at once",
            f"nas search … --workers {workers}, or give the container all of its cores",
        )
    else:
        yield Finding(TOPIC, "fine", f"{counted(count, 'core')} for this process, no quota below that")
    if (stops := machine.throttled_periods(root)) and quota is not None:
        yield Finding(
            TOPIC,
            "note",
            f"the container was stopped {stops:,} times for its quota",
            "raise its limit on CPU",
        )
    if extra := machine.shared_cores(cores, root):
        yield Finding(
            TOPIC,
            "note",
            f"{extra} of {count} cores are second threads of the others, which slow each other down",
            f"where CPU step times matter: nas search … --workers {count - extra}",
        )


def clock_findings(cores: list[int], *, root: Path) -> Iterator[Finding]:
    """Source and resolution of the time, and whether the cores keep their speed."""
    source = machine.clock_source(root)
    if source is not None and source not in GOOD_SOURCES:
        yield Finding(
            TOPIC,
            "note",
            f"the clock is {source}, which takes a microsecond or more to read",
            "boot with tsc where the hardware allows it",
        )
    tick = clock_tick(time.thread_time)
    words = f"clock {source or 'not told'}; a thread's own time in steps of {_seconds(tick)}"
    if tick > COARSEST:
        yield Finding(TOPIC, "hinders", words, "CPU step times are too coarse here; time on another machine")
    else:
        yield Finding(TOPIC, "fine", words)
    yield from _speed_findings(cores, root=root)


def _speed_findings(cores: list[int], *, root: Path) -> Iterator[Finding]:
    found = machine.governors(cores, root)
    if not found:
        yield Finding(TOPIC, "fine", "frequencies are not told here, as in most virtual machines")
    elif found <= {"performance"}:
        yield Finding(TOPIC, "fine", "frequencies are kept high (governor performance)")
    else:
        yield Finding(
            TOPIC,
            "note",
            f"frequencies go up and down (governor {', '.join(sorted(found))})",
            "cpupower frequency-set -g performance",
        )
    if hot := machine.too_hot(cores, root):
        yield Finding(
            TOPIC, "note", f"cores were slowed down for their temperature {hot:,} times", "better cooling"
        )


def neighbour_finding(seen: machine.Neighbours, *, cores: int) -> Finding:
    """Work of others on the same cores."""
    share, stolen = seen.busy / cores, seen.stolen / cores
    if stolen > STOLEN:
        return Finding(
            TOPIC,
            "hinders" if stolen > BUSY_NOTE else "note",
            f"other virtual machines took {seen.stolen:.2f} of {counted(cores, 'core')} while this one "
            "wanted them",
            "time on a machine of your own",
        )
    level: Level = "hinders" if share > BUSY_HINDERS else "note" if share > BUSY_NOTE else "fine"
    words = f"other processes use {seen.busy:.2f} of {counted(cores, 'core')}"
    busiest = [f"{name} {used:.2f}" for name, used in seen.names if used >= BUSY_NOTE][:3]
    if busiest and level != "fine":
        words += f": {', '.join(busiest)}"
    advice = "wait for them, or take fewer workers" if level != "fine" else ""
    return Finding(TOPIC, level, words, advice)


def spread_finding(seconds: list[float]) -> Finding:
    """Spread of the times of the same work."""
    cuts = statistics.quantiles(seconds, n=10)
    spread = cuts[-1] / cuts[0] - 1
    level: Level = "fine" if spread <= SPREAD_NOTE else "note" if spread <= SPREAD_HINDERS else "hinders"
    work = f"the same {_seconds(statistics.median(seconds))} of work, {len(seconds)} times"
    words = f"{work}: {percent(spread, digits=1)} apart"
    advice = (
        "" if level == "fine" else "something shares the cores' caches or speed; look again when it is quiet"
    )
    return Finding(TOPIC, level, words, advice)


def repeated_work() -> list[float]:
    """Seconds of the thread's own time that the same small product of matrices took, after a warm-up."""
    matrix = np.random.default_rng(0).standard_normal((SIDE, SIDE)).astype(np.float32)
    seconds = []
    for i in range(2 * REPEATS):
        start = time.thread_time()
        for _ in range(4):
            np.einsum("ij,jk->ik", matrix, matrix, optimize=False)  # one thread, whatever BLAS there is
        if i >= REPEATS:
            seconds.append(time.thread_time() - start)
    return seconds


def clock_tick(clock: Callable[[], float]) -> float:
    """The smallest step of a clock that was seen, in seconds."""
    steps = []
    for _ in range(TICKS):
        start = end = clock()
        while end == start:
            end = clock()
        steps.append(end - start)
    return min(steps)


def _seconds(value: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-9:.0f} ns"
