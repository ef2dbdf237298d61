"""Batch norm, activation, gates and depthwise convolution on a CPU, each in one pass over memory.

Activations are (N, C, H, W) channels_last, float32 or bfloat16; statistics, coefficients and weights float32.
"""

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from trials.kernels.cpu_library import call, chunks_of, cpu_library

NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
KERNEL_SIZES, STRIDES, CHANNELS = (3, 5), (1, 2), 8  # of the depthwise kernels; a multiple of 8 channels
Long = ctypes.c_int64
Pointer = ctypes.c_void_p


class Geometry(ctypes.Structure):
    """Sizes of a depthwise convolution's input and output; padding above (top) and to the left."""

    _fields_ = [
        (name, Long)
        for name in ("images", "height", "width", "channels", "height_out", "width_out", "top", "left")
    ]


@dataclass(frozen=True)
class Statistics:
    """Batch norm as y = scale * z + shift, and the normalised x = (z - mean) * inverse; each (C,)."""

    scale: Tensor
    shift: Tensor
    mean: Tensor
    inverse: Tensor


def _at(tensor: Tensor | None) -> Pointer:
    return Pointer(None if tensor is None else tensor.data_ptr())


def _shape(z: Tensor) -> tuple[Any, ...]:
    return Long(z.shape[0]), Long(z.shape[2] * z.shape[3]), Long(z.shape[1])


class _Kernel:
    """A function that is called on chunks."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, z: Tensor, *arguments: Any, rest: tuple[Any, ...] | None = None) -> None:
        function = _named(f"{self.name}_{NAMES[z.dtype]}")
        call(function, *arguments, images=z.shape[0], rest=_shape(z) if rest is None else rest)


@cache
def _named(name: str) -> Any:
    function = getattr(cpu_library(), name)
    refuses = name.startswith("depthwise")  # sizes of which there is no kernel
    function.restype = Flag if refuses else None

    def run(*arguments: Any) -> None:
        refused = function(*(Long(a) if type(a) is int else a for a in arguments))
        assert not refused, f"{name}: there is no kernel of this size and stride"

    return run


_moments, _pool, _apply, _sums, _apply_backward, _depthwise, _depthwise_backward = (
    _Kernel(name)
    for name in ("moments", "pool", "apply", "sums", "apply_backward", "depthwise", "depthwise_backward")
)
Flag = ctypes.c_int


def dense(tensor: Tensor) -> Tensor:
    """The tensor with channels last in memory, a copy only where it was not."""
    pixels = tensor.permute(0, 2, 3, 1)
    return tensor if pixels.is_contiguous() else pixels.contiguous().permute(0, 3, 1, 2)


def empty_like(z: Tensor) -> Tensor:
    """An uninitialised tensor of the same shape with channels last."""
    return torch.empty(z.shape, dtype=z.dtype, memory_format=torch.channels_last)


def moments(z: Tensor) -> Tensor:
    """Mean and sum of squared deviations of each chunk of images (chunks, 2, C) float64."""
    partial = torch.empty(chunks_of(z.shape[0]), 2, z.shape[1], dtype=torch.float64)
    _moments(z, _at(z), _at(partial))
    return partial


def statistics(norm: nn.BatchNorm2d, partial: Tensor, z: Tensor) -> Statistics:
    """The batch's statistics from its chunks' moments; updates the norm's running ones as torch does."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    out = [torch.empty(z.shape[1]) for _ in range(4)]
    cpu_library().statistics(
        _at(partial), Long(partial.shape[0]), *_shape(z), _at(norm.weight), _at(norm.bias),
        ctypes.c_float(norm.eps), ctypes.c_float(norm.momentum or 0.0),
        _at(norm.running_mean), _at(norm.running_var), *map(_at, out),
    )  # fmt: skip
    return Statistics(*out)


def running_statistics(norm: nn.BatchNorm2d) -> Statistics:
    """The running statistics, with which a network is evaluated."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    inverse = (norm.running_var + norm.eps).rsqrt()
    scale = norm.weight.detach() * inverse
    return Statistics(scale, norm.bias.detach() - norm.running_mean * scale, norm.running_mean, inverse)


def pool(z: Tensor, s: Statistics) -> Tensor:
    """Means (N, C) over the pixels of silu(y)."""
    means = torch.empty(z.shape[:2])
    _pool(z, _at(z), _at(s.scale), _at(s.shift), _at(means))
    return means


def apply(
    z: Tensor, s: Statistics, *, active: bool, factor: Tensor | None = None, residual: Tensor | None = None
) -> Tensor:
    """residual + factor * act(y), of z's type; act is SiLU where `active`; factor (N, C)."""
    out = empty_like(z)
    _apply(z, _at(z), _at(s.scale), _at(s.shift), _at(factor), _at(residual), _at(out), Flag(active))
    return out


