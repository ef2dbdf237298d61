"""Step time: in which mode both networks are timed, when they are recorded, and when they are timed again."""

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from clocks import Clock, number_of_weights
from recordings import record_by, refused, repeated
from small_networks import SMALL, WIDE
from small_trials import CPU, DIGITS, RECIPE, make_trial, new_step
from torch.nn.modules.module import register_module_forward_hook

from search_spaces.networks.network import Network
from trials.devices.device_errors import CaptureFailedError
from trials.log.rows import step_time_from_row, trial_row
from trials.measurement import StepTime
from trials.run_trial import _Worker, start_worker
from trials.timing import trial_timing
from trials.timing.gpu_clocks import Clocks
from trials.timing.step_time import TimedStep, measure_step_time
from trials.training.cuda_graphs import GraphedCalls, Recorded
from trials.training.step import build_step
from trials.training.synthetic_batch import SyntheticBatch
from trials.trial import Slot, TrialResult
from trials.worker_setup import WorkerSetup

pytestmark = pytest.mark.usefixtures("as_a_worker")

BATCH = SyntheticBatch.random(batch_size=8, resolution=16, num_classes=10, device=CPU)


def timed_with(candidate: object, reference: object) -> StepTime:
    """A step time by these recorders, with the clock of a device on which eager steps take longer."""
    clock, steps = Clock(), (new_step(architecture=WIDE), new_step())
    for step, record in zip(steps, (candidate, reference), strict=True):
        step._record = record  # type: ignore[assignment]
    original = GraphedCalls.__call__

    def call(calls: GraphedCalls, *inputs: torch.Tensor) -> None:
        original(calls, *inputs)
        clock.sleep(-0.009)  # a graph's launch is much shorter

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GraphedCalls, "__call__", call)
        for step in steps:
            step.network.register_forward_hook(lambda *_: clock.sleep(0.01))
        return measure_step_time(*steps, BATCH, clock=clock, max_seconds=0.1)


def test_networks_that_can_be_recorded_are_timed_as_graphs() -> None:
    timed = timed_with(repeated, repeated)
    assert (timed.mode, timed.flag) == ("graph", None)
    assert timed.step_time_ratio == pytest.approx(1.0)
    assert timed.step_seconds == pytest.approx(0.001)


def never(work: Callable[[], None]) -> Recorded:
    raise AssertionError("recorded, though the other one cannot be a graph")


@pytest.mark.parametrize(("candidate", "reference"), [(None, never), (never, None)])
def test_both_networks_are_timed_without_graphs_where_one_is_none(
    candidate: object, reference: object
) -> None:
    timed = timed_with(candidate, reference)
    assert timed.mode == "eager"
    assert timed.step_time_ratio == pytest.approx(1.0)  # of graph and eager it would be 10, or a tenth
    assert timed.flag == "timed without CUDA graphs"


def test_a_step_that_cannot_be_captured_is_not_timed_in_this_process() -> None:
    with pytest.raises(CaptureFailedError, match="no CUDA graph"):
        timed_with(refused, repeated)


def test_a_step_is_recorded_once_however_often_it_is_timed() -> None:
    recordings = 0

    def record(work: Callable[[], None]) -> Recorded:
        nonlocal recordings
        recordings += 1
        return repeated(work)

    step = new_step()
    step._record = record
    before = step.state()
    timed = TimedStep(step, BATCH).prepare()
    for _ in range(2):
        measure_step_time(timed, timed, BATCH, max_seconds=0.0)
    assert recordings == 1
    assert all(torch.equal(before[name], value) for name, value in step.state().items())


def test_a_timed_step_and_its_graph_are_freed_when_nobody_holds_them() -> None:
    step = new_step()
    step._record = lambda work: lambda: None
    timed = TimedStep(step, BATCH).prepare()
    graph = weakref.ref(timed.work._calls)
    gc.disable()
    try:
        del timed
        assert graph() is None
    finally:
        gc.enable()


# ---------------------------------------------------------------- in trials


class Recorder:
    """Says of each recording whose it was and in which role the device was held."""

    def __init__(self, worker: _Worker) -> None:
        self.worker = worker
        self.recorded: list[tuple[str, str | None]] = []

    def __call__(self, work: Callable[[], None]) -> Recorded:
        weights: set[int] = set()

        def count(module: torch.nn.Module, *_: object) -> None:
            if isinstance(module, Network):
                weights.add(number_of_weights(module))

        hook = register_module_forward_hook(count)
        try:
            return repeated(work)
        finally:
            hook.remove()
            whose = "candidate" if weights == {WIDE_WEIGHTS} else "reference"
            self.recorded.append((whose, self.worker.lock.role))


