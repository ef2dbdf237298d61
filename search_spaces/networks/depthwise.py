"""Depthwise convolution on a CPU with a faster gradient of its weights.

oneDNN (in torch 2.13) has fast kernels for the gradients of 3x3 weights at larger sides. For 5x5 weights, and
at sides of 1 and 2, it takes 2 to 26 times as long as the matrix products below: a third of a whole training
step of EfficientNetV2-B0 at 32 pixels. For 7x7 weights and larger ones it is slower up to larger sides.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor

# Largest sides of the output, in pixels, at which the weights' gradient is computed here and not by oneDNN:
# by kernel size, at strides 1 and 2
MAX_SIDES: Mapping[int, tuple[int, int]] = {1: (1, 1), 3: (2, 2), 5: (8, 8)}
MAX_SIDES_OF_OTHERS = (16, 12)


def depthwise_convolution(images: Tensor, weight: Tensor, *, stride: int, padding: int) -> Tensor:
    """conv2d with one group per channel: images (N, C, H, W), weight (C, 1, k, k), both float32."""
    return cast(Tensor, _Depthwise.apply(images, weight, stride, padding))


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.stride, ctx.padding = stride, padding
        return torch.conv2d(images, weight, None, stride, padding, 1, len(weight))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        images, weight = ctx.saved_tensors
        stride, padding = ctx.stride, ctx.padding
        # torch computes whichever gradients it is fast at; the rest is computed here.
        own = ctx.needs_input_grad[1] and is_slow(grad.shape[2], weight.shape[2], stride=stride)
        wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[1] and not own, False]
        image_grad = weight_grad = None
        if any(wanted):
            image_grad, weight_grad, _ = torch.ops.aten.convolution_backward(
                grad,
                images,
                weight,
                None,
                [stride] * 2,
                [padding] * 2,
                [1, 1],
                False,
                [0, 0],
                len(weight),
                wanted,
            )
        if own:
            weight_grad = weight_gradient(
                images, grad, kernel_size=weight.shape[2], stride=stride, padding=padding
            )
        return image_grad, weight_grad, None, None


def is_slow(side: int, kernel_size: int, *, stride: int) -> bool:
    """True where oneDNN's weight gradient is slower than `weight_gradient`; `side` is the output's, in px."""
    return side <= MAX_SIDES.get(kernel_size, MAX_SIDES_OF_OTHERS)[stride > 1]


def weight_gradient(images: Tensor, grad: Tensor, *, kernel_size: int, stride: int, padding: int) -> Tensor:
    """Gradient (C, 1, k, k) from images (N, C, H, W) and the output's gradient (N, C, H', W').

    For each channel and each row of the kernel, one matrix product correlates all image columns with all
    gradient columns, (W, W'); sums along its diagonals are the gradients of the kernel's columns. That is
    more arithmetic than a convolution, but in matrix products, which a CPU does many times faster.
    """
    channels, width = images.shape[1], images.shape[3]
    height_out, width_out = grad.shape[2:]
    grad = grad.permute(1, 2, 0, 3).contiguous()  # (C, H', N, W')
    # Step 1: split the image rows by their remainder modulo the stride, so that all rows which meet one row
    # of the kernel lie one after the other.
    rows = [images[:, :, first::stride].permute(1, 2, 0, 3).contiguous() for first in range(stride)]
    # Step 2: for kernel row i, output row o meets image row stride * o + i - padding; rows in the padding
    # are zero and are cut off at both ends.
    products = images.new_zeros(channels, kernel_size, width * width_out)
    for i in range(kernel_size):
        skipped, phase = divmod(i - padding, stride)
        first, end = max(0, -skipped), min(height_out, rows[phase].shape[1] - skipped)
        if first < end:
            above = rows[phase][:, first + skipped : end + skipped].reshape(channels, -1, width)
            below = grad[:, first:end].reshape(channels, -1, width_out)
            products[:, i] = torch.bmm(above.transpose(1, 2), below).flatten(1)
    # Step 3: sum along the diagonals, again as one matrix product.
    diagonals = _diagonals(width, width_out, kernel_size, stride, padding)
    return (products.view(channels * kernel_size, -1) @ diagonals).view(channels, 1, kernel_size, kernel_size)


@lru_cache(maxsize=64)
def _diagonals(width: int, width_out: int, kernel_size: int, stride: int, padding: int) -> Tensor:
    """(W * W', k) with 1 where output column o sees image column i through kernel column j, else 0."""
    diagonals = torch.zeros(width, width_out, kernel_size)
    for o in range(width_out):
        for j in range(kernel_size):
            if 0 <= (i := stride * o + j - padding) < width:
                diagonals[i, o, j] = 1
    return diagonals.view(width * width_out, kernel_size)
