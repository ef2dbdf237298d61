"""Augmentation in batches on the device, each image with draws of its own."""

import torch
from torch import Tensor
from torch.nn import functional

FILL = 128  # mid grey, the official code's
_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15, the odd constant of splitmix64, as a signed number
_MIX_1, _MIX_2 = -4658895280553007687, -7723592293110705685  # 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def keyed_uniform(seed: int, epoch: int, samples: Tensor, draws: int) -> Tensor:
    """Uniform numbers in [0, 1) that depend on (seed, epoch, sample, draw) alone.

    An image's draws are so the same in any batch, order, resumed run or number of devices. The hash is
    splitmix64's finaliser (Steele et al. 2014) over a counter.

    Args:
        samples: (B,) int64, the images' indices; the result lies on their device.
        draws: how many numbers for each image.

    Returns:
        (B, draws) float32.
    """
    key = _mixed(torch.tensor([seed], dtype=torch.int64) * _GOLDEN + epoch)
    counters = samples[:, None] * draws + torch.arange(draws, device=samples.device)  # (B, draws)
    hashed = _mixed(_mixed(counters * _GOLDEN + key.to(samples.device)))
    return _shifted(hashed, 40).to(torch.float32) * 2.0**-24


def _shifted(value: Tensor, bits: int) -> Tensor:
    """A logical shift to the right; torch's is arithmetic on signed numbers."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)


def _mixed(value: Tensor) -> Tensor:
    value = (value ^ _shifted(value, 30)) * _MIX_1
    value = (value ^ _shifted(value, 27)) * _MIX_2
    return value ^ _shifted(value, 31)


def crop_and_flip(images: Tensor, uniforms: Tensor, *, padding: int, flip: bool) -> Tensor:
    """Pads each side with mid grey, crops back at a random place, and mirrors every second image.

    Args:
        images: (B, H, W, 3) uint8.
        uniforms: (B, 3) in [0, 1): row, column and mirroring.

    Returns:
        (B, H, W, 3) uint8.
    """
    count, height, width, _ = images.shape
    device = images.device
    places = 2 * padding + 1
    columns = torch.arange(width, device=device).expand(count, width)
    if flip:
        mirrored = (uniforms[:, 2] < 0.5)[:, None]
        columns = torch.where(mirrored, width - 1 - columns, columns)
    rows = torch.arange(height, device=device).expand(count, height)
    if padding:
        images = functional.pad(images, (0, 0, padding, padding, padding, padding), value=FILL)
        rows = rows + (uniforms[:, :1] * places).long()
        columns = columns + (uniforms[:, 1:2] * places).long()
    batch = torch.arange(count, device=device)[:, None, None]
    return images[batch, rows[:, :, None], columns[:, None, :]]  # (B, H, W, 3)


def to_input(images: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 to (B, 3, H, W) float32 in channels_last, as (x - 128) / 128 (official code)."""
    return images.permute(0, 3, 1, 2).to(torch.float32).sub_(128).div_(128)
