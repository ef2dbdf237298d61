"""Training steps of the reference network, beside which trials are timed."""

from functools import lru_cache

import torch

from search_spaces.networks.architecture import Architecture
from search_spaces.networks.resolutions import check_resolution
from trials.recipe import Recipe
from trials.timing.inference_time import TimedForward
from trials.timing.step_time import TimedStep
from trials.training.micro_batches import fit_in_memory
from trials.training.seeds import WEIGHTS, derived_seed
from trials.training.step import build_step
from trials.training.synthetic_batch import SyntheticBatch

KEPT = 2  # steps: trials of a run have the same conditions, and a retry may have others


class ReferenceSteps:
    """Builds the reference network's training step for the conditions of a trial, and keeps the last ones.

    What is kept includes the graphs of the step and of its forward pass: on CUDA they are recorded once in a
    worker's life, not in each of its trials.
    """

    def __init__(self, reference: Architecture, device: torch.device) -> None:
        self._reference = reference
        self._device = device
        self._kept = lru_cache(maxsize=KEPT)(self._built)
        self._kept_forwards = lru_cache(maxsize=KEPT)(self._built_forward)

    def step(
        self, recipe: Recipe, *, precision: str, num_classes: int, resolution: int, batch_size: int
    ) -> TimedStep:
        """The step, in as many parts as its memory needs.

        Raises:
            ValueError: images are too small for the reference network.
        """
        return self._kept(recipe, precision, num_classes, resolution, batch_size)

    def forward(self, step: TimedStep, *, batch_size: int) -> TimedForward:
        """The forward pass of a step's network on so many images."""
        return self._kept_forwards(step, batch_size)

    def _built(
        self, recipe: Recipe, precision: str, num_classes: int, resolution: int, batch_size: int
    ) -> TimedStep:
        check_resolution(self._reference, resolution)
        torch.manual_seed(derived_seed(0, WEIGHTS))
        step = build_step(
            self._reference, recipe, num_classes=num_classes, device=self._device, precision=precision
        )
        fit_in_memory(step, batch_size=batch_size, resolution=resolution, num_classes=num_classes)
        batch = SyntheticBatch.random(
            batch_size=batch_size, resolution=resolution, num_classes=num_classes, device=self._device
        )
        return TimedStep(step, batch)

    def _built_forward(self, step: TimedStep, batch_size: int) -> TimedForward:
        return TimedForward(
            step.step.network,
            batch_size=batch_size,
            resolution=int(step.batch.images.shape[1]),
            device=self._device,
            precision=step.precision,
        )
