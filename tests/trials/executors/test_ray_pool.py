"""Workers that die, stop, wear out or cannot start: no trial is lost, and none counts twice."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from conftest import MakeConfig
from executor_trials import Faulty, faulty, portable, tiny_trials
from formula import formula_worker

from nas.events import Retried
from nas.search.search import search
from trials.executors import ray_pool
from trials.executors.ray_actors import ray_actors
from trials.executors.ray_pool import FAILED_STARTS, Pool, WorkersError, _Member
from trials.executors.timing_places import TimingPlaces
from trials.trial import (
    EpochResult,
    Event,
    Notice,
    Slot,
    Trial,
    TrialResult,
    WorkerJoined,
)


@pytest.fixture(scope="module", autouse=True)
def _carried(one_ray: None) -> None:
    """What Ray's workers are given."""
    portable(formula_worker)
    portable(Faulty)


def run(fault: str, folder: Path, number: int = 6, **options: float) -> list[Event]:
    """All events; a trial whose worker is lost is given again, as the search does."""
    again: list[Trial] = []
    open_trials = number

    def given() -> Iterator[Trial | None]:
        yield from tiny_trials(number)
        while open_trials:
            yield again.pop() if again else None

    events = []
    portable(Faulty)
    start = faulty(fault, folder)
    for event in ray_actors(workers=2, **options)(start, given()):  # type: ignore[arg-type]
        events.append(event)
        if isinstance(event, TrialResult):
            if event.status == "crashed":
                again.append(replace(event.trial, attempt=event.trial.attempt + 1))
            else:
                open_trials -= 1
    return events


def is_alive(pid: int) -> bool:
    """Whether a process is there, and more than an entry that nobody has read yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def results(events: list[Event]) -> list[TrialResult]:
    return [event for event in events if isinstance(event, TrialResult)]


def check_that_trial_1_was_lost_to_another_worker(events: list[Event], folder: Path) -> None:
    completed = [result.trial_id for result in results(events) if result.status == "completed"]
    assert sorted(completed) == list(range(6))
    (lost,) = [result for result in results(events) if result.status == "crashed" and result.trial_id == 1]
    assert lost.failure_kind == "worker_lost"
    assert "while it ran trial 1" in (lost.error or "")
    assert len([event for event in events if isinstance(event, WorkerJoined)]) >= 2
    pid = int((folder / "faulty").read_text())
    ends = time.monotonic() + 600
    while is_alive(pid) and time.monotonic() < ends:
        time.sleep(0.1)
    assert not is_alive(pid), "a stopped process holds what it held"


def test_a_worker_that_is_killed_loses_its_trial_to_another(tmp_path: Path) -> None:
    events = run("killed", tmp_path)
    check_that_trial_1_was_lost_to_another_worker(events, tmp_path)
    assert sum(result.status == "crashed" for result in results(events)) == 1


def test_a_worker_that_stops_loses_its_trial_to_another(tmp_path: Path) -> None:
    """On a busy machine a worker that only had to wait may lose its trial as well, which does no harm."""
    check_that_trial_1_was_lost_to_another_worker(run("stopped", tmp_path, stall_seconds=3.0), tmp_path)


def test_a_worker_that_keeps_device_memory_is_replaced(tmp_path: Path) -> None:
    events = run("leaks", tmp_path, number=12)
    assert [result.status for result in results(events)] == ["completed"] * 12
    notices = [event.text for event in events if isinstance(event, Notice)]
    assert any("3.2 GB of device memory are held between trials" in text for text in notices)
    assert len(list(tmp_path.glob("pid-*"))) >= 3


class KilledAtStart:
    """The first process is killed before it is ready."""

    def __init__(self, slot: Slot, folder: Path) -> None:
        self.folder, self.run = folder, formula_worker(slot)

    def prepare(self) -> None:
        try:
            (self.folder / "killed").touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    def __call__(self, trial: Trial) -> Iterator[Event]:
        return self.run(trial)  # type: ignore[return-value]


def test_a_worker_that_is_killed_while_it_starts_is_replaced(tmp_path: Path) -> None:
    portable(KilledAtStart)
    start = partial(KilledAtStart, folder=tmp_path)
    events = list(ray_actors(workers=2)(start, tiny_trials(4)))  # type: ignore[arg-type]
    assert [result.status for result in results(events)] == ["completed"] * 4
    assert (tmp_path / "killed").exists()


class Unprepared:
    """A worker whose node has no images."""

    def __init__(self, slot: Slot) -> None:
        pass

    def __call__(self, trial: Trial) -> Iterator[Event]:
        raise AssertionError("never asked")

    def prepare(self) -> None:
        raise FileNotFoundError("no images at /data/flowers on this host")


def test_images_are_looked_for_on_every_worker_before_anything_is_asked() -> None:
    drawn: list[Trial] = []

    def given() -> Iterator[Trial]:
        for trial in tiny_trials(2):
            drawn.append(trial)
            yield trial

    with pytest.raises(WorkersError, match=r"worker \d did not start: .*no images at /data/flowers"):
        list(ray_actors(workers=2)(portable(Unprepared), given()))
    assert not drawn


def test_a_slot_whose_worker_never_starts_is_left_until_nodes_come_or_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import ray
    from ray.exceptions import RayActorError

    started: list[int] = []

    class Failing(Pool):
        def _started(self, slot: Slot, failed_starts: int = 0) -> _Member:
            started.append(slot.index)
            return _Member(slot=slot, actor=None, ready=None, failed_starts=failed_starts)

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
    list(pool._start_on_new_slots(places))
    assert not started
    offered.append(Slot(index=2))
    list(pool._start_on_new_slots(places))
    assert started == [1, 2]


# ---------------------------------------------------------------------- what the search makes of it


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
    news: list[object] = []
    result = search(
        make_config(),
        tmp_path / "run",
        execute=losing(kind, times),
        start=formula_worker,
        on_event=news.append,  # type: ignore[arg-type]
    )
    (row,) = [row for row in result.rows if row["trial_id"] == 0]
    assert row["status"] == status
    if status == "completed":
        assert row["attempts"] == attempts
    assert len([each for each in news if isinstance(each, Retried)]) == attempts - 1


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
