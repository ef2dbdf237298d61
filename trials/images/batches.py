"""Iterates over the batches of one epoch, each on the device by the time that it is needed."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from trials.images.device_images import ResidentImages


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

    Where images are not resident on the device, the next batch is gathered while the present one is used.
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
        pixels = images.pixels[samples] if images.is_resident else next(streamed)
        yield Batch(pixels, images.labels[samples], samples)


def _streamed(parts: Sequence[tuple[ResidentImages, Tensor]]) -> Iterator[Tensor]:
    """Pixels of each part, prefetched: gathered by a thread, and copied on a CUDA stream of their own."""
    device = parts[0][0].device
    copies = torch.cuda.Stream(device)
    with ThreadPoolExecutor(1, thread_name_prefix="gather") as gatherer:
        coming = gatherer.submit(_pinned, *parts[0])
        for following in (*parts[1:], None):
            # Step 1: take the batch that the thread has gathered, and set it to work on the next.
            gathered = coming.result()
            if following is not None:
                coming = gatherer.submit(_pinned, *following)
            # Step 2: copy on the side stream, so that the copy overlaps with the present training step.
            with torch.cuda.stream(copies):
                pixels = gathered.to(device, non_blocking=True)
            # Step 3: the training stream waits for the copy, and the allocator must not reuse the memory
            # before the training stream is done with it.
            current = torch.cuda.current_stream(device)
            current.wait_stream(copies)
            pixels.record_stream(current)
            yield pixels


def _pinned(images: ResidentImages, indices: Tensor) -> Tensor:
    """The pixels at these indices in page-locked memory, from which copies are asynchronous."""
    images.check(indices)
    pixels = images.pixels
    gathered = torch.empty((len(indices), *pixels.shape[1:]), dtype=pixels.dtype, pin_memory=True)
    return torch.index_select(pixels, 0, indices, out=gathered)
