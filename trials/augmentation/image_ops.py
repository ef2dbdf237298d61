"""Operators behind which Triton's kernels augment images on CUDA: their shapes, types and launches."""

from typing import Any

import torch
from torch import Tensor

from trials.augmentation.operations import (
    AUTO_CONTRAST,
    COLOR,
    CONTRAST,
    CUTOUT,
    DRAWS_PER_LAYER,
    EQUALIZE,
    FILL,
    SHARPNESS,
)

BLOCK = 1024  # numbers of an image that a program computes
STATISTICS_BLOCK = 4096  # pixels that a program counts


@torch.library.custom_op("nas::resized_crop", mutates_args=())
def resized_crop(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Bilinear samples of images (B, H, W, 3) uint8 at rows (B, H) and columns (B, W), float32; rounded."""
    from trials.augmentation import triton_images as kernels

    out = torch.empty_like(images, memory_format=torch.contiguous_format)
    count, height, width, _ = images.shape
    rows, columns = rows.contiguous(), columns.contiguous()
    size = out[0].numel()
    _launch(kernels.resized_crop, count, size, images.contiguous(), rows, columns, out, size, height, width)
    return out


@torch.library.custom_op("nas::antialiased_crop", mutates_args=())
def antialiased_crop(images: Tensor, boxes: Tensor, mirrored: Tensor, resolution: int) -> Tensor:
    """Parts of images (B, H, W, 3) uint8, boxes (B, 4) int64, resized to (B, R, R, 3); see its namesake."""
    from trials.augmentation import triton_images as kernels

    out = images.new_empty((len(images), resolution, resolution, 3))
    size, image_size, width = out[0].numel(), images[0].numel(), images.shape[2]
    flips = mirrored.to(torch.uint8)
    _launch(
        kernels.antialiased_crop, len(images), size, images.contiguous(), boxes.contiguous(), flips, out,
        size, image_size, width, resolution,
    )  # fmt: skip
    return out


@torch.library.custom_op("nas::mixed_images", mutates_args=())
def mixed_images(images: Tensor, weights: Tensor) -> Tensor:
    """Each image (B, H, W, 3) uint8 blended with the one opposite in the batch, its own by weights (B,)."""
    from trials.augmentation import triton_images as kernels

    out = torch.empty_like(images, memory_format=torch.contiguous_format)
    size = images[0].numel()
    _launch(
        kernels.mixed, len(images), size, images.contiguous(), weights.contiguous(), out, size, len(images)
    )
    return out


@torch.library.custom_op("nas::randaugment_statistics", mutates_args=())
def randaugment_statistics(images: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Histograms (B, 3, 256) int32 and sums of greys (B,) int64 of images; 0 where no operation asks."""
    from trials.augmentation import triton_images as kernels

    counts = torch.zeros(len(images), 3, 256, dtype=torch.int32, device=images.device)
    sums = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    pixels = images.shape[1] * images.shape[2]
    _launch(
        kernels.statistics, len(images), pixels, images.contiguous(), codes, counts, sums, pixels,
        AUTO_CONTRAST=AUTO_CONTRAST, EQUALIZE=EQUALIZE, CONTRAST=CONTRAST, BLOCK=STATISTICS_BLOCK,
    )  # fmt: skip
    return counts, sums


@torch.library.custom_op("nas::randaugment_operation", mutates_args=())
def randaugment_operation(
    images: Tensor, codes: Tensor, draws: Tensor, maps: Tensor, tables: Tensor, factor: Tensor, half: Tensor
) -> Tensor:
    """One operation for each image.

    Args:
        images: (B, H, W, 3) uint8.
        codes: (B,) int64, the operations.
        draws: (B, DRAWS_PER_LAYER) float32.
        maps: (B, 6) float32, see `inverse_maps`.
        tables: (B, 3, 256) uint8, see `tables_of`.
        factor, half: 0-dim float32 and int64, see `enhancement` and `cutout_half`.
    """
    from trials.augmentation import triton_images as kernels

    out = torch.empty_like(images, memory_format=torch.contiguous_format)
    count, height, width, _ = images.shape
    _launch(
        kernels.operation, count, images[0].numel(), images.contiguous(), codes, draws.contiguous(),
        maps, tables, factor, half, out, images[0].numel(), height, width, CONTRAST=CONTRAST, COLOR=COLOR,
        SHARPNESS=SHARPNESS, CUTOUT=CUTOUT, DRAWS=DRAWS_PER_LAYER, FILL=FILL,
    )  # fmt: skip
    return out


@resized_crop.register_fake
def _(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return torch.empty_like(images, memory_format=torch.contiguous_format)


@antialiased_crop.register_fake
def _(images: Tensor, boxes: Tensor, mirrored: Tensor, resolution: int) -> Tensor:
    return images.new_empty((len(images), resolution, resolution, 3))


@mixed_images.register_fake
def _(images: Tensor, weights: Tensor) -> Tensor:
    return torch.empty_like(images, memory_format=torch.contiguous_format)


@randaugment_statistics.register_fake
def _(images: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    return images.new_empty((len(images), 3, 256), dtype=torch.int32), codes.new_empty(len(images))


@randaugment_operation.register_fake
def _(images: Tensor, *_: Tensor) -> Tensor:
    return torch.empty_like(images, memory_format=torch.contiguous_format)


def _launch(kernel: Any, count: int, size: int, images: Tensor, *arguments: object, **named: Any) -> None:
    """Launches a kernel for `size` numbers of each of `count` images, on their device and current stream."""
    named.setdefault("BLOCK", BLOCK)
    grid = (count, -(-size // named["BLOCK"]))
    if not count or not size:
        return
    if images.is_cuda:
        with torch.cuda.device(images.device):  # Triton launches on the current device
            kernel[grid](images, *arguments, **named, num_warps=4)
    else:
        kernel[grid](images, *arguments, **named)