def image_sums(grad: Tensor, z: Tensor, s: Statistics) -> Tensor:
    """Sums of each image (N, 5, C), for the gradient of gate * silu(y); see the kernel."""
    result = torch.empty(z.shape[0], 5, z.shape[1])
    _sums(z, _at(grad), _at(z), *_all(s), _at(None), _at(result), Flag(1), Flag(1))
    return result


def chunk_sums(grad: Tensor, z: Tensor, s: Statistics, *, active: bool, factor: Tensor | None) -> Tensor:
    """Sums of dy and dy * x of each chunk (chunks, 2, C), dy the gradient of y."""
    result = torch.empty(chunks_of(z.shape[0]), 2, z.shape[1])
    _sums(z, _at(grad), _at(z), *_all(s), _at(factor), _at(result), Flag(active), Flag(0))
    return result


def _all(s: Statistics) -> list[Any]:
    return [_at(s.scale), _at(s.shift), _at(s.mean), _at(s.inverse)]


def norm_backward(
    grad: Tensor, z: Tensor, s: Statistics, partial: Tensor, *, active: bool,
    factor: Tensor | None = None, addend: Tensor | None = None, in_place: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Batch norm's gradients of z, weight and bias, from the sums of dy and dy * x (chunks, 2, C).

    dy is (factor * grad + addend) * act'(y), with factor and addend (N, C).
    """
    weight_grad, bias_grad, *coefficients = (torch.empty(z.shape[1]) for _ in range(5))
    rows = z.numel() // z.shape[1]
    cpu_library().coefficients(
        _at(partial), Long(partial.shape[0]), Long(rows), Long(z.shape[1]), _at(s.scale), _at(s.mean),
        _at(s.inverse), _at(weight_grad), _at(bias_grad), *map(_at, coefficients),
    )  # fmt: skip
    out = grad if in_place else empty_like(z)
    _apply_backward(
        z, _at(grad), _at(z), _at(s.scale), _at(s.shift), _at(factor), _at(addend),
        *map(_at, coefficients), _at(out), Flag(active),
    )  # fmt: skip
    return out, weight_grad, bias_grad


def depthwise(
    x: Tensor,
    s: Statistics | None,
    weight: Tensor,
    *,
    stride: int,
    pads: tuple[int, int],
    out: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Depthwise convolution of silu(scale * x + shift), or of x itself, and the chunks' moments of it.

    Args:
        weight: (k * k, C) float32.
        pads: rows above and columns left of the image.
        out: height and width of the output.
    """
    z = torch.empty((*x.shape[:2], *out), dtype=x.dtype, memory_format=torch.channels_last)
    partial = torch.empty(chunks_of(x.shape[0]), 2, x.shape[1], dtype=torch.float64)
    scale, shift = (None, None) if s is None else (s.scale, s.shift)
    size = round(len(weight) ** 0.5)
    geometry = Geometry(x.shape[0], *x.shape[2:], x.shape[1], *out, *pads)
    _depthwise(
        x, _at(x), _at(scale), _at(shift), _at(weight), _at(z), _at(partial), Flag(size), Flag(stride),
        rest=(ctypes.byref(geometry),),
    )  # fmt: skip
    return z, partial


def depthwise_backward(
    grad: Tensor, x: Tensor, s: Statistics | None, weight: Tensor, *, stride: int, pads: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient of y (or x) and of the weight (k * k, C), and the chunks' sums of dy and dy * x."""
    dx = empty_like(x)
    chunks = chunks_of(x.shape[0])
    weight_grad = torch.empty(chunks, *weight.shape)
    partial = torch.empty(chunks, 2, x.shape[1])
    geometry = Geometry(x.shape[0], *x.shape[2:], x.shape[1], *grad.shape[2:], *pads)
    size = round(len(weight) ** 0.5)
    _depthwise_backward(
        x, _at(grad), _at(x), *([_at(None)] * 4 if s is None else _all(s)), _at(weight), _at(dx),
        _at(weight_grad), _at(partial), Flag(size), Flag(stride), rest=(ctypes.byref(geometry),),
    )  # fmt: skip
    return dx, weight_grad.sum(0), partial


def rmsprop(
    values: Tensor, grads: Tensor, mean_square: Tensor, velocity: Tensor,
    *, weight_decay: float, decay: float, momentum: float, epsilon: float, rate: float,
) -> None:  # fmt: skip
    """One update of contiguous float32 vectors in place, `grads` excepted."""
    numbers = (weight_decay, decay, momentum, epsilon, rate)
    cpu_library().rmsprop(
        _at(values), _at(grads), _at(mean_square), _at(velocity), Long(values.numel()),
        *map(ctypes.c_float, numbers),
    )  # fmt: skip
