"""Augmentation in batches equals a written-out reference per image; draws belong to the image."""

import numpy as np
import pytest
import torch

from trials.augment import FILL, crop_and_flip, keyed_uniform, to_input


def test_draws_belong_to_the_image_whatever_its_batch_and_order() -> None:
    samples = torch.randperm(500)
    whole = keyed_uniform(3, 5, samples, 3)
    parts = torch.cat([keyed_uniform(3, 5, part, 3) for part in samples.split(7)])
    assert torch.equal(whole, parts)
    for other in (keyed_uniform(4, 5, samples, 3), keyed_uniform(3, 6, samples, 3)):
        assert (whole == other).float().mean() < 0.001


def test_draws_are_uniform_and_independent() -> None:
    draws = keyed_uniform(0, 0, torch.arange(200_000), 2).numpy()
    assert draws.min() >= 0
    assert draws.max() < 1
    for column in draws.T:
        counts = np.histogram(column, bins=100, range=(0, 1))[0]
        assert ((counts - 2000) ** 2 / 2000).sum() < 99 + 5 * (2 * 99) ** 0.5
    later = keyed_uniform(0, 1, torch.arange(200_000), 2).numpy()
    other = keyed_uniform(1, 0, torch.arange(200_000), 2).numpy()
    pairs = [
        (draws[:, 0], draws[:, 1]),
        (draws[:-1, 0], draws[1:, 0]),
        (draws[:, 0], later[:, 0]),
        (draws[:, 0], other[:, 0]),
    ]
    for a, b in pairs:
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.012  # 5 standard errors


def reference(image: np.ndarray, draws: np.ndarray, padding: int, flip: bool) -> np.ndarray:
    height, width, _ = image.shape
    padded = np.full((height + 2 * padding, width + 2 * padding, 3), FILL, np.uint8)
    padded[padding : padding + height, padding : padding + width] = image
    top, left = (int(np.float32(d) * np.float32(2 * padding + 1)) for d in draws[:2])
    crop = padded[top : top + height, left : left + width]
    return crop[:, ::-1] if flip and draws[2] < 0.5 else crop


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("padding", [0, 1, 4])
def test_batches_equal_the_reference_for_each_image(flip: bool, padding: int) -> None:
    images = torch.randint(0, 256, (64, 9, 11, 3), dtype=torch.uint8)
    draws = keyed_uniform(1, 2, torch.arange(64), 3)
    batch = crop_and_flip(images, draws, padding=padding, flip=flip)
    for i in range(64):
        assert np.array_equal(batch[i].numpy(), reference(images[i].numpy(), draws[i].numpy(), padding, flip))


def test_all_places_and_both_directions_occur_equally_often() -> None:
    count = 20_000
    image = torch.zeros(1, 4, 4, 3, dtype=torch.uint8)
    image[0, 1, 0] = 255
    draws = keyed_uniform(0, 0, torch.arange(count), 3)
    batch = crop_and_flip(image.expand(count, 4, 4, 3), draws, padding=1, flip=True)
    flipped = (draws[:, 2] < 0.5).float().mean().item()
    assert flipped == pytest.approx(0.5, abs=0.02)
    rows = (batch[..., 0] == 255).any(2).float().mean(0)  # the row that holds the pixel
    assert rows[:3].tolist() == pytest.approx([1 / 3 * 5 / 6] * 3, abs=0.06)


def test_input_is_scaled_as_the_official_code_does() -> None:
    images = torch.tensor([0, 128, 255], dtype=torch.uint8).reshape(1, 1, 1, 3)
    scaled = to_input(images)
    assert scaled.shape == (1, 3, 1, 1)
    assert scaled.flatten().tolist() == [-1.0, 0.0, 127 / 128]
    batch = to_input(torch.zeros(2, 8, 8, 3, dtype=torch.uint8))
    assert batch.is_contiguous(memory_format=torch.channels_last)
