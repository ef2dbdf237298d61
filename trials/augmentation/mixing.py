"""Mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019) of each image with its partner in the batch.

An image's partner stands at the same place of the reversed batch, as in the official code. A deviation: the
official code weights CutMix's labels by the boxes' mean area over the batch; here each image has the weight
of its own box.
"""

import numpy as np
import torch
from torch import Tensor

from trials.augmentation.augment import boxes
from trials.augmentation.image_ops import mixed_images
from trials.recipe import LARGEST_ALPHA

TABLE_STEPS = 2048
_INTEGRATION_STEPS = 1 << 15


def beta_table(alpha: float) -> Tensor:
    """Quantiles of Beta(alpha, alpha) for `beta_ratios`, (TABLE_STEPS + 1,) float32; all 1 for alpha 0.

    Inverse transform sampling from a table turns an image's own uniform numbers into draws with one look-up,
    and another alpha is a copy of another table. Quantiles lie closer towards 0 and 1, where the distribution
    function is steep.

    Raises:
        ValueError: alpha is negative or above LARGEST_ALPHA.
    """
    if not 0 <= alpha <= LARGEST_ALPHA:
        raise ValueError(f"alpha of a Beta distribution is {alpha:g}; it must be from 0 to {LARGEST_ALPHA:g}")
    if alpha == 0:
        return torch.ones(TABLE_STEPS + 1)
    # Step 1: the distribution function on [0, 1/2], by the trapezoidal rule. The substitution v = x ** alpha
    # removes the pole that the density x ** (alpha - 1) * (1 - x) ** (alpha - 1) has at 0 for alpha < 1.
    v = np.linspace(0, 0.5**alpha, _INTEGRATION_STEPS + 1)
    density = (1 - v ** (1 / alpha)) ** (alpha - 1)
    cumulative = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    # Step 2: its inverse at probabilities whose spacing shrinks towards 0; `tail` is twice the probability.
    tail = np.linspace(0, 1, TABLE_STEPS // 2 + 1) ** 2
    lower = np.interp(tail, cumulative / cumulative[-1], v) ** (1 / alpha)
    # Step 3: the upper half by symmetry.
    return torch.from_numpy(np.concatenate([lower, 1 - lower[-2::-1]])).float()


def beta_ratios(uniforms: Tensor, table: Tensor) -> Tensor:
    """Draws (B,) from the distribution of a `beta_table`, one for each uniform number (B,) in [0, 1)."""
    # The square root undoes the squared spacing of the table, from either end.
    tail = torch.minimum(uniforms, 1 - uniforms) * 2
    places = torch.where(uniforms < 0.5, tail.sqrt(), 2 - tail.sqrt()) * (TABLE_STEPS // 2)
    lower = places.long().clamp(0, TABLE_STEPS - 1)
    return torch.lerp(table[lower], table[lower + 1], places - lower)


def mixup(images: Tensor, ratios: Tensor, *, by_kernels: bool = False) -> tuple[Tensor, Tensor]:
    """Blends each image with its partner; the image itself keeps the larger weight.

    Args:
        images: (B, H, W, 3), uint8 (the result is rounded) or floating.
        ratios: (B,) in [0, 1]: the weight of either image.
        by_kernels: see `kernels_run`; of uint8 images.

    Returns:
        The mixed images, and the weights (B,) of their own labels; the rest is their partners'.
    """
    weights = torch.maximum(ratios, 1 - ratios)
    if by_kernels:
        return mixed_images(images, weights), weights
    own = images if images.is_floating_point() else images.float()
    mixed = torch.lerp(own.flip(0), own, weights.view(-1, 1, 1, 1).to(own.dtype))
    return (mixed if images.is_floating_point() else mixed.round_().to(images.dtype)), weights


def cutmix(images: Tensor, ratios: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """Replaces a box of each image by the same box of its partner.

    Args:
        images: (B, H, W, 3) of any type.
        ratios: (B,) in [0, 1]: the share of its area that an image keeps, if the box lies inside it.
        uniforms: (B, 2) in [0, 1): row and column of the box's centre.

    Returns:
        The mixed images, and the shares (B,) of pixels that they have kept: the weights of their own labels.
    """
    height, width = images.shape[1:3]
    half = (1 - ratios).clamp(min=0).sqrt() / 2  # half of the box's side, as a share of the image's
    inside = boxes(uniforms, height=height, width=width, half_y=half * height, half_x=half * width)
    return torch.where(inside, images.flip(0), images), 1 - inside.float().mean((1, 2, 3))
