"""Augmentation in batches equals a written-out reference per image; draws belong to the image."""

import numpy as np
import pytest
import torch
from keyed_draws import keyed_uniform
from PIL import Image

from trials.augmentation.augment import (
    FILL,
    boxes,
    crop_and_flip,
    cutout,
    random_resized_crop,
    to_input,
)


def test_random_draws_belong_to_the_image_whatever_its_batch_and_order() -> None:
    samples = torch.randperm(500)
    whole = keyed_uniform(3, 5, samples, 3)
    parts = torch.cat([keyed_uniform(3, 5, part, 3) for part in samples.split(7)])
    assert torch.equal(whole, parts)
    for other in (keyed_uniform(4, 5, samples, 3), keyed_uniform(3, 6, samples, 3)):
        assert (whole == other).float().mean() < 0.001


def test_random_draws_of_images_are_uniform_and_independent() -> None:
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
def test_batched_crop_and_flip_equal_a_reference_for_each_image(flip: bool, padding: int) -> None:
    images = torch.randint(0, 256, (64, 9, 11, 3), dtype=torch.uint8)
    draws = keyed_uniform(1, 2, torch.arange(64), 3)
    batch = crop_and_flip(images, draws, padding=padding, flip=flip)
    for i in range(64):
        assert np.array_equal(batch[i].numpy(), reference(images[i].numpy(), draws[i].numpy(), padding, flip))


def test_all_crop_places_and_both_flips_occur_equally_often() -> None:
    count = 20_000
    image = torch.zeros(1, 4, 4, 3, dtype=torch.uint8)
    image[0, 1, 0] = 255
    draws = keyed_uniform(0, 0, torch.arange(count), 3)
    batch = crop_and_flip(image.expand(count, 4, 4, 3), draws, padding=1, flip=True)
    flipped = (draws[:, 2] < 0.5).float().mean().item()
    assert flipped == pytest.approx(0.5, abs=0.02)
    rows = (batch[..., 0] == 255).any(2).float().mean(0)  # the row that holds the pixel
    assert rows[:3].tolist() == pytest.approx([1 / 3 * 5 / 6] * 3, abs=0.06)


def slopes(count: int, side: int = 64) -> torch.Tensor:
    """(count, side, side, 3): red grows by 3 a column, green by 3 a row, from 20."""
    steps = (20 + 3 * torch.arange(side)).to(torch.uint8)
    across, down = steps.expand(side, side), steps[:, None].expand(side, side)
    return torch.stack([across, down, torch.zeros_like(across)], dim=2).expand(count, -1, -1, -1)


