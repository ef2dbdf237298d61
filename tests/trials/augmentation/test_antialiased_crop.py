"""Crops cut from larger pictures: torch's antialiased resize of the part, as sharp as of the original."""

import numpy as np
import pytest
import torch
from keyed_draws import keyed_uniform
from laplacian import energy
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from trials.augmentation.antialiased_crop import (
    antialiased_resized_crop,
    by_integers,
    by_matrices,
    crop_boxes,
    filter_weights,
)
from trials.augmentation.augment import random_resized_crop

COUNT, SIDE = 60, 96
DRAWS = keyed_uniform(0, 0, torch.arange(COUNT), 5)


def textures(side: int = SIDE) -> Tensor:
    """Noise of several scales, as photographs have: (COUNT, side, side, 3)."""
    rng, total = np.random.default_rng(0), np.zeros((COUNT, side, side, 3))
    for each in range(COUNT):
        for cells in (4, 12, 36, side):
            noise = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
            total[each] += np.asarray(noise.resize((side, side), Image.Resampling.BICUBIC)) / 4
    return torch.from_numpy(total.round().astype(np.uint8))


def boxes_of(images: Tensor) -> Tensor:
    return crop_boxes(DRAWS, height=images.shape[1], width=images.shape[2])


def torchs(images: Tensor, boxes: Tensor, mirrored: Tensor, resolution: int) -> Tensor:
    """Each part by torch's interpolation in floats (not rounded)."""
    out = []
    for image, (top, left, height, width), flip in zip(images, boxes.tolist(), mirrored, strict=True):
        part = image[top : top + height, left : left + width].permute(2, 0, 1)[None].float()
        resized = interpolate(part, (resolution, resolution), mode="bilinear", antialias=True)[0]
        out.append((resized.flip(2) if flip else resized).permute(1, 2, 0))
    return torch.stack(out)


@pytest.mark.parametrize("resolution", [1, 20, 48, 130], ids=str)
def test_both_ways_are_torchs_antialiased_resize_of_the_part(resolution: int) -> None:
    """Tolerances: one level in two roundings, half a level in one; and what floats lose."""
    images = textures()[:20]
    boxes, mirrored = boxes_of(images)[:20], DRAWS[:20, 4] < 0.5
    expected = torchs(images, boxes, mirrored, resolution)
    assert (by_integers(images, boxes, mirrored, resolution) - expected).abs().max() < 1.01
    assert (by_matrices(images, boxes, mirrored, resolution) - expected).abs().max() < 0.51
    weights = filter_weights(boxes[:, 0], boxes[:, 2], side=SIDE, resolution=resolution)
    torch.testing.assert_close(weights.sum(2), torch.ones(20, resolution))


def test_images_are_resized_a_bounded_number_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    images = textures()
    whole = by_matrices(images, boxes_of(images), DRAWS[:, 4] < 0.5, 24)
    monkeypatch.setattr("trials.augmentation.antialiased_crop.MOST_FLOATS", 7 * SIDE * SIDE * 3)
    assert torch.equal(by_matrices(images, boxes_of(images), DRAWS[:, 4] < 0.5, 24), whole)


def test_parts_lie_within_the_picture_and_reach_all_its_edges() -> None:
    draws = keyed_uniform(3, 0, torch.arange(4000), 5)
    top, left, height, width = crop_boxes(draws, height=40, width=60).T
    for first, length, side in ((top, height, 40), (left, width, 60)):
        assert (first.min(), (first + length).max()) == (0, side)
        assert length.min() >= 1
    area = height * width / 2400
    assert area.mean().item() == pytest.approx(0.525, abs=0.02)
    assert (area.min() > 0.04, area.max() == 1) == (True, True)


def test_half_of_the_images_are_mirrored_where_that_is_asked_for() -> None:
    images = textures()
    plain = antialiased_resized_crop(images, DRAWS, 32)
    mirrored = antialiased_resized_crop(images, DRAWS, 32, flip=True)
    for i in range(COUNT):
        assert torch.equal(mirrored[i], plain[i].flip(1) if DRAWS[i, 4] < 0.5 else plain[i])


def test_crops_are_as_sharp_as_those_of_the_original() -> None:
    """Against torch's resize of the original's parts; of pictures reduced before, most detail is gone."""
    originals, resolution = textures(), 36
    mirrored = DRAWS[:, 4] < 0.5
    proper = energy(torchs(originals, boxes_of(originals), mirrored, resolution))
    own = energy(antialiased_resized_crop(originals, DRAWS, resolution, flip=True))
    assert 0.95 <= own / proper <= 1.05
    reduced = interpolate(
        originals.permute(0, 3, 1, 2), (resolution, resolution), mode="bilinear", antialias=True
    )
    before = random_resized_crop(reduced.permute(0, 2, 3, 1).contiguous(), DRAWS, flip=True)
    assert energy(before) / proper < 0.5
