"""Steps on batches that do not fit in the device's memory: computed in parts, with their gradients added."""

import torch

from trials.devices.device import is_out_of_memory
from trials.training.step import TrainingStep
from trials.training.synthetic_batch import SyntheticBatch

FEWEST_IMAGES = 16  # in a part: batch norm sees no more than these
CHECKED = ("cuda",)  # devices that say when their memory is full; a CPU's process is ended


def fit_in_memory(step: TrainingStep, *, batch_size: int, resolution: int, num_classes: int) -> int:
    """Doubles the step's micro-batches until it can be taken on such a batch; returns their number.

    The step's tensors and torch's generators are left as they were. The devices of a group take as many
    parts as the one with the least memory needs.

    Raises:
        torch.OutOfMemoryError: not even parts of FEWEST_IMAGES images fit.
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
    # Only here, after the error and what its frames held are gone, is the memory free.
    if step.device.type == "cuda":
        torch.cuda.empty_cache()
    return False
