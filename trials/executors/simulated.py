"""Runs trials in simulated time: any number of workers, events in the order in which they would come."""

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

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)  # when simulated time begins

T = TypeVar("T")
E = TypeVar("E")


def simulated(*, workers: int = 1) -> Execute:
    """Execute on so many workers, each trial taking the seconds that its result reports.

    Nothing waits: what `run_trial` yields is kept until the simulated clock reaches the trial's end. All
    events of a trial come then, and its result tells the simulated times of start and end. The same trials
    give the same events in the same order, whatever the machine does meanwhile.

    Raises:
        ValueError: no workers, or a trial reports a duration that is none.
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
    """What tasks give, in the order of their simulated ends (of equal ends, in that of their starts).

    `run(task, slot, now)` gives the seconds that a task takes and what is yielded when they have passed. Each
    free worker takes a task before time goes on; a None among them means that nothing is to be run until
    what was yielded has been handled.
    """
    source = iter(tasks)
    exhausted = False
    now, started = 0.0, 0
    free = list(range(workers))
    running: list[tuple[float, int, int, E]] = []  # end, start's number, slot, what it gives
    while True:
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
            assert exhausted, "told to wait with nothing in flight"
            return
        now, _, slot, given = heapq.heappop(running)
        heapq.heappush(free, slot)
        yield given


def _finished(events: list[Event], slot: int, now: float) -> tuple[float, list[Event]]:
    """The seconds that a trial took, and its events with the slot and the simulated times in them."""
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
    """How long the trial held its worker; 0 where nothing is known of it, as of one that crashed at once."""
    times = result.times
    if times is None:
        return 0.0
    return float(sum(getattr(times, name) for name in WORK_SECONDS))


def _clock(seconds: float) -> str:
    return (BEGINNING + timedelta(seconds=seconds)).isoformat()
