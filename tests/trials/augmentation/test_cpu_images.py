"""Own kernels of a CPU change images to the bit as torch's operators do."""

import itertools
from typing import get_args

import pytest
import torch
from torch import Tensor

from trials.augmentation import augment
from trials.augmentation.augment import crop_and_flip
from trials.augmentation.cpu_images import (
    cpu_kernels_change,
    crop_and_flip_on_cpu,
    rand_augment_on_cpu,
)
from trials.augmentation.grouped import augment_groups
from trials.augmentation.operations import DRAWS_PER_LAYER, OPS, Pixels
from trials.devices.environment import FUSED_KERNELS
from trials.kernels.cpu_library import why_not

COUNT = len(OPS) ** 2  # every operation before and after every other
SIZES = [(1, 1), (2, 9), (3, 3), (7, 5), (32, 32), (33, 64)]  # height and width

needs_kernels = pytest.mark.skipif(why_not() is not None, reason=f"no kernels of this CPU: {why_not()}")


def pictures(height: int, width: int) -> Tensor:
    """Noise; of low contrast; of one level; of one level in a channel."""
    generator = torch.Generator().manual_seed(height * width)
    found = torch.randint(0, 256, (COUNT, height, width, 3), generator=generator, dtype=torch.uint8)
    found[::3] = found[::3] // 5 + 60
    found[1::7] = 77
    found[2::9, ..., 1] = 9
    return found


def every_pair() -> Tensor:
    """Draws of two layers: all pairs of operations, with random signs and places."""
    draws = torch.rand(COUNT, 2 * DRAWS_PER_LAYER, generator=torch.Generator().manual_seed(1))
    pairs = torch.arange(COUNT)
    draws[:, 0] = (pairs % len(OPS) + 0.5) / len(OPS)
    draws[:, DRAWS_PER_LAYER] = (pairs // len(OPS) + 0.5) / len(OPS)
    return draws


@needs_kernels
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_rand_augment_by_kernels_gives_the_same_bits(height: int, width: int) -> None:
    images, draws = pictures(height, width), every_pair()
    for magnitude, lengths in itertools.product((0.0, 3.3, 30.0), get_args(Pixels)):
        level = torch.tensor(magnitude, dtype=torch.float64) / 10
        expected = augment_groups(images, draws, level, layers=2, lengths=lengths)
        assert torch.equal(rand_augment_on_cpu(images, draws, level, layers=2, lengths=lengths), expected)


@needs_kernels
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_crop_and_flip_by_kernels_gives_the_same_bits(
    height: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = pictures(height, width)
    draws = torch.rand(COUNT, 3, generator=torch.Generator().manual_seed(2))
    monkeypatch.setattr(augment, "cpu_kernels_change", lambda images: False)
    for padding in (0, 1, 4, 70):  # the last one beyond the image, which may lie wholly outside of its crop
        for flip in (False, True):
            expected = crop_and_flip(images, draws, padding=padding, flip=flip)
            assert torch.equal(crop_and_flip_on_cpu(images, draws, padding=padding, flip=flip), expected)


@needs_kernels
def test_threads_change_nothing() -> None:
    images, draws, before = pictures(7, 5), every_pair(), torch.get_num_threads()
    level, found = torch.tensor(0.9, dtype=torch.float64), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(rand_augment_on_cpu(images, draws, level, layers=2, lengths="scaled"))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


@needs_kernels
def test_images_with_gaps_and_draws_beyond_the_layers_are_taken_as_they_are_meant() -> None:
    images, draws = pictures(8, 8), every_pair()
    level, wide = torch.tensor(0.9, dtype=torch.float64), torch.cat([draws, draws], dim=1)
    apart = images.movedim(3, 1).contiguous().movedim(1, 3)
    assert not apart.is_contiguous()
    found = rand_augment_on_cpu(apart, wide, level, layers=2, lengths="scaled")
    assert torch.equal(found, rand_augment_on_cpu(images, draws, level, layers=2, lengths="scaled"))
    assert torch.equal(apart, pictures(8, 8))


def test_kernels_are_used_unless_forbidden_or_there_is_nothing_to_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert cpu_kernels_change(pictures(2, 2)) == (why_not() is None)
    assert not cpu_kernels_change(torch.empty(0, 4, 4, 3, dtype=torch.uint8))
    assert not cpu_kernels_change(torch.empty(1, 4, 4, 3, dtype=torch.uint8, device="meta"))
    monkeypatch.setenv(FUSED_KERNELS, "0")
    assert not cpu_kernels_change(pictures(2, 2))
