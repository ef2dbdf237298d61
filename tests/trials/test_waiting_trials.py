"""Trials that share their device with other processes: they wait to time, and give way while they train."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_networks import SMALL
from small_trials import DIGITS, RECIPE, make_trial

from trials.devices import device_lock
from trials.devices.device import available_cores, lock_of
from trials.devices.device_lock import DeviceLock, core_id
from trials.devices.sharing import training
from trials.log.rows import device_seconds, trial_row
from trials.log.schema import TRIAL_SCHEMA
from trials.run_trial import WorkerSetup, start_worker
from trials.training import train
from trials.trial import EpochResult, Event, Progress, RunTrial, Slot, TrialResult

pytestmark = [
    pytest.mark.usefixtures("as_a_worker"),
    pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no core can be claimed here"),
]
CORES = available_cores()  # before a worker binds this process to one
CORE = CORES[0]


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunTrial:
    """A worker on a core of its own, that tells of all that happens."""
    monkeypatch.setattr(device_lock, "SECONDS_BETWEEN_HEARTBEATS", 0.01)
    monkeypatch.setattr(train, "SECONDS_BETWEEN_HEARTBEATS", 0.0)
    setup = WorkerSetup(data=DIGITS, reference=SMALL, locks=tmp_path / "locks")
    return start_worker(Slot(index=0, core=CORE), setup=setup)


@pytest.fixture
def neighbour(tmp_path: Path) -> DeviceLock:
    """Another run's lock of the same core."""
    return DeviceLock(core_id(CORE), folder=tmp_path / "locks")


def until(events: Iterator[Event], phase: str) -> Progress:
    """Goes on to the next progress of that phase."""
    for event in events:
        if isinstance(event, Progress) and event.phase == phase:
            return event
    raise AssertionError(f"it never was {phase}")


def rest(events: Iterator[Event]) -> tuple[list[EpochResult], TrialResult]:
    *others, last = events
    assert isinstance(last, TrialResult)
    return [event for event in others if isinstance(event, EpochResult)], last


def test_a_trial_waits_for_its_turn_to_be_timed_and_says_so(worker: RunTrial, neighbour: DeviceLock) -> None:
    with training(neighbour):
        events = worker(make_trial())
        until(events, "waiting")
        until(events, "waiting")
        assert neighbour.is_wanted()
    _, result = rest(events)
    assert result.status == "completed"
    assert result.step_time is not None
    assert result.step_time.is_exclusive
    assert result.times is not None
    assert result.times.waiting_seconds > 0.01
    row = trial_row({}, result, reward=0.5, environment_id="e")
    assert row["waiting_seconds"] == result.times.waiting_seconds
    assert row["timing_exclusive"] is True
    assert row["step_time_ratio_error"] == result.step_time.step_time_ratio_error
    assert {"waiting_seconds", "timing_exclusive", "step_time_ratio_error"} <= set(TRIAL_SCHEMA.names)


def test_training_trial_gives_way_to_a_timer_and_keeps_its_losses(
    worker: RunTrial, neighbour: DeviceLock
) -> None:
    undisturbed, alone = rest(worker(make_trial()))
    assert alone.times is not None
    assert alone.step_time is not None
    trial = replace(make_trial(), step_time=alone.step_time)
    events = worker(trial)
    until(events, "training")
    queue = neighbour.queue("timing")
    next(queue)  # the trial has the device
    until(events, "waiting")
    assert list(queue) == []
    assert neighbour.is_exclusive
    until(events, "waiting")
    neighbour.release()
    disturbed, result = rest(events)
    assert [e.train_loss for e in disturbed] == [e.train_loss for e in undisturbed][-len(disturbed) :]
    assert result.epochs[-1].train_loss == alone.epochs[-1].train_loss
    assert result.times is not None
    assert result.times.waiting_seconds > 0.01


def test_waiting_for_the_device_is_no_part_of_a_trials_cost(worker: RunTrial, neighbour: DeviceLock) -> None:
    events = worker(replace(make_trial(), recipe=replace(RECIPE, epochs=1), epochs=1))
    for phase in ("training", "evaluating"):
        until(events, phase)
        queue = neighbour.queue("timing")
        next(queue)
        until(events, "waiting")
        assert list(queue) == []
        for _ in range(30):
            until(events, "waiting")
        neighbour.release()
    _, result = rest(events)
    assert result.times is not None
    row = trial_row({}, result, reward=0.5, environment_id="e")
    assert row["waiting_seconds"] > 2 * 0.3
    whole = row["finished_at"] - row["started_at"]
    assert device_seconds(row) + row["waiting_seconds"] <= whole.total_seconds()


def has_the_device_at_once(lock: DeviceLock) -> bool:
    for _ in lock.queue("timing"):
        return False  # it waits for somebody
    has_it = lock.is_exclusive
    lock.release()
    return has_it


@pytest.mark.parametrize("phase", ["timing", "training"])
def test_trial_that_ends_in_any_way_frees_the_device(
    worker: RunTrial, neighbour: DeviceLock, phase: str
) -> None:
    events = worker(make_trial())
    until(events, phase)
    events.close()  # type: ignore[attr-defined]
    assert has_the_device_at_once(neighbour)
    *_, over = worker(replace(make_trial(), limits={"step_time_ratio": 0.01}))
    assert isinstance(over, TrialResult)
    assert over.status == "infeasible"
    assert has_the_device_at_once(neighbour)


def test_process_that_may_use_several_cores_excludes_nobody_from_timing(tmp_path: Path) -> None:
    for cores, exclusive in ((CORES, len(CORES) == 1), (CORES[:1], True)):
        os.sched_setaffinity(0, cores)
        lock = lock_of(torch.device("cpu"), folder=tmp_path / "locks")
        with lock.timing():
            assert lock.is_exclusive == exclusive
