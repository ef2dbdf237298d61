"""Trials whose device fails: they run again elsewhere, processes are replaced, bad devices are left out."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import MakeConfig
from formula import formula_worker
from small_networks import SMALL
from small_trials import DIGITS, make_trial

from nas.cli import _exit_code
from nas.commands.exit_codes import EXIT_FAILED
from nas.commands.launch import continuable
from nas.events import Retried
from nas.search.search import search
from trials.devices.device_errors import CaptureFailedError, DeviceFault, DeviceLostError, device_fault
from trials.executors import local_slots, ray_actors
from trials.executors.failing_devices import FAULTS
from trials.executors.in_process import in_process
from trials.executors.ray_actors import connected
from trials.executors.ray_member import Member
from trials.executors.ray_pool import Pool, WorkersError
from trials.executors.ray_worker import RayWorker, Wear
from trials.executors.timing_places import TimingPlaces
from trials.run_trial import start_worker
from trials.trial import Event, Notice, RunTrial, Slot, StartWorker, Trial, TrialResult, WorkerInfo
from trials.worker_setup import WorkerSetup

GPU = torch.device("cuda:0")
ILLEGAL = "CUDA error: an illegal memory access was encountered"

# ---------------------------------------------------------------- in a worker


def run_failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> tuple[RunTrial, TrialResult]:
    """A worker whose device fails as a GPU would, and the result of its first trial."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("trials.run_trial.fit_training", fail)
    monkeypatch.setattr("trials.failures.device_fault", lambda error, device: device_fault(error, GPU))
    worker = start_worker(Slot(index=0), setup=WorkerSetup(data=DIGITS, reference=SMALL))
    result = list(worker(make_trial()))[-1]
    assert isinstance(result, TrialResult)
    return worker, result


