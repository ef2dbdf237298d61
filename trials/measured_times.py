"""The times that a trial measures: before it trains, and again after it where they were uncertain."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from trials.devices.device_errors import is_out_of_memory
from trials.devices.device_lock import DeviceLock
from trials.timing.step_time import TimedStep, is_uncertain, surer
from trials.timing.trial_timing import TrialTiming
from trials.training.step import TrainingStep
from trials.trial import InferenceTime, Phase, StepTime, Trial


class MeasuredTimes:
    """Step time and inference time of one trial; what is known of them already is not measured.

    Methods yield the phase that the trial is in, "waiting" for the device or "timing".

    Attributes:
        step_time, inference_time: None until they are known.
        seconds: that measuring took.
    """

    def __init__(self, trial: Trial, lock: DeviceLock) -> None:
        self.step_time: StepTime | None = trial.step_time
        self.inference_time: InferenceTime | None = trial.inference_time
        self.seconds = 0.0
        self._trial, self._lock = trial, lock

    def measure(self, step: TrainingStep, timing: TrialTiming, *, steps: int) -> Iterator[Phase]:
        """Times the network that is to be trained for so many steps, with exclusive use of the device."""
        trial = self._trial
        if not trial.needs_timing:
            return
        # Step 1: record both, while others may still train on the device.
        before = time.perf_counter()
        timed_step = timing.prepared_step(step) if trial.step_time is None else None
        forward = timing.prepared_forward(step) if trial.measures_inference_time else None
        self.seconds += time.perf_counter() - before
        # Step 2: time them, with the device to themselves.
        yield from self._queue()
        before = time.perf_counter()
        if timed_step is not None:
            self.step_time = self._timed(timed_step, timing, steps)
        if forward is not None:
            self.inference_time = timing.inference_time(forward)
            forward.close()
        self.seconds += time.perf_counter() - before

    def measure_again(
        self, step: TrainingStep, timing: Callable[[], TrialTiming], *, steps: int
    ) -> Iterator[Phase]:
        """Times an uncertain step once more, when it may be quieter; the surer time stays.

        The trial has trained: where memory does not suffice to time it now, the first time stays.
        """
        first = self.step_time
        if self._trial.step_time is not None or first is None or not is_uncertain(first):
            return
        try:
            timed_step = timing().prepared_step(step)
            yield from self._queue()
            self.step_time = surer(first, self._timed(timed_step, timing(), steps))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        finally:
            self._lock.release()
        if self.step_time is not None:
            self.seconds += self.step_time.timing_seconds - first.timing_seconds

    def ratio(self, name: str) -> float:
        """A measured time's ratio or seconds, by the name of a limit on it."""
        for measured in (self.step_time, self.inference_time):
            if (value := getattr(measured, name, None)) is not None:
                return float(value)
        raise AssertionError(f"a limit on {name} needs its measurement")

    def _queue(self) -> Iterator[Phase]:
        for _ in self._lock.queue("timing"):
            yield "waiting"
        yield "timing"

    def _timed(self, step: TimedStep, timing: TrialTiming, steps: int) -> StepTime:
        measured = timing.step_time(step, steps=steps)
        step.close()
        return replace(measured, is_exclusive=self._lock.is_exclusive)
