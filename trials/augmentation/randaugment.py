"""RandAugment (Cubuk et al. 2020) in batches on the device, with random operations for each image.

The sixteen operations and the scale of their magnitudes are those of the official EfficientNetV2 code;
magnitudes may exceed 10. Deviations: unless `pixels` is `official`, the lengths of Translate and Cutout,
given there in pixels at every size, scale with the image's side; Contrast scales around the mean grey, as in
Pillow (the official code, by a slip, around pixels / 256); Posterize keeps between 1 and 8 bits. Shear keeps
the image's corner fixed and Rotate its centre; both, like Translate, take the nearest pixel, and fill with
mid grey.
"""

from functools import partial

import torch
from torch import Tensor

from trials.augmentation.cpu_images import cpu_kernels_change, rand_augment_on_cpu
from trials.augmentation.grey_levels import tables_of
from trials.augmentation.grouped import augment_groups
from trials.augmentation.image_ops import randaugment_operation, randaugment_statistics
from trials.augmentation.masked import change_by_masks
from trials.augmentation.operations import (
    DRAWS_PER_LAYER,
    Pixels,
    codes_of,
    cutout_half,
    enhancement,
    inverse_maps,
)

MOST_PIXELS = 2**30 - 1  # at once: places of pixels in a batch are int32, and OUTSIDE lies beyond them
GROUP_ON = ("cpu",)  # devices on which shapes may depend on the draws: nothing waits, no graph is captured


def rand_augment(
    images: Tensor,
    uniforms: Tensor,
    *,
    magnitude: Tensor | float,
    layers: int = 2,
    pixels: Pixels = "scaled",
    by_kernels: bool = False,
) -> Tensor:
    """Applies one random operation of the sixteen to each image, `layers` times.

    Args:
        images: (B, H, W, 3) uint8; not changed.
        uniforms: (B, layers * DRAWS_PER_LAYER) in [0, 1).
        magnitude: on the official scale, mostly 0 to 10 (0-dim). A larger one makes Posterize and Solarize
            weaker.
        pixels: lengths of Translate and Cutout; `official`: 100 and 80 px at magnitude 10 at every size,
            `scaled`: at 224 px, and in proportion at others.
        by_kernels: see `kernels_run`.

    Returns:
        (B, H, W, 3) uint8.
    """
    most = max(1, MOST_PIXELS // max(1, images.shape[1] * images.shape[2]))
    if len(images) > most:
        apply = partial(
            rand_augment, magnitude=magnitude, layers=layers, pixels=pixels, by_kernels=by_kernels
        )
        return torch.cat(list(map(apply, images.split(most), uniforms.split(most))))
    # `level` is the magnitude on a scale from 0 to 1, as a tensor: a CUDA graph can then change it.
    level = torch.zeros((), dtype=torch.float64, device=images.device).add(magnitude) / 10
    if images.device.type in GROUP_ON and not by_kernels:
        change_groups = rand_augment_on_cpu if cpu_kernels_change(images) else augment_groups
        return change_groups(images, uniforms, level, layers=layers, lengths=pixels)
    change = _change_by_kernels if by_kernels else change_by_masks
    for draws in uniforms.split(DRAWS_PER_LAYER, dim=1)[:layers]:
        images = change(images, draws, level, pixels)
    return images


def _change_by_kernels(images: Tensor, draws: Tensor, level: Tensor, pixels: Pixels) -> Tensor:
    """The operation of its draws (B, DRAWS_PER_LAYER) on each image, in two passes over the pixels."""
    height, width = images.shape[1:3]
    codes = codes_of(draws)
    counts, grey_sums = randaugment_statistics(images, codes)
    return randaugment_operation(
        images,
        codes,
        draws,
        inverse_maps(codes, draws, level, height=height, width=width, pixels=pixels),
        tables_of(codes, level, counts, grey_sums, pixels=height * width),
        enhancement(level),
        cutout_half(level, height=height, width=width, pixels=pixels),
    )
