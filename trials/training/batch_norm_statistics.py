"""Batch-norm statistics of given weights, estimated on training batches instead of followed step by step.

Running statistics lag behind weights that move quickly, and behind a change of the images' size; an average
of weights has others than the average of statistics. Few batches suffice (Wu and Johnson, "Rethinking 'Batch'
in BatchNorm", section 3: PreciseBN).
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from trials.augmentation.augment import to_input
from trials.devices.arithmetic import autocast
from trials.training.step import TrainingStep


@torch.no_grad()
def add_batch_statistics(step: TrainingStep, sums: Tensor, momentum: float, pixels: Tensor) -> None:
    """Adds the batch-norm statistics of a batch (B, H, W, 3) uint8 to the sums; never waits for the device.

    The running statistics are lost. From zero, a pass moves them to `momentum` times the batch's.
    """
    step.parameters.statistics.zero_()
    step.network.train()
    with autocast(step.precision, step.device):
        step.network(to_input(pixels))
    sums.add_(step.parameters.statistics, alpha=1 / momentum)


@torch.no_grad()
def take_mean_statistics(step: TrainingStep, sums: Tensor, *, batches: int) -> None:
    """Gives the network the mean of the statistics that were added, over all devices of the group."""
    step.group.sum(sums)
    torch.div(sums, batches * step.group.size, out=step.parameters.statistics)


def statistics_batches(indices: Tensor, *, batches: int, batch_size: int) -> Iterable[Tensor]:
    """The images (at most `batch_size`,) of an epoch's first batches (steps, share), in equal parts."""
    for own in indices[:batches]:
        yield from own.tensor_split(-(-len(own) // batch_size))
