"""Depthwise convolutions on a CPU whose weights' gradient does not take ten times as long as all the rest.

oneDNN (with torch 2.13) has fast kernels for the gradients of 3x3 weights at larger sides. For those of 5x5
weights, and at sides of 1 and 2, it was seen to take 2 to 26 times as long as what is below: a third of a
training step of EfficientNetV2-B0 at 32 pixels.
"""

from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor

SMALL_SIDE = 8  # of the output, up to which gradients of 5x5 weights are computed here
SMALLEST_SIDE = 2  # the same, of 3x3 weights


def depthwise_convolution(images: Tensor, weight: Tensor, *, stride: int, padding: int) -> Tensor:
    """As torch's conv2d with a group for each channel: images (N, C, H, W), weight (C, 1, k, k), float32."""
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
        own = is_slow(grad.shape[2], weight.shape[2]) and ctx.needs_input_grad[1]
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


def is_slow(side: int, kernel_size: int) -> bool:
    """Whether oneDNN's gradient of such weights, at an output of this side, is the slower one."""
    return side <= (SMALL_SIDE if kernel_size > 3 else SMALLEST_SIDE)


def weight_gradient(images: Tensor, grad: Tensor, *, kernel_size: int, stride: int, padding: int) -> Tensor:
    """(C, 1, k, k) from images (N, C, H, W) and the output's gradient (N, C, H', W').

    For each row of the kernel and each channel, the product of all columns of the images with all columns of
    the gradient, (W, W'); the sums along its diagonals are the kernel's columns.
    """
    channels, width = images.shape[1], images.shape[3]
    height_out, width_out = grad.shape[2:]
    grad = grad.permute(1, 2, 0, 3).contiguous()  # (C, H', N, W')
    # Every stride-th row, so that the rows that meet one row of the kernel lie one after the other.
    rows = [images[:, :, first::stride].permute(1, 2, 0, 3).contiguous() for first in range(stride)]
    products = images.new_zeros(channels, kernel_size, width * width_out)
    for i in range(kernel_size):
        skipped, phase = divmod(i - padding, stride)
        first, end = max(0, -skipped), min(height_out, rows[phase].shape[1] - skipped)
        if first < end:
            above = rows[phase][:, first + skipped : end + skipped].reshape(channels, -1, width)
            below = grad[:, first:end].reshape(channels, -1, width_out)
            products[:, i] = torch.bmm(above.transpose(1, 2), below).flatten(1)
    diagonals = _diagonals(width, width_out, kernel_size, stride, padding)
    return (products.view(channels * kernel_size, -1) @ diagonals).view(channels, 1, kernel_size, kernel_size)


@lru_cache(maxsize=64)
def _diagonals(width: int, width_out: int, kernel_size: int, stride: int, padding: int) -> Tensor:
    """(W * W', k): 1 where column o of the output, through column j of the kernel, sees column i."""
    diagonals = torch.zeros(width, width_out, kernel_size)
    for o in range(width_out):
        for j in range(kernel_size):
            if 0 <= (i := stride * o + j - padding) < width:
                diagonals[i, o, j] = 1
    return diagonals.view(width * width_out, kernel_size)
