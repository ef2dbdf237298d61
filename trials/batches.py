"""The batches of one epoch, on the device when they are needed."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from trials.resident import ResidentImages


@dataclass(frozen=True)
class Batch:
    """Images and what belongs to them, on the device."""

    images: Tensor  # (B, H, W, 3) uint8
    labels: Tensor  # (B,) or (B, L) int64
    samples: Tensor  # (B,) int64, indices in the data set


def batches(images: ResidentImages, indices: Tensor, *, batch_size: int) -> Iterator[Batch]:
    """The images of these indices (N,) in their order; the last batch may be smaller.

    Of images that do not lie on the device, the batch after the present one is gathered meanwhile.
    """
    on_device = indices.to(images.device).split(batch_size)
    if images.is_resident:
        for samples in on_device:
            yield Batch(images.pixels[samples], images.labels[samples], samples)
        return
    streamed = _streamed(images, indices.split(batch_size))
    for pixels, samples in zip(streamed, on_device, strict=True):
        yield Batch(pixels, images.labels[samples], samples)


def _streamed(images: ResidentImages, parts: tuple[Tensor, ...]) -> Iterator[Tensor]:
    """The images of each part on the device, copied on a stream of their own."""
    copies = torch.cuda.Stream(images.device)
    with ThreadPoolExecutor(1, thread_name_prefix="gather") as gatherer:
        coming = gatherer.submit(_pinned, images.pixels, parts[0]) if parts else None
        for following in (*parts[1:], None):
            assert coming is not None
            gathered = coming.result()
            if following is not None:
                coming = gatherer.submit(_pinned, images.pixels, following)
            with torch.cuda.stream(copies):
                pixels = gathered.to(images.device, non_blocking=True)
            current = torch.cuda.current_stream(images.device)
            current.wait_stream(copies)
            pixels.record_stream(current)
            yield pixels


def _pinned(pixels: Tensor, indices: Tensor) -> Tensor:
    gathered = torch.empty((len(indices), *pixels.shape[1:]), dtype=pixels.dtype, pin_memory=True)
    return torch.index_select(pixels, 0, indices, out=gathered)
