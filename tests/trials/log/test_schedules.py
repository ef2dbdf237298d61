"""Whole runs under random schedules of faults; the seed of one that breaks replays it."""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from schedules import Event, Schedule, played, schedule_of, shrunk

NIGHTLY_SECONDS = float(os.environ.get("SCHEDULES_SECONDS", "3600"))


def test_a_sample_of_schedules_breaks_no_invariant() -> None:
    """In stores and on a disk, some kinds of faults; the nightly test plays others for an hour."""
    broken = [failure for _, _, failure in played(4, 2) if failure]
    assert broken == []


def test_a_schedule_follows_from_its_seed_and_differs_from_others() -> None:
    assert schedule_of(7) == schedule_of(7)
    assert len({schedule_of(seed) for seed in range(50)}) == 50
    assert {schedule_of(seed).in_store for seed in range(50)} == {True, False}


def test_a_schedule_that_breaks_is_made_as_short_as_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here one breaks where a file is cut, whatever else happens."""
    events = (Event("before", 3), Event("cut", 9), Event("full", 5), Event("cut", 2))
    schedule = Schedule(1, "evolution", False, events)

    def broken_by_cuts(some: Schedule) -> str | None:
        return "cut" if any(event.kind == "cut" for event in some.events) else None

    monkeypatch.setattr("schedules.failure_of", broken_by_cuts)
    assert shrunk(schedule).events in ((Event("cut", 9),), (Event("cut", 2),))


def until(end: float, first: int) -> tuple[int, int, list[str]]:
    """Schedules, steps and failures of the seeds from `first` on, until a moment of the monotonic clock."""
    steps, count, broken = 0, 0, list[str]()
    for _, taken, failure in played(first, 10**9):
        steps, count = steps + taken, count + 1
        broken += [failure] if failure else []
        if time.monotonic() > end:
            break
    return count, steps, broken


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_schedules_of_an_hour_break_no_invariant() -> None:
    cores, end = os.cpu_count() or 1, time.monotonic() + NIGHTLY_SECONDS
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as processes:
        parts = list(processes.map(until, [end] * cores, range(1_000, 1_000 + cores * 10**8, 10**8)))
    count, steps = sum(part[0] for part in parts), sum(part[1] for part in parts)
    broken = [failure for part in parts for failure in part[2]]
    print(f"\n{count} schedules, {steps:,} steps, {len(broken)} broken", *broken, sep="\n")
    assert broken == []
