"""RandAugment on a device without own kernels: every operation runs for all images, and most is dropped.

To learn which images an operation has the host would have to wait for the device, and no CUDA graph could be
captured. So tables and sources of pixels are those that change nothing where an image has another operation.
"""

import torch
from torch import Tensor
from torch.nn import functional

from trials.augmentation.augment import boxes
from trials.augmentation.grey_levels import bins, blended, blurred, greys, looked_up, tables_of
from trials.augmentation.operations import (
    COLOR,
    CUTOUT,
    FILL,
    SHARPNESS,
    Pixels,
    codes_of,
    cutout_half,
    enhancement,
    source_rows,
    sources,
)


def change_by_masks(images: Tensor, draws: Tensor, level: Tensor, pixels: Pixels) -> Tensor:
    """Applies the operation of its draws (B, DRAWS_PER_LAYER) to each image; see `rand_augment`."""
    count, height, width, _ = images.shape
    codes, factor = codes_of(draws), enhancement(level)
    # Step 1: what replaces grey levels, by tables.
    grey = greys(images.movedim(3, 1).float())  # (B, H, W)
    sums = grey.sum((1, 2), dtype=torch.float64)
    tables = tables_of(codes, level, _histograms(images), sums, pixels=height * width)
    changed = looked_up(images, tables)
    # Step 2: what blends an image with a version of its own, grey or blurred; the border is not blurred.
    sharpens = _pick(codes, SHARPNESS)
    plain = torch.where(sharpens, images, grey.to(torch.uint8)[..., None])
    middle = plain.flatten(2)[:, 1:-1, 3:-3]
    middle.copy_(torch.where(sharpens[..., 0], blurred(images.flatten(2)).to(torch.uint8), middle))
    blends = blended(plain, images.float(), factor)
    changed = torch.where(sharpens | _pick(codes, COLOR), blends, changed)
    # Step 3: what moves pixels or covers them. One grey pixel at the end stands for those that are outside.
    moves = sources(level, height=height, width=width, pixels=pixels)
    places = moves.index_select(0, source_rows(codes, draws)).view(count, height, width)
    places += torch.arange(count, dtype=torch.int32, device=images.device).view(-1, 1, 1) * (height * width)
    half = cutout_half(level, height=height, width=width, pixels=pixels) * (codes == CUTOUT)
    covered = boxes(draws[:, 1:3], height=height, width=width, half_y=half, half_x=half)[..., 0]
    places = places.masked_fill_(covered, count * height * width).clamp_(max=count * height * width)
    padded = functional.pad(changed.reshape(-1, 3), (0, 0, 0, 1), value=FILL)
    return padded.index_select(0, places.flatten()).view(images.shape)


def _pick(codes: Tensor, code: int) -> Tensor:
    return (codes == code).view(-1, 1, 1, 1)


def _histograms(images: Tensor) -> Tensor:
    """Pixels by image, channel and grey level, (B, 3, 256) int32."""
    counts = torch.zeros(len(images) * 768, dtype=torch.int32, device=images.device)
    flat = bins(images).flatten()
    return counts.index_add_(0, flat, torch.ones_like(counts[:1]).expand(flat.shape)).view(-1, 3, 256)
