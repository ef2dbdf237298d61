"""A step time that is uncertain before training is measured once more after it, and the surer one stays."""

from collections.abc import Callable
from dataclasses import replace
from itertools import groupby

import pytest
import torch
from small_networks import SMALL
from small_trials import DIGITS, make_trial, run_digits_trial

from trials.devices.device_errors import CaptureFailedError
from trials.measurement import StepTime
from trials.run_trial import start_worker
from trials.timing.step_time import TimedStep, is_uncertain, surer
from trials.timing.trial_timing import TrialTiming
from trials.training.step import TrainingStep
from trials.trial import Progress, Slot, TimingPart, Trial, TrialResult
from trials.worker_setup import WorkerSetup

pytestmark = pytest.mark.usefixtures("as_a_worker")

Given = Callable[..., list[int]]
UNSURE, SURE = 0.03, 0.004


def timed(ratio: float, error: float) -> StepTime:
    return StepTime(
        step_seconds=0.02 * ratio, step_seconds_p10=0.019, step_seconds_p90=0.03, step_time_ratio=ratio,
        step_time_ratio_spread=0.1, reference_step_seconds=0.02, timing_seconds=1.0, device="cpu",
        resolution=16, batch_size=64, precision="fp32", step_time_ratio_error=error, mode="eager",
        flag="uncertain by 6 %" if error == UNSURE else None,
    )  # fmt: skip


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    """Gives the step times that are measured, in turn; returns the list of who asked so far."""

    def give(*times: StepTime | Exception) -> list[int]:
        left, asked = iter(times), []

        def step_time(timing: TrialTiming, step: TimedStep, *, steps: int) -> StepTime:
            asked.append(steps)
            found = next(left)
            if isinstance(found, Exception):
                raise found
            return found

        monkeypatch.setattr(TrialTiming, "step_time", step_time)
        monkeypatch.setattr("trials.measured_times.is_uncertain", is_uncertain)
        return asked

    return give


def of(result: TrialResult) -> StepTime:
    assert result.measurement is not None
    return result.measurement.step_time


def all_events(trial: Trial) -> list[object]:
    return list(start_worker(Slot(index=0), setup=WorkerSetup(data=DIGITS, reference=SMALL))(trial))


def phases(events: list[object]) -> list[str]:
    """The phases of timing and training, each as often as it began."""
    found = [event.phase for event in events if isinstance(event, Progress)]
    return [phase for phase, _ in groupby(found) if phase in ("timing", "training")]


def test_an_uncertain_time_is_measured_again_after_training(given: Given) -> None:
    asked = given(timed(1.5, UNSURE), timed(1.2, SURE))
    events = all_events(make_trial())
    result = events[-1]
    assert isinstance(result, TrialResult)
    assert (of(result).step_time_ratio, of(result).flag) == (1.2, None)
    assert result.step_time == of(result)
    assert of(result).timing_seconds == 2.0
    assert asked[0] == asked[1] > 0
    found = phases(events)
    assert (found[0], found[-1], found.count("timing")) == ("timing", "timing", 2)


def test_the_surer_time_stays() -> None:
    first, second = timed(1.5, UNSURE), timed(1.2, 2 * UNSURE)
    assert surer(first, second) == replace(first, timing_seconds=2.0)
    assert surer(second, first) == replace(first, timing_seconds=2.0)


def test_a_certain_time_is_measured_once(given: Given) -> None:
    asked = given(timed(1.5, SURE))
    _, result = run_digits_trial(make_trial())
    assert (of(result).step_time_ratio, len(asked)) == (1.5, 1)


def test_a_known_time_is_not_measured_again_however_uncertain(given: Given) -> None:
    asked = given()
    _, result = run_digits_trial(replace(make_trial(), step_time=timed(1.5, UNSURE)))
    assert (of(result).step_time_ratio, asked) == (1.5, [])


def test_training_is_the_same_whether_it_is_timed_again_or_not(given: Given) -> None:
    given(timed(1.5, UNSURE), timed(1.2, SURE))
    _, again = run_digits_trial(make_trial())
    given(timed(1.5, SURE))
    _, once = run_digits_trial(make_trial())
    assert [end.train_loss for end in again.epochs] == [end.train_loss for end in once.epochs]
    assert again.measurement is not None and once.measurement is not None  # noqa: PT018
    assert again.measurement.accuracy == once.measurement.accuracy


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("no memory left"), CaptureFailedError("cannot be captured")]
)
def test_a_result_is_not_lost_to_timing_it_again(given: Given, error: Exception) -> None:
    given(timed(1.5, UNSURE), error)
    worker = start_worker(Slot(index=0), setup=WorkerSetup(data=DIGITS, reference=SMALL))
    *_, result = worker(make_trial())
    assert isinstance(result, TrialResult)
    assert result.status == "completed"
    assert (of(result).step_time_ratio, of(result).flag) == (1.5, "uncertain by 6 %")
    # After a fault of the device its process takes no more trials.
    assert (worker.device_fault is not None) == isinstance(error, CaptureFailedError)  # type: ignore[attr-defined]


def test_a_bug_while_timing_again_is_one(given: Given) -> None:
    given(timed(1.5, UNSURE), KeyError("surprise"))
    _, result = run_digits_trial(make_trial())
    assert (result.status, result.failure_kind) == ("crashed", "bug")


def test_the_step_is_recorded_again_while_nobody_times(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    given(timed(1.5, UNSURE), timed(1.2, SURE))
    roles: list[str | None] = []
    worker = start_worker(Slot(index=0), setup=WorkerSetup(data=DIGITS, reference=SMALL))
    prepared = TrialTiming.prepared_step

    def watched(timing: TrialTiming, step: TrainingStep) -> TimedStep:
        roles.append(worker.lock.role)  # type: ignore[attr-defined]
        return prepared(timing, step)

    monkeypatch.setattr(TrialTiming, "prepared_step", watched)
    assert list(worker(make_trial()))
    assert roles == ["training", "training"]
    assert worker.lock.role is None  # type: ignore[attr-defined]


def test_a_surer_time_above_the_limit_makes_a_trial_infeasible(given: Given) -> None:
    given(timed(1.0, UNSURE), timed(1.3, SURE))
    _, result = run_digits_trial(replace(make_trial(), limits={"step_time_ratio": 1.2}))
    assert (result.status, result.failure_kind) == ("infeasible", "over_limit")
    assert "step_time_ratio is 1.3; the limit is 1.2" in (result.error or "")


def test_a_timing_part_leaves_measuring_again_to_nobody(given: Given) -> None:
    asked = given(timed(1.5, UNSURE))
    *_, part = all_events(replace(make_trial(), is_timing_part=True))
    assert isinstance(part, TimingPart)
    assert (part.step_time.step_time_ratio, len(asked)) == (1.5, 1)
