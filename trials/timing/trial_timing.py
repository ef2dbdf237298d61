"""Step time and inference time as a trial measures them: relative to the reference, at a limited cost."""

from dataclasses import dataclass, replace

import torch

from trials.recipe import Recipe
from trials.timing.gpu_clocks import watched_clocks
from trials.timing.inference_time import measure_inference_time
from trials.timing.reference_steps import ReferenceSteps
from trials.timing.step_time import measure_step_time
from trials.training.step import TrainingStep
from trials.training.synthetic_batch import SyntheticBatch
from trials.trial import InferenceTime, StepTime

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

    def step_time(self, step: TrainingStep, *, steps: int) -> StepTime:
        """Times the step relative to the reference's; the trial will train `steps` steps."""
        batch = SyntheticBatch.random(
            batch_size=self.batch_size,
            resolution=self.resolution,
            num_classes=self.num_classes,
            device=self.device,
        )
        reference = self._reference()
        trained_precision, step.precision = step.precision, self.precision
        try:
            with watched_clocks(self.device) as clocks:
                measured = measure_step_time(
                    step,
                    reference,
                    batch,
                    max_seconds=TIMING_SECONDS,
                    max_calls=TIMING_SHARE * steps,
                    fewest_rounds=TIMING_ROUNDS,
                    on_round=clocks.sample,
                )
        finally:
            step.precision = trained_precision
        return replace(
            measured,
            device=self.device_name,
            clock_mhz=clocks.median_mhz,
            flag="; ".join(filter(None, (measured.flag, clocks.flag))) or None,
        )

    def inference_time(self, step: TrainingStep) -> InferenceTime:
        """Times a forward pass of `inference_batch_size` images relative to the reference's."""
        return measure_inference_time(
            step.network,
            self._reference().network,
            batch_size=self.inference_batch_size,
            resolution=self.resolution,
            device=self.device,
            precision=self.precision,
        )

    def _reference(self) -> TrainingStep:
        return self.reference_steps.step(
            self.recipe,
            precision=self.precision,
            num_classes=self.num_classes,
            resolution=self.resolution,
            batch_size=self.batch_size,
        )
