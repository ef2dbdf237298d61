"""The times that a trial measures: before it trains, and again after it where they were uncertain."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

from trials.devices.device_errors import DeviceFault, device_fault, is_out_of_memory
from trials.devices.device_lock import DeviceLock, Role
from trials.measurement import InferenceTime, StepTime
from trials.timing.step_time import TimedStep, is_uncertain, surer
from trials.timing.trial_timing import TrialTiming
from trials.training.step import TrainingStep
from trials.trial import Phase, Trial


class MeasuredTimes:
    """Step time and inference time of one trial; what is known of them already is not measured.

    Methods yield the phase that the trial is in, "waiting" for the device or "timing".

    Attributes:
        step_time, inference_time: None until they are known.
        seconds: that measuring took.
        fault: of the device while it measured again, after which this process must run no more trials.
    """

    def __init__(self, trial: Trial, lock: DeviceLock) -> None:
        self.step_time: StepTime | None = trial.step_time
        self.inference_time: InferenceTime | None = trial.inference_time
        self.seconds = 0.0
        self.fault: DeviceFault | None = None
        self._trial, self._lock = trial, lock

    def measure(self, step: TrainingStep, timing: TrialTiming, *, steps: int) -> Iterator[Phase]:
        """Times the network that is to be trained for so many steps, with exclusive use of the device."""
        trial = self._trial
        if not trial.needs_timing:
            return
        # Step 1: record both, while others may still train on the device.
        with self._counted():
            timed_step = timing.prepared_step(step) if trial.step_time is None else None
            forward = timing.prepared_forward(step) if trial.measures_inference_time else None
        # Step 2: time them, with the device to themselves.
        yield from self._queue("timing")
        with self._counted():
            if timed_step is not None:
                self.step_time = self._timed(timed_step, timing, steps)
            if forward is not None:
                self.inference_time = timing.inference_time(forward)
                forward.close()

    def measure_again(
        self, step: TrainingStep, timing: Callable[[], TrialTiming], *, steps: int
    ) -> Iterator[Phase]:
        """Times an uncertain step once more, when it may be quieter; the surer time stays.

        The trial has trained, and that is not lost: where the device fails now, or its memory does not
        suffice, the first time stays.
        """
        first = self.step_time
        if self._trial.step_time is not None or first is None or not is_uncertain(first):
            return
        try:
            # Step 1: record it, while others may train but nobody times.
            yield from self._queue("training")
            with self._counted():
                timed_step = timing().prepared_step(step)
            # Step 2: time it, with the device to itself.
            yield from self._queue("timing")
            with self._counted():
                self.step_time = surer(first, self._timed(timed_step, timing(), steps))
        except Exception as error:
            self.fault = device_fault(error, step.device)
            if self.fault is None and not is_out_of_memory(error):
                raise
        finally:
            self._lock.release()

    def ratio(self, name: str) -> float:
        """A measured time's ratio or seconds, by the name of a limit on it."""
        for measured in (self.step_time, self.inference_time):
            if (value := getattr(measured, name, None)) is not None:
                return float(value)
        raise AssertionError(f"a limit on {name} needs its measurement")

    def _queue(self, role: Role) -> Iterator[Phase]:
        for _ in self._lock.queue(role):
            yield "waiting"
        yield "timing"

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Counts what the block takes, however it ends."""
        before = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - before

    def _timed(self, step: TimedStep, timing: TrialTiming, steps: int) -> StepTime:
        with closing(step):
            measured = timing.step_time(step, steps=steps)
        return replace(measured, is_exclusive=self._lock.is_exclusive)
