"""Conditions under which training steps of several networks are built and timed side by side."""

from dataclasses import dataclass

import torch

from search_spaces.networks.architecture import Architecture
from trials.recipe import Recipe
from trials.timing.module_check import CheckedModule
from trials.training.step import TrainingStep, build_step
from trials.training.synthetic_batch import SyntheticBatch


@dataclass(frozen=True, kw_only=True)
class StepConditions:
    """Conditions of timed training steps, the same for all networks that are compared."""

    recipe: Recipe
    precision: str
    num_classes: int
    resolution: int  # pixels
    batch_size: int
    device: torch.device

    def step(self, network: Architecture | CheckedModule) -> TrainingStep:
        """The step of a fresh network, its weights random from a fixed seed."""
        torch.manual_seed(0)
        if isinstance(network, CheckedModule):
            return network.step(self.recipe, device=self.device, precision=self.precision)
        return build_step(
            network,
            self.recipe,
            num_classes=self.num_classes,
            device=self.device,
            precision=self.precision,
        )

    def batch(self) -> SyntheticBatch:
        """Random images and labels of that size, on the device."""
        return SyntheticBatch.random(
            batch_size=self.batch_size,
            resolution=self.resolution,
            num_classes=self.num_classes,
            device=self.device,
        )
