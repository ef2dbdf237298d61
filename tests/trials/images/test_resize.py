"""Batches that are resized on a device have the pixels of Pillow's filter."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from trials.images.resize import by_matrices, resize_matrix, resized_batch


@pytest.mark.parametrize("resize", [resized_batch, by_matrices])
@pytest.mark.parametrize(("size", "wanted"), [(75, 32), (64, 32), (60, 53), (32, 48)])
def test_resized_pixels_are_those_of_pillow_within_one_level(
    size: int, wanted: int, resize: Callable[[Tensor, int], Tensor]
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (70, size, size, 3), dtype=np.uint8)
    images[0], images[1] = 0, 255
    found = resize(torch.from_numpy(images), wanted)
    assert (found.shape, found.dtype) == ((70, wanted, wanted, 3), torch.uint8)
    assert found.is_contiguous()
    for image, own in zip(images, found.numpy(), strict=True):
        resized = Image.fromarray(image).resize((wanted, wanted), Image.Resampling.BILINEAR)
        assert np.abs(own.astype(int) - np.asarray(resized)).max() <= 1


def test_images_of_the_wanted_size_are_not_touched() -> None:
    images = torch.randint(0, 256, (2, 8, 8, 3), dtype=torch.uint8)
    assert resized_batch(images, 8) is images


def test_weights_of_each_pixel_add_up_to_one() -> None:
    matrix = resize_matrix(300, 128, torch.device("cpu"))
    assert matrix.shape == (128, 300)
    assert torch.allclose(matrix.sum(dim=1), torch.ones(128))
    assert torch.allclose(matrix, matrix.flip(0, 1), atol=1e-6)
