"""Synchronised batch norm: statistics over the images of all devices, on gloo, nccl and in CUDA graphs."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from trials.training.device_group import DeviceGroup


class SyncBatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose mean and variance in training are those of all devices' images together.

    Every device must have the same number of images. Evaluation is plain batch norm.
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
        # Running statistics as torch's: the variance is the unbiased one, n / (n - 1) times the batch's.
        images = input.numel() // input.shape[1] * self.group.size
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (images / max(images - 1, 1)), self.momentum)
        return output


def synchronise_batch_norm(network: nn.Module, group: DeviceGroup) -> None:
    """Replaces every batch norm by a synchronised one; parameters, buffers and their names stay."""
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
        """Normalises features (N, C, H, W) of any floating type.

        Returns:
            The result, and the group's mean and variance, (C,) each.
        """
        # Step 1: this device's variance and mean.
        own = torch.stack(torch.var_mean(_exact(features), dim=(0, 2, 3), correction=0))  # (2, C)
        # Step 2: gather all devices' by summing rows that are 0 elsewhere. That is exact and the same on all
        # devices; sums of squares would lose digits by cancellation.
        rows = own.new_zeros(group.size, *own.shape)
        rows[group.rank] = own
        group.sum(rows)
        # Step 3: the mean of means, and the variance within devices plus that between their means.
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
        """The gradients of features, weight and bias, with statistics that depend on all features.

        With x^ the normalised features and g the output's gradient:
            dx = weight / sqrt(variance + eps) * (g - mean(g) - x^ * mean(g * x^)), means over all devices.
        """
        features, weight, mean, scale = ctx.saved_tensors
        gradient = _exact(gradients[0])
        normal = (_exact(features) - _wide(mean)) * _wide(scale)
        own = torch.stack([gradient.sum((0, 2, 3)), (gradient * normal).sum((0, 2, 3))])  # (2, C)
        means = own.clone()
        ctx.group.sum(means)
        means /= features.numel() // features.shape[1] * ctx.group.size
        inner = gradient - _wide(means[0]) - normal * _wide(means[1])
        # Gradients of weight and bias are those of this device's images; the training step sums them.
        return (inner * _wide(weight * scale)).to(features.dtype), own[1], own[0], None, None


def _exact(tensor: Tensor) -> Tensor:
    """The tensor in float32, or in float64 if it is already."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


def _wide(channels: Tensor) -> Tensor:
    """(C,) to (1, C, 1, 1)."""
    return channels.view(1, -1, 1, 1)
