"""The padded crop and RandAugment on a CPU by own kernels: image by image in the cache, to the same bits."""

import ctypes
from collections.abc import Callable
from functools import cache, lru_cache

import torch
from torch import Tensor

from trials.augmentation.grey_levels import fixed_tables
from trials.augmentation.operations import DRAWS_PER_LAYER, Pixels, cutout_half, enhancement, sources
from trials.kernels.cpu_library import call, cpu_library, why_not

_POINTER, _LONG, _FLOAT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
_ARGUMENTS = {  # with the chunks and the batch's shape, which come last
    "rand_augment": (*5 * (_POINTER,), _FLOAT, *8 * (_LONG,)),
    "crop_and_flip": (*3 * (_POINTER,), *8 * (_LONG,)),
}


def cpu_kernels_change(images: Tensor) -> bool:
    """True if own kernels change these images (B, H, W, 3): uint8 on a CPU for which kernels are compiled."""
    return images.device.type == "cpu" and images.numel() > 0 and why_not() is None


def rand_augment_on_cpu(
    images: Tensor, uniforms: Tensor, level: Tensor, *, layers: int, lengths: Pixels
) -> Tensor:
    """The work of `augment_groups` on a CPU, by own kernels."""
    count, height, width, _ = images.shape
    tables, places, factor, half = _strength(float(level), height, width, lengths)
    draws = uniforms[:, : layers * DRAWS_PER_LAYER].float().contiguous()
    images, results = _prepared(images)
    call(
        _function("rand_augment"),
        *map(Tensor.data_ptr, (images, results, draws, tables, places)), factor, half,
        images=count, rest=(count, height, width, layers),
    )  # fmt: skip
    return results


def crop_and_flip_on_cpu(images: Tensor, uniforms: Tensor, *, padding: int, flip: bool) -> Tensor:
    """The work of `crop_and_flip` on a CPU, by own kernels."""
    count, height, width, _ = images.shape
    draws = uniforms.float().contiguous()
    images, results = _prepared(images)
    call(
        _function("crop_and_flip"),
        *map(Tensor.data_ptr, (images, results, draws)), padding, int(flip),
        images=count, rest=(count, height, width),
    )  # fmt: skip
    return results


def _prepared(images: Tensor) -> tuple[Tensor, Tensor]:
    """The images without gaps, and room for as many."""
    images = images.contiguous()
    return images, torch.empty_like(images)


@cache
def _function(name: str) -> Callable[..., None]:
    function = getattr(cpu_library(), name)
    function.argtypes, function.restype = _ARGUMENTS[name], None
    return function


@lru_cache(maxsize=4)
def _strength(level: float, height: int, width: int, pixels: Pixels) -> tuple[Tensor, Tensor, float, int]:
    """The part of all operations that follows from their strength and the images' size."""
    levels = torch.tensor(level, dtype=torch.float64)
    places = sources(levels, height=height, width=width, pixels=pixels).clamp_(
        max=height * width
    )  # outside: the last pixel
    half = int(cutout_half(levels, height=height, width=width, pixels=pixels))
    return fixed_tables(levels).contiguous(), places.contiguous(), float(enhancement(levels)), half
