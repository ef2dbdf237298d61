"""Micro-batches: a batch that does not fit in the device's memory is computed in parts, summing gradients."""

from collections.abc import Callable, Sequence

import torch

from trials.augmentation.augment_batch import Augmentation
from trials.devices.device_errors import is_out_of_memory
from trials.devices.own_memory import OwnMemory
from trials.recipe import Recipe, TrainingStage
from trials.training.stage_calls import evaluate_batch, evaluation_sums, train_batch
from trials.training.step import TrainingStep
from trials.training.synthetic_batch import SyntheticBatch

FEWEST_IMAGES = 16  # in a micro-batch, because batch norm's statistics are those of a micro-batch
CHECKED = ("cuda",)  # devices that raise when memory is full; on a CPU the kernel would kill the process


def fit_in_memory(step: TrainingStep, *, batch_size: int, resolution: int, num_classes: int) -> int:
    """Doubles the step's micro-batches until a step on such a batch fits in memory; returns their number.

    The step's tensors and torch's generators are restored. All devices of a group use the number that the
    device with the least memory needs.

    Raises:
        torch.OutOfMemoryError: not even micro-batches of FEWEST_IMAGES images fit.
    """

    def attempt(batch: SyntheticBatch) -> None:
        step(batch.images, batch.labels)

    return _fit(step, attempt, batch_size=batch_size, resolution=resolution, num_classes=num_classes)


def fit_training(
    step: TrainingStep,
    recipe: Recipe,
    stages: Sequence[TrainingStage],
    *,
    batch_size: int,
    num_classes: int,
    side: int | None = None,
) -> int:
    """`fit_in_memory` for all of a training on its largest images: augmentation, steps, evaluation.

    What lies on the device besides, images and a reference network, has to be there already.

    Args:
        side: of the pictures that crops are cut from (pixels), where the recipe cuts them from larger ones.
    """
    largest = max(stages, key=lambda stage: (stage.resolution, stage.randaugment))

    def attempt(batch: SyntheticBatch) -> None:
        augment = Augmentation(recipe, largest, step.device)
        sums = evaluation_sums(num_classes, step.device)
        samples = torch.arange(len(batch.images), device=step.device)
        memory = OwnMemory(step.device)
        train_batch(step, augment, {}, batch.images, batch.labels, samples)
        # The graph of the training step keeps what it took while the evaluation runs.
        kept = torch.empty(memory.peak() or 0, dtype=torch.uint8, device=step.device)
        part = -(-len(batch.images) // step.micro_batches)
        size = max(map(recipe.evaluation_size, stages))
        evaluated = torch.zeros((part, size, size, 3), dtype=torch.uint8, device=step.device)
        evaluate_batch(step, sums, evaluated, batch.labels[:part])
        del kept

    resolution = side if side is not None and recipe.cuts_from_larger else largest.resolution
    return _fit(step, attempt, batch_size=batch_size, resolution=resolution, num_classes=num_classes)


def can_halve(step: TrainingStep, batch_size: int) -> bool:
    """True if a batch that has not fitted into memory can be computed in twice as many micro-batches."""
    return step.device.type in CHECKED and batch_size / (2 * step.micro_batches) >= FEWEST_IMAGES


def _fit(
    step: TrainingStep,
    attempt: Callable[[SyntheticBatch], None],
    *,
    batch_size: int,
    resolution: int,
    num_classes: int,
) -> int:
    if step.device.type not in CHECKED:
        return step.micro_batches
    kept = step.state()
    batch = SyntheticBatch.random(
        batch_size=batch_size, resolution=resolution, num_classes=num_classes, device=step.device
    )
    cuda = [step.device] if step.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), step.apart():
        while not _fits(step, attempt, batch):
            step.micro_batches *= 2
    step.load(kept)
    step.parameters.zero_grad()
    step.micro_batches = int(step.group.largest(step.micro_batches))
    return step.micro_batches


def _fits(step: TrainingStep, attempt: Callable[[SyntheticBatch], None], batch: SyntheticBatch) -> bool:
    try:
        attempt(batch)
        return True
    except Exception as error:
        if not is_out_of_memory(error) or not can_halve(step, len(batch.images)):
            raise
    # Not within the except block: there the traceback still holds the tensors of the failed step.
    if step.device.type == "cuda":
        torch.cuda.empty_cache()
    return False
