"""Iterates over the batches of one epoch, each on the device by the time that it is needed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trials.images.device_images import ResidentImages
from trials.images.read_ahead import read_ahead
from trials.images.resize import resized_batch


@dataclass(frozen=True)
class Batch:
    """A batch on the device."""

    images: Tensor  # (B, H, W, 3) uint8
    labels: Tensor  # (B,) or (B, L) int64
    samples: Tensor  # (B,) int64, indices in the data set


def batches(images: ResidentImages, indices: Tensor, *, batch_size: int) -> Iterator[Batch]:
    """Batches of the images at these indices (N,), in this order; the last batch may be smaller."""
    yield from batches_of([(images, part) for part in indices.split(batch_size)])


def batches_of(parts: Sequence[tuple[ResidentImages, Tensor]]) -> Iterator[Batch]:
    """A batch for each pair of a set of images and indices (B,) in it; the sets may differ in resolution.

    Where images are not resident on the device, several batches are read ahead while the present one is used.
    Images that are stored at a larger size are resized on the device.
    """
    if not parts:
        return
    indices = [part for _, part in parts]
    # All indices in one copy, because every copy makes the host wait for the device.
    on_device = torch.cat(indices).to(parts[0][0].device).split([len(part) for part in indices])
    streamed = _streamed([(images, part) for images, part in parts if not images.is_resident])
    for (images, part), samples in zip(parts, on_device, strict=True):
        if images.is_resident:
            images.check(part)
            pixels = resized_batch(images.pixels[samples], images.resolution)
        else:
            pixels = next(streamed)
        yield Batch(pixels, images.labels[samples], samples)


def _streamed(parts: Sequence[tuple[ResidentImages, Tensor]]) -> Iterator[Tensor]:
    """Pixels of each part, read ahead by threads, then copied and resized on a CUDA stream of their own."""
    device = parts[0][0].device
    side = torch.cuda.Stream(device)
    for (images, _), gathered in zip(parts, read_ahead(parts, pin_memory=True), strict=True):
        # Step 1: copy on the side stream, so that the copy overlaps with the present training step.
        with torch.cuda.stream(side):
            pixels = resized_batch(gathered.to(device, non_blocking=True), images.resolution)
        # Step 2: the training stream waits for it, and the allocator must not reuse the memory before the
        # training stream is done with it.
        current = torch.cuda.current_stream(device)
        current.wait_stream(side)
        pixels.record_stream(current)
        yield pixels
