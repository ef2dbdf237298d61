"""Mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019): each image with the one opposite in its batch.

The partner of an image is that of the reversed batch, as in the official code. Where that code weighs the
labels of CutMix by the mean over the batch, here each image has its own box's share (a marked deviation).
"""

import numpy as np
import torch
from torch import Tensor

from trials.augmentation.augment import boxes

TABLE_STEPS = 2048
_INTEGRATION_STEPS = 1 << 15
STRONGEST = 4.0  # up to this alpha the table's error in a ratio stays below 0.002


def beta_table(alpha: float) -> Tensor:
    """Beta(alpha, alpha) as (TABLE_STEPS + 1,) float32, for `beta_ratios`; of alpha 0 all ones: no mixing.

    It holds quantiles: a change of alpha is a copy of another table into the same memory. Their steps become
    finer towards 0 and 1, where the distribution is steep.

    Raises:
        ValueError: alpha is negative or above STRONGEST.
    """
    if not 0 <= alpha <= STRONGEST:
        raise ValueError(f"alpha of a Beta distribution is {alpha:g}; it must be from 0 to {STRONGEST:g}")
    if alpha == 0:
        return torch.ones(TABLE_STEPS + 1)
    # With v = x ** alpha the density x ** (alpha - 1) * (1 - x) ** (alpha - 1) loses its pole at 0.
    v = np.linspace(0, 0.5**alpha, _INTEGRATION_STEPS + 1)
    density = (1 - v ** (1 / alpha)) ** (alpha - 1)
    cumulative = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    tail = np.linspace(0, 1, TABLE_STEPS // 2 + 1) ** 2  # twice the probability, from 0 to 1 / 2
    lower = np.interp(tail, cumulative / cumulative[-1], v) ** (1 / alpha)
    return torch.from_numpy(np.concatenate([lower, 1 - lower[-2::-1]])).float()


def beta_ratios(uniforms: Tensor, table: Tensor) -> Tensor:
    """Draws (B,) from the distribution of a `beta_table`, one for each uniform number (B,) in [0, 1)."""
    tail = torch.minimum(uniforms, 1 - uniforms) * 2  # twice the probability
    places = torch.where(uniforms < 0.5, tail.sqrt(), 2 - tail.sqrt()) * (TABLE_STEPS // 2)
    lower = places.long().clamp(0, TABLE_STEPS - 1)
    return torch.lerp(table[lower], table[lower + 1], places - lower)


def mixup(images: Tensor, ratios: Tensor) -> tuple[Tensor, Tensor]:
    """Each image mixed with its partner, of which it keeps the larger part.

    Args:
        images: (B, H, W, 3), uint8 (the result is rounded) or floating.
        ratios: (B,) in [0, 1]: the share of the one or the other image.

    Returns:
        The mixed images and the weights (B,) of their own labels; their partners' are those of the reversed
        batch.
    """
    weights = torch.maximum(ratios, 1 - ratios)
    own = images if images.is_floating_point() else images.float()
    mixed = torch.lerp(own.flip(0), own, weights.view(-1, 1, 1, 1).to(own.dtype))
    return (mixed if images.is_floating_point() else mixed.round_().to(images.dtype)), weights


def cutmix(images: Tensor, ratios: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """A box of each image replaced by the same box of its partner.

    Args:
        images: (B, H, W, 3) of any type.
        ratios: (B,) in [0, 1]: the share that an image keeps, where its box is not cut at the edge.
        uniforms: (B, 2) in [0, 1): row and column of the box's centre.

    Returns:
        As of `mixup`; a weight is the share of pixels that an image has kept.
    """
    height, width = images.shape[1:3]
    half = (1 - ratios).clamp(min=0).sqrt() / 2  # of the side
    inside = boxes(uniforms, height=height, width=width, half_y=half * height, half_x=half * width)
    return torch.where(inside, images.flip(0), images), 1 - inside.float().mean((1, 2, 3))
