"""Batches on the host are read by several threads, in order, a bounded number of them ahead."""

import threading
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor

from trials.images import read_ahead as module
from trials.images.pack_checks import DamagedPackError
from trials.images.read_ahead import IMAGES_OF_TASK, MOST_BATCHES, read_ahead

SIZE = 4


@dataclass
class Images:
    """Images whose pixels are their numbers; those that are read are noted, and one may be damaged."""

    count: int = 200
    damaged: int = -1
    read: list[int] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        numbers = np.arange(self.count, dtype=np.uint8)[:, None, None, None]
        self.pixels = torch.from_numpy(np.broadcast_to(numbers, (self.count, SIZE, SIZE, 3)).copy())

    def check(self, indices: Tensor) -> None:
        self.threads.add(threading.current_thread().name)
        self.read += indices.tolist()
        if self.damaged in indices:
            raise DamagedPackError("damaged")


def batches_of(count: int, size: int) -> list[Tensor]:
    return list(torch.randperm(count, generator=torch.Generator().manual_seed(0)).split(size))


@pytest.mark.parametrize("threads", [1, 3, None])
@pytest.mark.parametrize("size", [1, 7, 3 * IMAGES_OF_TASK])
def test_batches_come_whole_and_in_order(size: int, threads: int | None) -> None:
    images, other = Images(), Images(count=50)
    parts = [(images, part) for part in batches_of(200, size)] + [(other, part) for part in batches_of(50, 9)]
    found = list(read_ahead(parts, threads=threads))
    assert len(found) == len(parts)
    for pixels, (own, indices) in zip(found, parts, strict=True):
        assert torch.equal(pixels, own.pixels[indices])
    assert sorted(images.read) == list(range(200))


def test_one_batch_is_read_by_several_threads() -> None:
    images = Images()
    barrier = threading.Barrier(2, timeout=30)
    check = images.check

    def both(indices: Tensor) -> None:
        barrier.wait()  # passes only if two tasks are at work at once
        check(indices)

    images.check = both  # type: ignore[method-assign]
    next(read_ahead([(images, torch.arange(2 * IMAGES_OF_TASK))], threads=2))
    assert len(images.threads) == 2


@pytest.mark.parametrize(
    ("most_bytes", "ahead"), [(1 << 30, MOST_BATCHES), (2 * 10 * SIZE**2 * 3, 2), (0, 1)]
)
def test_no_more_batches_are_read_ahead_than_the_bound(
    most_bytes: int, ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", most_bytes)
    images = Images()
    found = read_ahead([(images, part) for part in torch.arange(200).split(10)], threads=1)
    for taken in range(1, 8):
        next(found)
        assert len(images.read) <= 10 * (taken + ahead)
    found.close()
    assert 70 <= len(images.read) <= 10 * (7 + ahead)


def test_a_damaged_image_is_raised_with_its_batch() -> None:
    images = Images(damaged=25)
    found = read_ahead([(images, part) for part in torch.arange(200).split(10)], threads=2)
    assert [len(next(found)) for _ in range(2)] == [10, 10]
    with pytest.raises(DamagedPackError):
        next(found)