WIDE_WEIGHTS = number_of_weights(new_step(architecture=WIDE).network)


@pytest.fixture
def worker(tmp_path: Path) -> _Worker:
    setup = WorkerSetup(data=DIGITS, reference=SMALL, locks=tmp_path / "locks")
    started = start_worker(Slot(index=0), setup=setup)
    assert isinstance(started, _Worker)
    return started


def timed_only(worker: _Worker, **changes: Any) -> TrialResult:
    """The result of a trial that ends after its timing, by a limit that no network keeps."""
    limits = {"step_time_ratio": 1e-9}
    result = list(worker(replace(make_trial(architecture=WIDE), limits=limits, **changes)))[-1]
    assert isinstance(result, TrialResult)
    return result


@pytest.mark.parametrize("inference", [False, True])
def test_reference_is_recorded_once_in_a_workers_life_and_nothing_while_it_times(
    worker: _Worker, inference: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(worker)
    record_by(monkeypatch, recorder)
    for _ in range(2):
        result = timed_only(worker, needs_inference_time=inference)
        assert result.step_time is not None
        assert result.step_time.mode == "graph"
    assert [role for _, role in recorder.recorded] == ["training"] * len(recorder.recorded)
    whose = [whose for whose, _ in recorder.recorded]
    each = 1 + inference  # the step and the forward pass
    assert (whose.count("reference"), whose.count("candidate")) == (each, 2 * each)
    assert whose[0] == "reference"  # before the trial's step is fitted into the memory that is left


def test_a_trial_without_graphs_is_timed_beside_a_reference_without_and_its_row_says_so(
    worker: _Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_by(monkeypatch, refused)
    failed = timed_only(worker)
    assert (failed.failure_kind, failed.capture_failed) == ("worker_lost", True)
    result = timed_only(worker, cuda_graphs=False, needs_inference_time=True)
    assert (result.status, result.failure_kind) == ("infeasible", "over_limit")
    row = trial_row({}, result, reward=0.5, environment_id="e")
    assert row["timing_mode"] == "eager"
    flag = str(row["timing_flag"])
    assert flag.count("timed without CUDA graphs") == 2  # the step and the forward pass
    again = step_time_from_row(row)
    assert again is not None
    assert again.mode == "eager"


def test_a_row_of_a_cpu_says_eager_and_is_not_flagged_for_it(worker: _Worker) -> None:
    result = timed_only(worker)
    row = trial_row({}, result, reward=0.5, environment_id="e")
    assert row["timing_mode"] == "eager"
    assert "graph" not in (row["timing_flag"] or "")


# ---------------------------------------------------------------- the device's clock


@pytest.mark.parametrize(
    ("clocks", "attempts", "flag"),
    [
        ([[1980, 1980]], 1, None),
        ([[1980, 1900], [1980, 1980]], 2, None),
        ([[1980, 1900], [1900, 1800], [1980, 1980]], 2, "clock between 1800 and 1900 MHz"),
    ],
)
def test_timing_at_an_unsteady_clock_is_repeated_once_and_then_flagged(
    worker: _Worker,
    clocks: list[list[float]],
    attempts: int,
    flag: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[Clocks] = []

    @contextmanager
    def watched(_: object) -> Iterator[Clocks]:
        begun.append(Clocks(mhz=clocks[len(begun)]))
        yield begun[-1]

    monkeypatch.setattr(trial_timing, "watched_clocks", watched)
    result = timed_only(worker)
    assert result.step_time is not None
    assert len(begun) == attempts
    assert result.step_time.clock_mhz == begun[-1].median_mhz
    assert flag is None or flag in (result.step_time.flag or "")
    assert flag is not None or "clock" not in (result.step_time.flag or "")


# ---------------------------------------------------------------- on CUDA


def cuda_timed(architecture: object, batch: SyntheticBatch) -> TimedStep:
    device = torch.device("cuda:0")
    step = build_step(architecture, RECIPE, num_classes=10, device=device, precision="fp32")  # type: ignore[arg-type]
    return TimedStep(step, batch)


@pytest.mark.gpu
def test_step_time_on_cuda_is_that_of_graphs_and_repeats() -> None:
    batch = SyntheticBatch.random(batch_size=64, resolution=32, num_classes=10, device=torch.device("cuda:0"))
    candidate, reference = cuda_timed(WIDE, batch).prepare(), cuda_timed(SMALL, batch).prepare()
    first, second = (measure_step_time(candidate, reference, batch, max_seconds=1.0) for _ in range(2))
    assert {first.mode, second.mode} == {"graph"}
    assert first.step_time_ratio == pytest.approx(second.step_time_ratio, rel=0.02)
