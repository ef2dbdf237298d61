"""Batch norm with its surroundings in a block, as autograd functions that keep only a convolution's output.

The normalised value, the activation and its slope are computed again in the backward pass: that is cheaper
than reading them from memory.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from trials.kernels import cpu_ops as ops
from trials.kernels.cpu_ops import Statistics


class NormActivation(torch.autograd.Function):
    """residual + factor * act(batch_norm(z)); act is SiLU or nothing."""

    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        weight: Tensor,
        bias: Tensor,
        residual: Tensor | None,
        factor: Tensor | None,
        norm: nn.BatchNorm2d,
        moments: Tensor | None,
        active: bool,
    ) -> Tensor:
        """z (N, C, H, W) with channels last; factor (N, C)."""
        z = ops.dense(z)
        if residual is not None:
            residual = ops.dense(residual.to(z.dtype))
        s = ops.statistics(norm, ops.moments(z) if moments is None else moments, z)
        ctx.save_for_backward(z, factor, s.scale, s.shift, s.mean, s.inverse)
        ctx.active, ctx.has_residual = active, residual is not None
        return ops.apply(z, s, active=active, factor=factor, residual=residual)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of z, weight, bias and residual."""
        z, factor, *vectors = ctx.saved_tensors
        s, grad = Statistics(*vectors), ops.dense(grad.to(z.dtype))
        partial = ops.chunk_sums(grad, z, s, active=ctx.active, factor=factor)
        dz, weight, bias = ops.norm_backward(grad, z, s, partial, active=ctx.active, factor=factor)
        return dz, weight, bias, grad if ctx.has_residual else None, None, None, None, None


class NormSqueezeExcite(torch.autograd.Function):
    """silu(batch_norm(z)) times the gates that squeeze-and-excitation computes from it."""

    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        weight: Tensor,
        bias: Tensor,
        reduce_weight: Tensor,
        reduce_bias: Tensor,
        expand_weight: Tensor,
        expand_bias: Tensor,
        norm: nn.BatchNorm2d,
        moments: Tensor | None,
    ) -> Tensor:
        """z (N, C, H, W) with channels last; reduce_weight (S, C, 1, 1), expand_weight (C, S, 1, 1)."""
        z = ops.dense(z)
        s = ops.statistics(norm, ops.moments(z) if moments is None else moments, z)
        means = ops.pool(z, s)  # (N, C)
        with torch.autocast("cpu", enabled=False):
            squeezed = torch.addmm(reduce_bias, means, reduce_weight.flatten(1).t())  # (N, S)
            hidden = torch.nn.functional.silu(squeezed)
            gates = torch.addmm(expand_bias, hidden, expand_weight.flatten(1).t()).sigmoid_()  # (N, C)
        ctx.save_for_backward(
            z,
            means,
            squeezed,
            hidden,
            gates,
            reduce_weight,
            expand_weight,
            s.scale,
            s.shift,
            s.mean,
            s.inverse,
        )
        return ops.apply(z, s, active=True, factor=gates)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of z, of batch norm's and of the two layers' weights and biases."""
        z, means, squeezed, hidden, gates, reduce_weight, expand_weight, *vectors = ctx.saved_tensors
        s, grad = Statistics(*vectors), ops.dense(grad.to(z.dtype))
        # Step 1: all sums over pixels, from which every gradient of a channel follows.
        sums = ops.image_sums(grad, z, s)  # (N, 5, C)
        # Step 2: back through the gates' layers, in float32 wherever it is called.
        with torch.autocast("cpu", enabled=False):
            excited = sums[:, 0] * gates * (1 - gates)  # (N, C), before the sigmoid
            d_hidden = excited @ expand_weight.flatten(1)  # (N, S)
            d_squeezed = torch.ops.aten.silu_backward(d_hidden, squeezed)
            added = (d_squeezed @ reduce_weight.flatten(1)).mul_(1 / (z.shape[2] * z.shape[3]))  # (N, C)
            d_reduce = (d_squeezed.t() @ means).view_as(reduce_weight)
            d_expand = (excited.t() @ hidden).view_as(expand_weight)
        # Step 3: sums of dy = (gate * g + added) * silu'(y), and batch norm's gradients.
        both = gates[:, None] * sums[:, 1:3] + added[:, None] * sums[:, 3:5]  # (N, 2, C)
        dz, weight, bias = ops.norm_backward(
            grad, z, s, both.sum(0, keepdim=True), active=True, factor=gates, addend=added
        )
        return (
            dz, weight, bias,
            d_reduce, d_squeezed.sum(0), d_expand, excited.sum(0),
            None, None,
        )  # fmt: skip


class NormDepthwise(torch.autograd.Function):
    """The depthwise convolution of silu(batch_norm(x)), or of x itself, and the moments of its output."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        norm_weight: Tensor | None,
        norm_bias: Tensor | None,
        weight: Tensor,
        norm: nn.BatchNorm2d | None,
        stride: int,
        pads: tuple[int, int],
        out: tuple[int, int],
    ) -> tuple[Tensor, Tensor]:
        """x (N, C, H, W) with channels last, weight (C, 1, k, k)."""
        x = ops.dense(x)
        s = None if norm is None else ops.statistics(norm, ops.moments(x), x)
        taps = weight.detach().flatten(1).t().contiguous()  # (k * k, C)
        z, moments = ops.depthwise(x, s, taps, stride=stride, pads=pads, out=out)
        ctx.save_for_backward(x, taps, *([] if s is None else [s.scale, s.shift, s.mean, s.inverse]))
        ctx.stride, ctx.pads, ctx.shape = stride, pads, weight.shape
        ctx.mark_non_differentiable(moments)
        return z, moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, of batch norm's weight and bias and of the weight."""
        x, taps, *vectors = ctx.saved_tensors
        s = Statistics(*vectors) if vectors else None
        grad = ops.dense(grad.to(x.dtype))
        dx, weight, partial = ops.depthwise_backward(grad, x, s, taps, stride=ctx.stride, pads=ctx.pads)
        norm_weight = norm_bias = None
        if s is not None:
            dx, norm_weight, norm_bias = ops.norm_backward(dx, x, s, partial, active=False, in_place=True)
        return dx, norm_weight, norm_bias, weight.t().reshape(ctx.shape), None, None, None, None