def spans(crops: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Of crops of `slopes`: height and width as shares of the image, from the slopes' middle parts."""
    values = crops.double().numpy()
    width = (values[:, 32, 48, 0] - values[:, 32, 16, 0]) / (3 * 32)
    height = (values[:, 48, 32, 1] - values[:, 16, 32, 1]) / (3 * 32)
    return height, width


def test_a_resized_crop_of_everything_is_the_image() -> None:
    images = torch.randint(0, 256, (16, 9, 9, 3), dtype=torch.uint8)
    draws = keyed_uniform(0, 0, torch.arange(16), 5)
    assert torch.equal(random_resized_crop(images, draws, scale=(1, 1), ratio=(1, 1)), images)
    mirrored = random_resized_crop(images, draws, scale=(1, 1), ratio=(1, 1), flip=True)
    for i in range(16):
        assert torch.equal(mirrored[i], images[i].flip(1) if draws[i, 4] < 0.5 else images[i])


def test_areas_of_resized_crops_are_uniform_and_shapes_within_bounds() -> None:
    count = 4000
    draws = keyed_uniform(0, 0, torch.arange(count), 5)
    height, width = spans(random_resized_crop(slopes(count), draws))
    area = height * width
    counts = np.histogram(area, bins=10, range=(0.05, 1.0))[0]
    assert counts.sum() >= 0.98 * count  # the rest is rounded grey levels
    assert ((counts - 400) ** 2 / 400).sum() < 9 + 6 * 18**0.5
    assert area.mean() == pytest.approx(0.525, abs=0.02)
    small = area < 0.5  # of which every shape fits
    shape = np.log(width / height)[small & (area > 0.2)]
    assert shape.mean() == pytest.approx(0, abs=0.02)
    assert np.abs(shape).max() < np.log(4 / 3) + 0.06
    assert shape.std() == pytest.approx(2 * np.log(4 / 3) / 12**0.5, rel=0.06)  # of a uniform distribution


def test_resized_crops_lie_anywhere_in_the_image() -> None:
    count = 4000
    draws = keyed_uniform(1, 0, torch.arange(count), 5)
    crops = random_resized_crop(slopes(count), draws, scale=(0.25, 0.25), ratio=(1, 1)).double()
    for channel in (0, 1):
        centre = (crops[:, 31:33, 31:33, channel].mean((1, 2)) - 20) / 3 + 0.5  # pixels
        assert centre.min().item() == pytest.approx(16, abs=0.5)
        assert centre.max().item() == pytest.approx(48, abs=0.5)
        assert centre.mean().item() == pytest.approx(32, abs=0.6)


def test_a_resized_crop_agrees_with_pillows_bilinear_resize() -> None:
    """Tolerance: one grey level away from the border, beyond which Pillow sees nothing."""
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8))
    for start in (0.0, 0.37, 0.9):
        draws = torch.tensor([[0.0, 0.5, start, start, 0.9]])
        crop = random_resized_crop(image, draws, scale=(0.36, 0.36), ratio=(1, 1))[0].numpy()
        left, side = start * 0.4 * 32, 0.6 * 32
        expected = Image.fromarray(image[0].numpy()).resize(
            (32, 32), Image.Resampling.BILINEAR, box=(left, left, left + side, left + side)
        )
        off = np.abs(crop.astype(int) - np.asarray(expected).astype(int))[2:-2, 2:-2]
        assert off.max() <= 1


def test_images_that_are_not_square_are_cropped_within_their_bounds() -> None:
    draws = keyed_uniform(2, 0, torch.arange(500), 5)
    images = torch.full((500, 12, 40, 3), 9, dtype=torch.uint8)
    assert random_resized_crop(images, draws).eq(9).all()


@pytest.mark.parametrize(("share", "side"), [(0.5, 8), (0.25, 4), (1.0, 16), (0.0, 0)])
def test_cutout_covers_a_square_around_a_place_in_the_image(share: float, side: int) -> None:
    images = torch.zeros(400, 16, 16, 3, dtype=torch.uint8)
    draws = keyed_uniform(0, 0, torch.arange(400), 2)
    cut = cutout(images, draws, share=share)
    for i in range(0, 400, 9):
        row, column = (int(draw * 16) for draw in draws[i])
        expected = np.zeros((16, 16, 3), np.uint8)
        top, left = max(0, row - side // 2), max(0, column - side // 2)
        expected[top : row + side // 2, left : column + side // 2] = FILL
        assert np.array_equal(cut[i].numpy(), expected)
    assert images.eq(0).all()


def test_each_image_of_a_batch_has_a_box_of_its_own_size() -> None:
    draws = torch.full((3, 2), 0.5)
    half = torch.tensor([0.0, 2.0, 9.0])
    inside = boxes(draws, height=10, width=8, half_y=half, half_x=half / 2)
    assert inside.sum((1, 2, 3)).tolist() == [0, 4 * 2, 10 * 8]


def test_pixels_are_scaled_to_network_input_as_in_the_official_code() -> None:
    images = torch.tensor([0, 128, 255], dtype=torch.uint8).reshape(1, 1, 1, 3)
    scaled = to_input(images)
    assert scaled.shape == (1, 3, 1, 1)
    assert scaled.flatten().tolist() == [-1.0, 0.0, 127 / 128]
    batch = to_input(torch.zeros(2, 8, 8, 3, dtype=torch.uint8))
    assert batch.is_contiguous(memory_format=torch.channels_last)
