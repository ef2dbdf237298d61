"""Random draws of images: numbers that follow from seed, epoch and image, and not from the batch."""

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15, the odd constant of splitmix64, as a signed number
# splitmix64's multipliers 0xBF58476D1CE4E5B9 and 0x94D049BB133111EB, likewise as signed numbers.
_MIX_1, _MIX_2 = -4658895280553007687, -7723592293110705685


def draw_key(seed: int, epoch: int) -> Tensor:
    """The key of an epoch's draws: 0-dim int64 on the host."""
    return _splitmix64(torch.tensor(seed, dtype=torch.int64) * _GOLDEN + epoch)


def uniform_from_key(key: Tensor, samples: Tensor, draws: int) -> Tensor:
    """Uniform numbers in [0, 1) that depend on the key, the sample and the number of the draw alone.

    So an image gets the same draws in any batch, in any order, after resuming, and on any number of devices.
    Nothing is copied, so a CUDA graph can hold it. The generator is counter-based: a counter per image and
    draw is hashed with splitmix64's finaliser (Steele et al. 2014) twice, and the upper 24 bits become a
    float32.

    Args:
        key: see `draw_key`; on the device.
        samples: (B,) int64, indices of the images.
        draws: how many numbers each image needs.

    Returns:
        (B, draws) float32.
    """
    counters = samples[:, None] * draws + torch.arange(draws, device=samples.device)  # (B, draws)
    hashed = _splitmix64(_splitmix64(counters * _GOLDEN + key))
    return _logical_shift(hashed, 40).to(torch.float32) * 2.0**-24


def _logical_shift(value: Tensor, bits: int) -> Tensor:
    """Shifts to the right and fills with zeros; torch's own shift of signed numbers copies the sign."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)


def _splitmix64(value: Tensor) -> Tensor:
    """splitmix64's finaliser, a bijective hash of int64."""
    value = (value ^ _logical_shift(value, 30)) * _MIX_1
    value = (value ^ _logical_shift(value, 27)) * _MIX_2
    return value ^ _logical_shift(value, 31)
