"""Synthetic batches: the same for candidate and reference, cheap for the host, random to the network."""

import math
from typing import Any

import pytest
import torch

from trials.training.synthetic_batch import DRAWN, SyntheticBatch

CPU = torch.device("cpu")
SMALL, LARGE = (8, 16), (64, 80)  # batch and resolution: fewer values than are drawn, and more


def batch_of(size: tuple[int, int]) -> SyntheticBatch:
    return SyntheticBatch.random(batch_size=size[0], resolution=size[1], num_classes=10, device=CPU)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_batch_is_the_same_at_every_call_and_leaves_torchs_generator_alone(size: tuple[int, int]) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = batch_of(size)
    torch.manual_seed(6)
    second = batch_of(size)
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.labels, second.labels)
    torch.manual_seed(5)
    batch_of(size)
    assert torch.equal(torch.get_rng_state(), before)


def test_no_two_images_or_rows_of_a_long_batch_are_alike() -> None:
    batch = batch_of(LARGE)
    assert batch.images.numel() > DRAWN
    assert batch.images.shape == (64, 80, 80, 3)
    assert len(batch.images.flatten(1).unique(dim=0)) == 64
    assert len(batch.images[:20].flatten(0, 1).flatten(1).unique(dim=0)) == 20 * 80
    assert batch.images.float().mean() == pytest.approx(127.5, abs=0.5)
    assert batch.images.float().std() == pytest.approx(256 / math.sqrt(12), abs=0.5)


def test_the_host_draws_no_more_for_a_long_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """It drew 1.1 billion values for a batch of 4096 images, in every trial on a GPU."""
    drawn: list[int] = []
    randint = torch.randint

    def counted(low: int, high: int, size: tuple[int, ...], **given: Any) -> torch.Tensor:
        drawn.append(math.prod(size))
        return randint(low, high, size, **given)

    monkeypatch.setattr(torch, "randint", counted)
    batch_of(LARGE)
    assert drawn == [DRAWN, 64]
