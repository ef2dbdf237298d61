"""Batch norm over the batches of all devices: their sums are reduced, on gloo as on nccl, and in graphs."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from trials.training.device_group import DeviceGroup


class SyncBatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose mean and variance while training are those of all devices' images together.

    Every device must have as many images. Judging is plain batch norm.
    """

    def __init__(self, plain: nn.BatchNorm2d, group: DeviceGroup) -> None:
        super().__init__(plain.num_features, eps=plain.eps, momentum=plain.momentum)
        self.weight, self.bias = plain.weight, plain.bias
        for name, buffer in plain.named_buffers():
            setattr(self, name, buffer)
        self.group = group

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        if not self.training or self.group.size == 1:
            return super().forward(input)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        output, mean, variance = _Normalise.apply(input, self.weight, self.bias, self.eps, self.group)
        images = input.numel() // input.shape[1] * self.group.size
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (images / max(images - 1, 1)), self.momentum)
        return output


def synchronise_batch_norm(network: nn.Module, group: DeviceGroup) -> None:
    """Replaces every batch norm by one over the group; parameters, buffers and their names stay."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.BatchNorm2d:
                setattr(parent, name, SyncBatchNorm2d(child, group).train(child.training))


class _Normalise(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps) * weight + bias with the group's mean and variance, in float32."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, epsilon: float, group: DeviceGroup
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Features (N, C, H, W) of any floating type; also returns the group's mean and variance (C,)."""
        own = torch.stack(torch.var_mean(_exact(features), dim=(0, 2, 3), correction=0))  # (2, C)
        # A row for each device, so that the sum adds zeros alone: all have the same, and nothing cancels.
        rows = own.new_zeros(group.size, *own.shape)
        rows[group.rank] = own
        group.sum(rows)
        mean = rows[:, 1].mean(0)
        variance = rows[:, 0].mean(0) + (rows[:, 1] - mean).square().mean(0)
        output = functional.batch_norm(features, mean, variance, weight, bias, training=False, eps=epsilon)
        ctx.save_for_backward(features, weight, mean, (variance + epsilon).rsqrt())
        ctx.group = group
        ctx.mark_non_differentiable(mean, variance)
        return output, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, mean, scale = ctx.saved_tensors
        gradient = _exact(gradients[0])
        normal = (_exact(features) - _wide(mean)) * _wide(scale)
        own = torch.stack([gradient.sum((0, 2, 3)), (gradient * normal).sum((0, 2, 3))])  # (2, C)
        means = own.clone()
        ctx.group.sum(means)
        means /= features.numel() // features.shape[1] * ctx.group.size
        inner = gradient - _wide(means[0]) - normal * _wide(means[1])
        # Of weight and bias each device has its own images' share, which the step adds up.
        return (inner * _wide(weight * scale)).to(features.dtype), own[1], own[0], None, None


def _exact(tensor: Tensor) -> Tensor:
    """float32, or float64 where it is that."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


def _wide(channels: Tensor) -> Tensor:
    """(C,) to (1, C, 1, 1)."""
    return channels.view(1, -1, 1, 1)
