"""The one training loop, of ten-epoch trials and of full training."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from trials.augment_batch import Augmentation
from trials.optimizer import learning_rate_at
from trials.recipe import Recipe
from trials.resident import ResidentImages
from trials.step import TrainingStep, evaluate
from trials.trial import EpochResult, Phase

# Streams of randomness that are drawn from one seed.
WEIGHTS, ORDER, DROPS = 0, 1, 2

SECONDS_BETWEEN_BEATS = 0.5


class NonFiniteLossError(RuntimeError):
    """The training diverged: its loss is not a number, or infinite."""


@dataclass(frozen=True)
class Beat:
    """Where a training stands, while it runs."""

    phase: Phase
    epoch: int  # from 1
    fraction: float  # of the epoch


@dataclass(frozen=True)
class EpochEnd:
    """One epoch's figures, without the trial's name. Accuracies are 0-1."""

    epoch: int  # from 1
    train_loss: float
    train_accuracy: float
    minival_loss: float
    minival_accuracy: float
    minival_accuracy_raw: float
    minival_accuracy_top5: float
    learning_rate: float
    resolution: int
    train_seconds: float
    evaluate_seconds: float

    def result(self, *, trial_id: int, attempt: int) -> EpochResult:
        """The event of this epoch's end."""
        fields = {name: value for name, value in vars(self).items() if name != "minival_accuracy_top5"}
        return EpochResult(trial_id=trial_id, attempt=attempt, **fields)


def derived_seed(seed: int, stream: int, *, epoch: int = 0) -> int:
    """A seed of its own for each stream and epoch, so that any epoch can be run again alone."""
    return int(np.random.SeedSequence([seed, stream, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def train(
    step: TrainingStep,
    recipe: Recipe,
    *,
    images_at: Callable[[int], ResidentImages],
    epochs: int,
    seed: int,
) -> Iterator[Beat | EpochEnd]:
    """Trains for `epochs` epochs and yields each one's end, with beats in between.

    Data order, augmentation and drops depend on (seed, epoch) and, for augmentation, the image alone.

    Raises:
        NonFiniteLossError: the mean training loss of an epoch is not finite.
    """
    for stage in recipe.training_stages(epochs):
        images = images_at(stage.resolution)
        augment = Augmentation(recipe, stage, step.device)
        step.network.set_strengths(dropout=stage.dropout, stochastic_depth=recipe.stochastic_depth)
        for epoch in range(stage.first_epoch, stage.first_epoch + stage.epochs):
            yield from _epoch(step, recipe, images, augment, epoch=epoch, epochs=epochs, seed=seed)


def _epoch(
    step: TrainingStep,
    recipe: Recipe,
    images: ResidentImages,
    augment: Augmentation,
    *,
    epoch: int,
    epochs: int,
    seed: int,
) -> Iterator[Beat | EpochEnd]:
    started = last_beat = time.perf_counter()
    torch.manual_seed(derived_seed(seed, DROPS, epoch=epoch))
    order = torch.Generator().manual_seed(derived_seed(seed, ORDER, epoch=epoch))
    shuffled = images.train[torch.randperm(len(images.train), generator=order)]
    batch_size = min(recipe.batch_size, len(shuffled))
    steps = len(shuffled) // batch_size  # a last batch that is not full waits for the next shuffle
    rate = 0.0
    for i in range(steps):
        rate = learning_rate_at(
            epoch * steps + i, recipe=recipe, steps_per_epoch=steps, total_steps=epochs * steps
        )
        step.learning_rate.fill_(rate)
        indices = shuffled[i * batch_size : (i + 1) * batch_size]
        batch, labels = images.batch(indices)
        augmented = augment(batch, labels, indices.to(step.device), seed=seed, epoch=epoch)
        step(augmented.images, augmented.labels, augmented.partners, augmented.weights)
        if time.perf_counter() - last_beat > SECONDS_BETWEEN_BEATS:
            last_beat = time.perf_counter()
            yield Beat("training", epoch + 1, (i + 1) / steps)
    loss, accuracy = step.read_totals()
    if not math.isfinite(loss):
        raise NonFiniteLossError(f"the training loss of epoch {epoch + 1} is {loss}")
    trained = time.perf_counter()
    yield Beat("evaluating", epoch + 1, 1.0)
    raw_loss, raw_accuracy, raw_top5 = evaluate_minival(step, images, batch_size=batch_size)
    minival_loss, minival_accuracy, top5 = raw_loss, raw_accuracy, raw_top5
    if step.average is not None:
        with step.average.swapped():
            minival_loss, minival_accuracy, top5 = evaluate_minival(step, images, batch_size=batch_size)
    yield EpochEnd(
        epoch=epoch + 1,
        train_loss=loss,
        train_accuracy=accuracy,
        minival_loss=minival_loss,
        minival_accuracy=minival_accuracy,
        minival_accuracy_raw=raw_accuracy,
        minival_accuracy_top5=top5,
        learning_rate=rate,
        resolution=augment.stage.resolution,
        train_seconds=trained - started,
        evaluate_seconds=time.perf_counter() - trained,
    )


def evaluate_minival(
    step: TrainingStep, images: ResidentImages, *, batch_size: int
) -> tuple[float, float, float]:
    """Mean loss, accuracy and top-5 accuracy (0-1) on minival, of the weights as they are now."""
    sums = torch.zeros(3, device=step.device)
    for indices in images.minival.split(batch_size):
        batch, labels = images.batch(indices)
        sums += evaluate(step.network, batch, labels, device=step.device, precision=step.precision)
    loss, correct, top5 = (sums / len(images.minival)).tolist()
    return loss, correct, top5
