"""Trials on Ray actors: rows as of one process; workers that die, stop, wear out, cannot start or differ."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from conftest import MakeConfig, Nas
from executor_trials import FAST, SLOW, Faulty, faulty, portable, timing_part, tiny_trials
from formula import formula_worker

from nas.search.search import search
from trials.executors.in_process import in_process
from trials.executors.ray_actors import ray_actors
from trials.executors.ray_pool import WorkersError
from trials.executors.timing_places import WrongDeviceError
from trials.trial import (
    Event,
    Execute,
    Notice,
    RunTrial,
    Slot,
    TimingPart,
    Trial,
    TrialResult,
    WorkerJoined,
)

pytestmark = pytest.mark.usefixtures("one_ray")


@pytest.fixture(scope="module", autouse=True)
def _carried(one_ray: None) -> None:
    """Lets Ray's workers load the trials of these tests, whose modules they do not have."""
    portable(formula_worker)
    portable(Faulty)


def test_executors_give_the_same_rows_of_a_search(make_config: MakeConfig, tmp_path: Path) -> None:
    rows = {}
    executors: dict[str, Execute] = {
        "in_process": in_process(device="cpu"),
        "ray_actors": ray_actors(workers=1),
    }
    for name, execute in executors.items():
        result = search(make_config(), tmp_path / name, execute=execute, start=portable(formula_worker))
        rows[name] = [
            {key: value for key, value in row.items() if key not in ("asked_at", "environment_id")}
            for row in sorted(result.rows, key=lambda row: row["trial_id"])
        ]
    assert rows["in_process"] == rows["ray_actors"]
    assert len(rows["in_process"]) == 12


def dying_worker(slot: Slot) -> RunTrial:
    inner = formula_worker(slot)

    def run_trial(trial: Trial) -> Iterator[Event]:
        if trial.trial_id == 3 and trial.attempt == 1:
            os._exit(9)
        yield from inner(trial)

    return run_trial


def test_a_worker_that_dies_is_replaced_and_every_trial_counts_once(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    result = search(
        make_config(), tmp_path / "run", execute=ray_actors(workers=2), start=portable(dying_worker)
    )
    rows = {row["trial_id"]: row for row in result.rows}
    assert (rows[3]["status"], rows[3]["attempts"]) == ("completed", 2)
    assert sorted(row["trial_id"] for row in result.rows) == list(range(12))
    assert max(row["tell_seq"] for row in result.rows) == 23


def raising_worker(slot: Slot) -> RunTrial:
    def run_trial(trial: Trial) -> Iterator[Event]:
        raise KeyError("no such thing")
        yield

    return run_trial


def test_exception_in_a_worker_is_recorded_as_a_bug_with_its_words(make_config: MakeConfig) -> None:
    trial = Trial(
        trial_id=0,
        choices=(),
        architecture=make_config().space.reference,
        recipe=make_config().recipe,
        epochs=1,
        seed=0,
    )
    _, event = ray_actors(workers=1)(portable(raising_worker), [trial])
    assert isinstance(event, TrialResult)
    assert (event.status, event.failure_kind) == ("crashed", "bug")
    assert "no such thing" in (event.error or "")


def broken_worker(slot: Slot) -> RunTrial:
    raise OSError("the images are gone")


def test_a_worker_that_cannot_start_ends_the_search_and_leaves_nothing(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    with pytest.raises(WorkersError, match="the images are gone"):
        search(make_config(), tmp_path / "run", execute=ray_actors(workers=1), start=portable(broken_worker))


def test_cluster_with_fewer_slots_than_workers_begins_with_those_there_are() -> None:
    first, *joined = ray_actors(workers=3)(portable(formula_worker), [])
    assert isinstance(first, Notice)
    assert "2 of 3 workers can start now" in first.text
    assert [type(event) for event in joined] == [WorkerJoined] * 2


# ---------------------------------------------------------------- faults of workers


def run(fault: str, folder: Path, number: int = 6, **options: float) -> list[Event]:
    """All events; a trial whose worker is lost is given again, as the search does."""
    again: list[Trial] = []
    open_trials = number

    def given() -> Iterator[Trial | None]:
        yield from tiny_trials(number)
        while open_trials:
            yield again.pop() if again else None

    events = []
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
    """True if a process is there, and more than an entry that nobody has read yet."""
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
    # Either of two workers is replaced after its third trial, so that at the latest the seventh is a third's.
    events = run("leaks", tmp_path, number=7)
    assert [result.status for result in results(events)] == ["completed"] * 7
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


# ---------------------------------------------------------------- devices of two models


class _OfModel:
    """A worker on a device of some model: the formula's trials, or their timing part.

    Formula trials take no time, so the slow worker alone could train all: it waits until the fast one has
    trained a whole trial, which `whole` marks.
    """

    def __init__(self, whole: Path, slot: Slot) -> None:
        self.device_name = FAST if slot.index == 0 else SLOW
        self._whole = whole
        self._run: RunTrial = formula_worker(slot)

    def __call__(self, trial: Trial) -> Iterator[Event | TimingPart]:
        if trial.is_timing_part:
            assert self.device_name == FAST
            yield timing_part(trial)
            return
        assert trial.step_time is not None or self.device_name == FAST
        if self.device_name == FAST:
            self._whole.touch()
        deadline = time.monotonic() + 600  # never: the fast one trains
        while not self._whole.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        yield from self._run(trial)


def test_workers_of_two_models_share_a_search(tmp_path: Path) -> None:
    portable(formula_worker)
    asked = tiny_trials(8)
    start = partial(portable(_OfModel), tmp_path / "whole")
    events = list(ray_actors(workers=2, timing_device=FAST)(start, asked))
    results = [event for event in events if isinstance(event, TrialResult)]
    assert sorted(result.trial_id for result in results) == list(range(8))
    assert not any(isinstance(event, TimingPart) for event in events)
    elsewhere = [result for result in results if result.trial.timed is not None]
    assert 0 < len(elsewhere) < 8


def test_workers_of_two_models_are_refused_before_anything_is_asked(tmp_path: Path) -> None:
    portable(formula_worker)
    start = partial(portable(_OfModel), tmp_path / "whole")
    drawn: list[int] = []

    def asked() -> Iterator[Trial]:
        for trial in tiny_trials(2):
            drawn.append(trial.trial_id)
            yield trial

    with pytest.raises(WrongDeviceError, match="several models"):
        list(ray_actors(workers=2)(start, asked()))
    assert not drawn


def test_search_whose_timing_device_is_not_there_is_refused(
    digits_search_file: Path, nas: Nas, tmp_path: Path
) -> None:
    code, _, said = nas("search", digits_search_file, "--run", "run", "--set", "timing.device=Cray-1")
    assert code == 2
    assert "step time counts on 'Cray-1', and no worker's device is one (there are" in said
    assert not (tmp_path / "run").exists()
