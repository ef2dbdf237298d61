"""The pool of Ray workers without Ray: slots, and trials whose workers are lost."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from clocks import Clock
from conftest import MakeConfig
from formula import formula_worker
from small_trials import make_trial

from nas.events import Retried
from nas.search.search import search
from trials.devices.device import available_slots
from trials.executors import ray_pool
from trials.executors.local_slots import local_slots
from trials.executors.ray_member import Member
from trials.executors.ray_pool import FAILED_STARTS, Pool, WorkersError
from trials.executors.timing_places import TimingPlaces
from trials.trial import (
    EpochResult,
    Event,
    Notice,
    Slot,
    Trial,
    TrialResult,
)


def test_workers_that_share_devices_are_spread_over_all_of_them_first() -> None:
    devices = available_slots()
    slots = local_slots(None, 2)
    assert [slot.index for slot in slots] == list(range(2 * len(devices)))
    assert [slot.core for slot in slots] == [slot.core for slot in devices] * 2
    assert [slot.core for slot in local_slots(len(devices), 2)] == [slot.core for slot in devices]
    with pytest.raises(WorkersError, match=r"each worker takes 1/2 of one"):
        local_slots(2 * len(devices) + 1, 2)


def test_a_slot_whose_worker_never_starts_is_left_until_nodes_come_or_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import ray
    from ray.exceptions import RayActorError

    started: list[int] = []

    class Failing(Pool):
        def _started(self, slot: Slot, failed_starts: int = 0) -> Member:
            started.append(slot.index)
            return Member(slot=slot, actor=None, ready=None, failed_starts=failed_starts)

    def fail(_: object) -> None:
        raise RayActorError

    monkeypatch.setattr(ray, "get", fail)
    monkeypatch.setattr(ray_pool, "SECONDS_BETWEEN_LOOKS", -1.0)
    offered, places = [Slot(index=0), Slot(index=1)], TimingPlaces([], None)
    pool = Failing(formula_worker, offered[:], more_slots=lambda: offered)  # type: ignore[arg-type]
    for _ in range(FAILED_STARTS):
        events = list(pool._started_later(pool._members[1], places))
    (said,) = (event.text for event in events if isinstance(event, Notice))
    assert said.startswith("worker 1 is given up")
    started.clear()
    list(pool._start_on_new_slots())
    assert not started
    offered.append(Slot(index=2))
    list(pool._start_on_new_slots())
    assert started == [1, 2]


def test_a_worker_that_yields_no_event_for_too_long_is_killed_and_its_trial_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By this clock; workers that are free, or heard of a moment ago, are left alone."""
    clock = Clock()
    monkeypatch.setattr(ray_pool, "time", SimpleNamespace(monotonic=clock))
    killed: list[int] = []
    started: list[int] = []

    class Silent(Pool):
        def _started(self, slot: Slot, failed_starts: int = 0) -> Member:
            started.append(slot.index)
            return Member(slot=slot, actor=None, ready=None, failed_starts=failed_starts)

        def _kill(self, member: Member) -> None:
            killed.append(member.slot.index)

    slots, places = [Slot(index=i) for i in range(3)], TimingPlaces([], None)
    pool = Silent(formula_worker, slots, stall_seconds=300.0)  # type: ignore[arg-type]
    started.clear()
    hung, heard, _ = pool._members.values()
    hung.trial, heard.trial = make_trial(), replace(make_trial(), trial_id=2)
    clock.now = 299.9
    heard.heard = clock.now
    assert not list(pool._kill_stalled(places))
    clock.now = 300.5
    (lost,) = pool._kill_stalled(places)
    assert isinstance(lost, TrialResult)
    assert (lost.trial, lost.status, lost.failure_kind) == (hung.trial, "crashed", "worker_lost")
    assert (lost.error or "").endswith("it gave no sign of life for 300 s")
    assert (killed, started) == ([0], [0])
    assert not list(pool._kill_stalled(places)), "the new worker runs nothing yet"
    # One whose trial has ended, and that hangs before the end of its stream, loses nothing.
    heard.is_over = True
    clock.now = 700.0
    assert not list(pool._kill_stalled(places))
    assert (killed, started) == ([0, 1], [0, 1])


# ---------------------------------------------------------------------- what the search makes of lost workers


def losing(kind: str, times: int) -> object:
    """An executor that loses the worker of trial 0 so often."""

    def execute(start: object, asked: Iterator[Trial | None]) -> Iterator[Event]:
        run_trial = formula_worker(Slot(index=0))
        left = times
        for trial in asked:
            assert trial is not None
            if trial.trial_id == 0 and left:
                left -= 1
                yield TrialResult(trial=trial, status="crashed", failure_kind=kind, error="gone")  # type: ignore[arg-type]
                continue
            yield from run_trial(trial)  # type: ignore[misc]

    return execute


@pytest.mark.parametrize(
    ("kind", "times", "status", "attempts"),
    [("worker_lost", 2, "completed", 3), ("worker_lost", 3, "crashed", 3), ("preempted", 5, "completed", 6)],
)
def test_preemption_is_nobodys_fault_and_other_losses_are_borne_twice(
    kind: str, times: int, status: str, attempts: int, make_config: MakeConfig, tmp_path: Path
) -> None:
    events: list[object] = []
    result = search(
        make_config(),
        tmp_path / "run",
        execute=losing(kind, times),
        start=formula_worker,
        on_event=events.append,  # type: ignore[arg-type]
    )
    (row,) = [row for row in result.rows if row["trial_id"] == 0]
    assert row["status"] == status
    if status == "completed":
        assert row["attempts"] == attempts
    assert len([each for each in events if isinstance(each, Retried)]) == attempts - 1


def advancing(start: object, asked: Iterator[Trial | None]) -> Iterator[Event]:
    """Each attempt of trial 0 gets one epoch further and is lost, as with checkpoints."""
    run_trial = formula_worker(Slot(index=0))
    for trial in asked:
        assert trial is not None
        events = list(run_trial(trial))
        epochs = [event for event in events if isinstance(event, EpochResult)]
        if trial.trial_id == 0 and trial.attempt <= len(epochs):
            yield from epochs[: trial.attempt]
            yield TrialResult(trial=trial, status="crashed", failure_kind="worker_lost", error="gone")
        else:
            yield from events  # type: ignore[misc]


def test_a_trial_that_gets_further_each_time_is_not_given_up(make_config: MakeConfig, tmp_path: Path) -> None:
    recipe = {"epochs": 6, "batch_size": 64, "resolution": 16, "flip": False}
    for folder, status in ((None, "crashed"), (str(tmp_path / "checkpoints"), "completed")):
        result = search(
            make_config(recipe=recipe, checkpoint_dir=folder),
            tmp_path / status,
            execute=advancing,  # type: ignore[arg-type]
            start=formula_worker,
        )
        (row,) = [row for row in result.rows if row["trial_id"] == 0]
        assert row["status"] == status
