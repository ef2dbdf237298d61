"""Step time and inference time as a trial measures them: relative to the reference, at a limited cost."""

from dataclasses import dataclass, replace

import torch

from trials.measurement import InferenceTime, StepTime
from trials.recipe import Recipe
from trials.timing.gpu_clocks import watched_clocks
from trials.timing.inference_time import TimedForward, measure_inference_time
from trials.timing.reference_steps import ReferenceSteps
from trials.timing.step_time import TimedStep, measure_step_time
from trials.timing.timed_work import alike, flags
from trials.training.step import TrainingStep

# Measuring step time takes at most TIMING_SECONDS, or TIMING_SHARE of the trial if that is more, but at least
# TIMING_ROUNDS rounds.
TIMING_SECONDS = 1.0
TIMING_SHARE = 0.05
TIMING_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class TrialTiming:
    """The conditions under which one trial is timed."""

    recipe: Recipe
    precision: str
    resolution: int  # pixels
    batch_size: int
    inference_batch_size: int
    num_classes: int
    device: torch.device
    device_name: str
    reference_steps: ReferenceSteps

    def reference(self) -> TimedStep:
        """The reference network's step, which is built only once in a worker's life."""
        return self.reference_steps.step(
            self.recipe,
            precision=self.precision,
            num_classes=self.num_classes,
            resolution=self.resolution,
            batch_size=self.batch_size,
        )

    def prepare_reference(self, *, graphs: bool, step: bool, inference: bool) -> None:
        """Builds the reference and, if the trial's steps are to be graphs, records what is timed; once.

        `step`, `inference`: its training step, its forward pass.
        """
        reference = self.reference()
        if graphs and step:
            reference.prepare()
        if inference:
            forward = self._reference_forward()
            if graphs:
                forward.prepare()

    def prepared_step(self, step: TrainingStep) -> TimedStep:
        """The trial's step, recorded where both are: for that nobody needs the device to himself."""
        own, reference = TimedStep(step, self.reference().batch, precision=self.precision), self.reference()
        alike(own.work, reference.work)
        return own

    def step_time(self, step: TimedStep, *, steps: int) -> StepTime:
        """Times a prepared step relative to the reference's; the trial will train `steps` steps.

        Where the device's clock was not steady meanwhile, it is timed once more.
        """
        timed = self._timed(step, steps)
        if timed.clock_flag is not None:
            again = self._timed(step, steps)
            spent = timed.time.timing_seconds + again.time.timing_seconds
            timed = replace(again, time=replace(again.time, timing_seconds=spent))
        return replace(timed.time, flag=flags(timed.time.flag, timed.clock_flag))

    def _timed(self, step: TimedStep, steps: int) -> "_Timed":
        with watched_clocks(self.device) as clocks:
            measured = measure_step_time(
                step,
                self.reference(),
                step.batch,
                max_seconds=TIMING_SECONDS,
                max_calls=TIMING_SHARE * steps,
                fewest_rounds=TIMING_ROUNDS,
                on_round=clocks.sample,
            )
        return _Timed(
            replace(measured, device=self.device_name, clock_mhz=clocks.median_mhz), clock_flag=clocks.flag
        )

    def prepared_forward(self, step: TrainingStep) -> TimedForward:
        """The trial's forward pass on `inference_batch_size` images, recorded where both are."""
        reference = self._reference_forward()
        own = TimedForward(
            step.network,
            batch_size=self.inference_batch_size,
            resolution=self.resolution,
            device=self.device,
            precision=self.precision,
            graphs=step.mode == "graph",
        )
        with own.evaluating(), reference.evaluating():
            alike(own.work, reference.work)
        return own

    def inference_time(self, forward: TimedForward) -> InferenceTime:
        """Times a prepared forward pass relative to the reference's."""
        return measure_inference_time(
            forward,
            self._reference_forward(),
            batch_size=self.inference_batch_size,
            resolution=self.resolution,
            device=self.device,
            precision=self.precision,
        )

    def _reference_forward(self) -> TimedForward:
        return self.reference_steps.forward(self.reference(), batch_size=self.inference_batch_size)


@dataclass(frozen=True)
class _Timed:
    """A step time, and why the device's clock makes it uncertain."""

    time: StepTime
    clock_flag: str | None
