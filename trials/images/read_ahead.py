"""Reads the batches of images that lie on the host by several threads, a bounded number of them ahead.

Images that are not in memory yet come from the disk, with a wait for each: one thread reads one at a time.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from trials.devices.device import available_cores

MOST_THREADS = 8
MOST_BATCHES = 4  # that are read ahead of the present one
MOST_BYTES = 1 << 30  # of these; one is always read ahead
IMAGES_OF_TASK = 32  # read by one thread, one after the other


class HostImages(Protocol):
    """Images on the host: see `trials.images.device_images`."""

    pixels: Tensor  # (N, S, S, 3) uint8, memory-mapped

    def check(self, indices: Tensor) -> None:
        """Compares images at indices (B,) with their checksums."""


@dataclass(frozen=True)
class _Coming:
    """A batch that is being read."""

    pixels: Tensor  # (B, S, S, 3) uint8
    tasks: list[Future[None]]

    def read(self) -> Tensor:
        for task in self.tasks:
            task.result()
        return self.pixels


def read_ahead(
    parts: Sequence[tuple[HostImages, Tensor]], *, pin_memory: bool = False, threads: int | None = None
) -> Iterator[Tensor]:
    """Pixels (B, S, S, 3) uint8 of each part, which is a set of images and indices (B,) in it, in order.

    Args:
        pin_memory: in page-locked memory, from which copies to a GPU are asynchronous.
        threads: that read; by default one for each core, up to `MOST_THREADS`.

    Raises:
        DamagedPackError: an image is not as it was packed.
    """
    threads = threads or min(len(available_cores()), MOST_THREADS)
    coming: deque[_Coming] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="read") as pool:
        try:
            waiting = list(reversed(parts))
            while waiting or coming:
                while waiting and len(coming) < _batches_ahead(waiting[-1]) + 1:
                    coming.append(_begin(pool, *waiting.pop(), pin_memory=pin_memory))
                yield coming.popleft().read()
        finally:
            pool.shutdown(cancel_futures=True)


def _batches_ahead(part: tuple[HostImages, Tensor]) -> int:
    images, indices = part
    one = max(len(indices) * images.pixels[:1].nbytes, 1)
    return max(1, min(MOST_BATCHES, MOST_BYTES // one))


def _begin(pool: ThreadPoolExecutor, images: HostImages, indices: Tensor, *, pin_memory: bool) -> _Coming:
    """Sets the threads to work on a batch."""
    stored = images.pixels.numpy()
    pixels = torch.empty((len(indices), *stored.shape[1:]), dtype=images.pixels.dtype, pin_memory=pin_memory)

    def read(first: int) -> None:
        own = indices[first : first + IMAGES_OF_TASK]
        images.check(own)
        np.take(stored, own.numpy(), axis=0, out=pixels[first : first + len(own)].numpy(), mode="clip")

    return _Coming(pixels, [pool.submit(read, first) for first in range(0, len(indices), IMAGES_OF_TASK)])
