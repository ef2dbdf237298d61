"""The batches of one epoch, on the device when they are needed."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from trials.images.device_images import ResidentImages


@dataclass(frozen=True)
class Batch:
    """Images and what belongs to them, on the device."""

    images: Tensor  # (B, H, W, 3) uint8
    labels: Tensor  # (B,) or (B, L) int64
    samples: Tensor  # (B,) int64, indices in the data set


def batches(images: ResidentImages, indices: Tensor, *, batch_size: int) -> Iterator[Batch]:
    """The images of these indices (N,) in their order; the last batch may be smaller."""
    yield from batches_of([(images, part) for part in indices.split(batch_size)])


def batches_of(parts: Sequence[tuple[ResidentImages, Tensor]]) -> Iterator[Batch]:
    """A batch for each of these sets of images, which may differ in size, and indices (B,) in them.

    Of images that do not lie on the device, the batch after the present one is gathered meanwhile.
    """
    if not parts:
        return
    indices = [part for _, part in parts]
    # One copy for all: each by itself would wait for the device.
    on_device = torch.cat(indices).to(parts[0][0].device).split([len(part) for part in indices])
    streamed = _streamed([(images, part) for images, part in parts if not images.is_resident])
    for (images, _), samples in zip(parts, on_device, strict=True):
        pixels = images.pixels[samples] if images.is_resident else next(streamed)
        yield Batch(pixels, images.labels[samples], samples)


def _streamed(parts: Sequence[tuple[ResidentImages, Tensor]]) -> Iterator[Tensor]:
    """The images of each part on the device, copied on a stream of their own."""
    device = parts[0][0].device
    copies = torch.cuda.Stream(device)
    with ThreadPoolExecutor(1, thread_name_prefix="gather") as gatherer:
        coming = gatherer.submit(_pinned, parts[0][0].pixels, parts[0][1])
        for following in (*parts[1:], None):
            gathered = coming.result()
            if following is not None:
                coming = gatherer.submit(_pinned, following[0].pixels, following[1])
            with torch.cuda.stream(copies):
                pixels = gathered.to(device, non_blocking=True)
            current = torch.cuda.current_stream(device)
            current.wait_stream(copies)
            pixels.record_stream(current)
            yield pixels


def _pinned(pixels: Tensor, indices: Tensor) -> Tensor:
    gathered = torch.empty((len(indices), *pixels.shape[1:]), dtype=pixels.dtype, pin_memory=True)
    return torch.index_select(pixels, 0, indices, out=gathered)