@pytest.mark.usefixtures("as_a_worker")
def test_a_fault_of_the_device_loses_the_worker_and_is_no_bug_of_the_trial(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker, result = run_failing(monkeypatch, torch.AcceleratorError(ILLEGAL + "\nCompile with …"))
    assert (result.status, result.failure_kind, result.error) == ("crashed", "worker_lost", ILLEGAL)
    assert not result.capture_failed
    actor = RayWorker(lambda slot: worker, Slot(index=0))
    assert actor.worn_out() == Wear(ILLEGAL, device_failed=True)


@pytest.mark.usefixtures("as_a_worker")
def test_a_capture_that_failed_costs_the_process_but_is_not_counted_against_the_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker, result = run_failing(monkeypatch, CaptureFailedError("no CUDA graph of its work"))
    assert (result.status, result.failure_kind) == ("crashed", "worker_lost")
    assert result.capture_failed
    actor = RayWorker(lambda slot: worker, Slot(index=0))
    assert actor.worn_out() == Wear("no CUDA graph of its work", device_failed=False)


# ---------------------------------------------------------------- in a search


class _Failing:
    """The formula's worker, but for trial 1 while it uses CUDA graphs; afterwards its device is lost."""

    def __init__(self, fault: DeviceFault) -> None:
        self._fault = fault
        self._run = formula_worker(Slot(index=0))
        self.device_fault: DeviceFault | None = None

    def __call__(self, trial: Trial) -> Iterator[Event]:
        if trial.trial_id == 1 and trial.cuda_graphs:
            self.device_fault = self._fault
            yield TrialResult(
                trial=trial,
                status="crashed",
                failure_kind="worker_lost",
                error=self._fault.reason,
                capture_failed=self._fault.of_capture,
            )
            return
        for event in self._run(trial):
            if isinstance(event, TrialResult):
                yield replace(event, training_mode="graph" if trial.cuda_graphs else "eager")
            else:
                yield event  # type: ignore[misc]


def replacing(start: StartWorker, trials: Iterator[Trial | None]) -> Iterator[Event]:
    """An executor that replaces its worker after a fault, as the pool does."""
    worker = start(Slot(index=0))
    for trial in trials:
        assert trial is not None
        yield from worker(trial)  # type: ignore[misc]
        if getattr(worker, "device_fault", None):
            worker = start(Slot(index=0))


def test_a_network_that_cannot_be_captured_is_trained_without_graphs_and_its_row_says_so(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    events: list[object] = []
    fault = DeviceFault("no CUDA graph", of_capture=True)
    result = search(
        make_config(),
        tmp_path / "run",
        execute=replacing,  # type: ignore[arg-type]
        start=lambda slot: _Failing(fault),
        on_event=events.append,  # type: ignore[arg-type]
    )
    modes = {row["trial_id"]: row["training_mode"] for row in result.rows}
    assert modes == {trial_id: "eager" if trial_id == 1 else "graph" for trial_id in modes}
    assert [event.trial.cuda_graphs for event in events if isinstance(event, Retried)] == [True]


def test_a_search_in_one_process_ends_when_its_device_is_lost_and_says_how_it_goes_on(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    says = rf"{ILLEGAL}; a new process can\nthis continues:"
    with pytest.raises(DeviceLostError, match=says) as lost, continuable(run):
        search(
            make_config(),
            run,
            execute=in_process(device="cpu"),
            start=lambda slot: _Failing(DeviceFault(ILLEGAL)),
        )
    assert _exit_code(lost.value) == EXIT_FAILED
    result = search(make_config(), run, execute=in_process(device="cpu"), start=formula_worker)
    assert len(result.rows) == 12
    assert {row["status"] for row in result.rows} <= {"completed", "cached"}


# ---------------------------------------------------------------- in a pool


class _Pool(Pool):
    """A pool whose actors are nothing, and which notes the slots that it starts them on."""

    def __init__(self, *slots: Slot) -> None:
        self.started: list[int] = []
        super().__init__(formula_worker, list(slots))

    def _started(self, slot: Slot, failed_starts: int = 0) -> Member:
        self.started.append(slot.index)
        return Member(slot=slot, actor=None, ready="ready", failed_starts=failed_starts)


def info_of(device: str) -> WorkerInfo:
    return WorkerInfo(device_name="H200", host="node", pid=1, node_id="n", device_id=device, versions={})


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Results that Ray gives for references, in turn."""
    import ray

    given: list[object] = []

    def get(_: object) -> object:
        answer = given.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(ray, "get", get)
    monkeypatch.setattr(ray, "kill", lambda actor: None)
    return given


def trial_ends(pool: _Pool, index: int, places: TimingPlaces) -> list[str]:
    return [e.text for e in pool._after_check(pool._members[index], places) if isinstance(e, Notice)]


def joins(pool: _Pool, index: int, places: TimingPlaces) -> list[str]:
    events = pool._started_later(pool._members[index], places)
    return [event.text for event in events if isinstance(event, Notice)]


def fails(pool: _Pool, index: int, trial: int, answers: list[object], places: TimingPlaces) -> list[str]:
    """The notices when a device fails a trial and its worker has been replaced."""
    info = pool._members[index].info
    pool._members[index].last_trial = trial
    answers += [Wear(ILLEGAL, device_failed=True), info]
    assert trial_ends(pool, index, places) == [f"worker {index} is replaced: {ILLEGAL}"]
    return joins(pool, index, places)


def test_a_device_that_fails_trial_after_trial_is_left_out_and_named(answers: list[object]) -> None:
    pool, places = _Pool(Slot(index=0), Slot(index=1)), TimingPlaces([], None)
    answers += [info_of("GPU-a"), info_of("GPU-b")]
    assert joins(pool, 0, places) == joins(pool, 1, places) == []
    for trial in (5, 5, 5, 6):  # the attempts at a trial count once: it may be its fault
        assert fails(pool, 1, trial, answers, places) == []
    answers += [None]  # a trial ends well: those before it count no more
    assert trial_ends(pool, 1, places) == []
    for trial in range(10, 10 + FAULTS - 1):
        assert fails(pool, 1, trial, answers, places) == []
    (said,) = fails(pool, 1, 20, answers, places)
    assert said.startswith("worker 1 on node is not used: its device, H200 GPU-b, has failed 3 trials")
    assert not pool._members[1].is_free
    assert pool._members[0].is_free
    # The other device goes the same way: there is nobody left to wait for.
    for trial in range(30, 30 + FAULTS - 1):
        assert fails(pool, 0, trial, answers, places) == []
    with pytest.raises(WorkersError, match=r"no worker is left; .* H200 GPU-a, has failed"):
        fails(pool, 0, 40, answers, places)


def test_one_dead_gpu_among_several_is_given_up_and_the_others_search(
    answers: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray
    from ray.exceptions import RayTaskError

    dead = RayTaskError("ready", "traceback", RuntimeError("CUDA error: uncorrectable ECC error encountered"))
    monkeypatch.setattr(ray, "wait", lambda refs, **_: (refs, []))
    pool, places = _Pool(Slot(index=0), Slot(index=1)), TimingPlaces([], None)
    answers += [info_of("GPU-a"), dead]
    assert len(list(pool._first_workers(places))) == 1
    answers += [dead, dead]
    assert joins(pool, 1, places) == []
    (said,) = joins(pool, 1, places)
    assert said.startswith("worker 1 is given up: it did not start: CUDA error: uncorrectable ECC error")
    assert pool.started == [0, 1, 1, 1]
    assert list(pool._members) == [0]


@pytest.mark.parametrize(("per_device", "workers", "expected"), [(1, None, 2), (2, None, 2), (2, 1, 1)])
def test_a_local_ray_is_told_of_devices_and_not_of_workers(
    per_device: int, workers: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, int] = {}
    local = SimpleNamespace(begin=list, end=lambda: None)

    def make(**numbers: int) -> object:
        told.update(numbers)
        return local

    gpus = [Slot(index=i, device=f"cuda:{i}") for i in range(2)]
    for module in (ray_actors, local_slots):
        monkeypatch.setattr(module, "available_slots", lambda: gpus)
    monkeypatch.setattr(ray_actors, "LocalRay", make)
    with connected(None, workers, per_device) as here:
        assert {slot.device for slot in here.slots} == {"cuda:0"}  # Ray hides the others from an actor
    assert told == {"workers": len(here.slots), "gpus": expected}
