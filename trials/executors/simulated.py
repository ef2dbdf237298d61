"""Runs trials in simulated time, on any number of workers: a discrete-event simulation."""

import heapq
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from trials.log.schema import WORK_SECONDS
from trials.trial import (
    Event,
    Execute,
    Progress,
    RunTrial,
    Slot,
    StartWorker,
    TimingPart,
    Trial,
    TrialResult,
)

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)  # of simulated time

T = TypeVar("T")
E = TypeVar("E")


def simulated(*, workers: int = 1) -> Execute:
    """An executor on simulated workers; each trial takes the seconds that its result reports.

    Nothing waits: the events of a trial are kept until the simulated clock reaches its end. All of them come
    then, and the result has the simulated times of start and end. The same trials give the same events in the
    same order, whatever the machine does meanwhile.

    Raises:
        ValueError: there are no workers, or a trial reports a negative or infinite duration.
    """
    if workers < 1:
        raise ValueError(f"workers: {workers} given; at least 1 expected")

    def execute(start_worker: StartWorker, trials: Iterable[Trial | None]) -> Iterator[Event]:
        run_trials: dict[int, RunTrial] = {}

        def run(trial: Trial, slot: int, now: float) -> tuple[float, list[Event]]:
            if slot not in run_trials:
                run_trials[slot] = start_worker(Slot(index=slot))
            events: list[Event] = []
            for event in run_trials[slot](trial):
                assert not isinstance(event, TimingPart), "only whole trials are run"
                events.append(event)
            return _finished(events, slot, now)

        for events in in_simulated_time(trials, run, workers=workers):
            yield from events

    return execute


def in_simulated_time(
    tasks: Iterable[T | None], run: Callable[[T, int, float], tuple[float, E]], *, workers: int
) -> Iterator[E]:
    """Runs tasks on simulated workers; yields their results in the order of their simulated ends.

    Tasks with equal ends come in the order of their starts. A None among the tasks means that nothing is to
    be started until another result has been handled.

    Args:
        run: from (task, slot, time now) to the seconds that the task takes and its result.
    """
    source = iter(tasks)
    exhausted = False
    now, started = 0.0, 0
    free = list(range(workers))
    running: list[tuple[float, int, int, E]] = []  # a heap of (end, number of the start, slot, result)
    while True:
        # Step 1: start a task on every free worker, the lowest slot first; time does not pass.
        while free and not exhausted:
            try:
                task = next(source)
            except StopIteration:
                exhausted = True
                break
            if task is None:
                break
            slot = heapq.heappop(free)
            seconds, given = run(task, slot, now)
            if not (seconds >= 0 and math.isfinite(seconds)):
                raise ValueError(f"a trial took {seconds} s; a finite number, 0 or above, is expected")
            heapq.heappush(running, (now + seconds, started, slot, given))
            started += 1
        if not running:
            assert exhausted, "asked to wait with nothing in flight"
            return
        # Step 2: advance the clock to the next end.
        now, _, slot, given = heapq.heappop(running)
        heapq.heappush(free, slot)
        yield given


def _finished(events: list[Event], slot: int, now: float) -> tuple[float, list[Event]]:
    """The seconds that a trial took, and its events with the slot and the simulated times filled in."""
    seconds = sum(_seconds(event) for event in events if isinstance(event, TrialResult))
    return seconds, [_placed(event, slot, now, now + seconds) for event in events]


def _placed(event: Event, slot: int, start: float, end: float) -> Event:
    if isinstance(event, Progress):
        return replace(event, slot=slot)
    if isinstance(event, TrialResult) and event.times is not None:
        times = replace(event.times, started_at=_clock(start), finished_at=_clock(end))
        return replace(event, times=times)
    return event


def _seconds(result: TrialResult) -> float:
    """Seconds that a trial used its worker; 0 where they are unknown, as for one that crashed at once."""
    times = result.times
    if times is None:
        return 0.0
    return float(sum(getattr(times, name) for name in WORK_SECONDS))


def _clock(seconds: float) -> str:
    return (BEGINNING + timedelta(seconds=seconds)).isoformat()
