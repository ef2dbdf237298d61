"""The update of a step as one kernel: RMSProp and the weight average in one pass over the flat vectors."""

import torch
from torch import Tensor

from trials.kernels.update_ops import rmsprop_update
from trials.training.rmsprop import RMSProp
from trials.training.weight_average import WeightAverage


class KernelUpdate:
    """The results of `optimizer.step` and then `average.update`, on their own tensors."""

    def __init__(self, optimizer: RMSProp, average: WeightAverage | None) -> None:
        self.optimizer, self.average = optimizer, average

    @torch.no_grad()
    def __call__(self, learning_rate: Tensor, *, skipped: Tensor | None = None) -> None:
        """One update in place; arguments as of RMSProp.step. Gradients stay as they are."""
        optimizer, average, flat = self.optimizer, self.average, self.optimizer.parameters
        rmsprop_update(
            flat.values,
            flat.grads,
            optimizer.mean_square,
            optimizer.velocity,
            None if average is None else average.values,
            None if average is None else flat.statistics,
            None if average is None else average.statistics,
            learning_rate,
            skipped,
            None if average is None else average.updates,
            flat.decayed,
            optimizer.decay,
            optimizer.momentum,
            optimizer.epsilon,
            optimizer.weight_decay,
            0.0 if average is None else average.decay,
        )
        if average is not None:
            average.updates += 1
