"""Micro-batches: a batch that does not fit in the device's memory is computed in parts, summing gradients."""

import torch

from trials.devices.device_errors import is_out_of_memory
from trials.training.step import TrainingStep
from trials.training.synthetic_batch import SyntheticBatch

FEWEST_IMAGES = 16  # in a micro-batch, because batch norm's statistics are those of a micro-batch
CHECKED = ("cuda",)  # devices that raise when memory is full; on a CPU the kernel would kill the process


def fit_in_memory(step: TrainingStep, *, batch_size: int, resolution: int, num_classes: int) -> int:
    """Doubles the step's micro-batches until a batch of this size fits in memory; returns their number.

    The step's tensors and torch's generators are restored. All devices of a group use the number that the
    device with the least memory needs.

    Raises:
        torch.OutOfMemoryError: not even micro-batches of FEWEST_IMAGES images fit.
    """
    if step.device.type not in CHECKED:
        return step.micro_batches
    kept = step.state()
    batch = SyntheticBatch.random(
        batch_size=batch_size, resolution=resolution, num_classes=num_classes, device=step.device
    )
    cuda = [step.device] if step.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), step.apart():
        while not _fits(step, batch):
            step.micro_batches *= 2
    step.load(kept)
    step.parameters.zero_grad()
    step.micro_batches = int(step.group.largest(step.micro_batches))
    return step.micro_batches


def _fits(step: TrainingStep, batch: SyntheticBatch) -> bool:
    try:
        step(batch.images, batch.labels)
        return True
    except Exception as error:
        smallest = len(batch.images) / (2 * step.micro_batches) < FEWEST_IMAGES
        if smallest or not is_out_of_memory(error):
            raise
    # Not within the except block: there the traceback still holds the tensors of the failed step.
    if step.device.type == "cuda":
        torch.cuda.empty_cache()
    return False
