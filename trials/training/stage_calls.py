"""The work of one training stage on each batch: augmentation and step, and evaluation, as CUDA graphs."""

from functools import partial

import torch
from torch import Tensor

from trials.augmentation.augment_batch import Augmentation
from trials.images.device_images import ResidentImages
from trials.recipe import Recipe, TrainingStage
from trials.training.batch_norm_statistics import add_batch_statistics
from trials.training.device_group import share_of_batch
from trials.training.step import Part, TrainingStep, evaluate

Shares = dict[tuple[int, int], list[Tensor]]  # by sizes of batches and numbers of micro-batches


class StageCalls:
    """The functions called with batches of a training stage: to train, evaluate, and estimate statistics.

    On CUDA each becomes a graph, with the augmentation in it. What a graph repeats refers to the step, the
    augmentation and the sums, not to this object: the graphs, and their memory, end with it.
    """

    def __init__(
        self, step: TrainingStep, recipe: Recipe, stage: TrainingStage, images: ResidentImages
    ) -> None:
        self.step, self.images = step, images
        self.augment = Augmentation(recipe, stage, step.device)
        self.sums = evaluation_sums(len(images.classes), step.device)
        shares: Shares = {}
        self.train = step.graphed(partial(train_batch, step, self.augment, shares))
        self.evaluate = step.graphed(partial(evaluate_batch, step, self.sums), changes=[self.sums])
        running = step.parameters.statistics
        self.statistics = torch.zeros_like(running)  # sums over batches
        self.add_statistics = step.graphed(
            partial(estimate_batch, step, self.augment, self.statistics, recipe),
            changes=[running, self.statistics],
        )

    def close(self) -> None:
        """Gives the memory of the graphs back."""
        self.train.close()
        self.evaluate.close()
        self.add_statistics.close()


def estimate_batch(
    step: TrainingStep,
    augment: Augmentation,
    sums: Tensor,
    recipe: Recipe,
    pixels: Tensor,
    labels: Tensor,
    samples: Tensor,
) -> None:
    """Adds a batch's batch-norm statistics: of whole images or, if others are evaluated, as for training."""
    if recipe.evaluates_apart:
        pixels = augment(pixels, labels, samples).images
    add_batch_statistics(step, sums, recipe.batch_norm_momentum, pixels)


def train_batch(
    step: TrainingStep,
    augment: Augmentation,
    shares: Shares,
    pixels: Tensor,
    labels: Tensor,
    samples: Tensor,
) -> None:
    """Augments a batch and takes a step on it, one micro-batch after the other where there are several.

    `shares` keeps the positions of each micro-batch: a graph could not bring them to the device.
    """
    images, number = len(pixels), step.micro_batches
    if number == 1 or images % (number * augment.recipe.pairing()):  # it cannot be divided so that images mix
        step(*_augmented(augment, pixels, labels, samples))
        return
    if (images, number) not in shares:
        pairing = augment.recipe.pairing()
        shares[images, number] = [
            share_of_batch(images, rank=i, size=number, pairing=pairing).to(pixels.device)
            for i in range(number)
        ]
    parts = (_augmented(augment, pixels[i], labels[i], samples[i]) for i in shares[images, number])
    step.take(parts, images=images)


def _augmented(augment: Augmentation, pixels: Tensor, labels: Tensor, samples: Tensor) -> Part:
    batch = augment(pixels, labels, samples)
    return batch.images, batch.labels, batch.partners, batch.weights


def evaluation_sums(num_classes: int, device: torch.device) -> Tensor:
    """Zeros to which evaluations are added: of losses and hits, and of each class, as `evaluate` has them."""
    return torch.zeros(3 + 2 * num_classes, device=device)


def evaluate_batch(step: TrainingStep, sums: Tensor, pixels: Tensor, labels: Tensor) -> None:
    """Adds what a batch's evaluation counts to the sums."""
    sums += evaluate(step.network, pixels, labels, device=step.device, precision=step.precision)
