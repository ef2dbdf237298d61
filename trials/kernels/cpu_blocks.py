"""Blocks that compute as the plain ones do, with fused work between their convolutions."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from search_spaces.networks.blocks import FusedMBConv, MBConv
from search_spaces.networks.convolution import Convolution, is_traced
from search_spaces.networks.dropping import StochasticDepth
from search_spaces.networks.squeeze_excite import SqueezeExcite
from trials.kernels import cpu_ops as ops
from trials.kernels.cpu_norm import NormActivation, NormDepthwise, NormSqueezeExcite
from trials.kernels.replaceable import can_replace, foldable_sequences, has_hooks

# The parts of a block that the kernels compute
COMPUTED = (Convolution, nn.BatchNorm2d, nn.SiLU, StochasticDepth, nn.Identity)


def use_cpu_kernels(network: nn.Module) -> None:
    """Makes a network's blocks compute with the kernels where they can; tensors, names and hooks stay."""
    for sequence in foldable_sequences(network):
        if _is_normalised(sequence):
            sequence.__class__ = QuickNormalised
    for module in network.modules():
        if type(module) is MBConv and _has_kernels(module):
            module.__class__ = QuickMBConv
        elif type(module) is FusedMBConv and _has_kernels(module):
            module.__class__ = QuickFusedMBConv
        elif can_replace(module):  # of other blocks; those above compute theirs themselves
            module.__class__ = QuickBatchNorm2d


@contextmanager
def as_torch(network: nn.Module) -> Iterator[None]:
    """Makes a network compute with torch's kernels alone within the block."""
    fused = [module for module in network.modules() if type(module) in PLAIN]
    classes = [type(module) for module in fused]
    for module in fused:
        module.__class__ = PLAIN[type(module)]
    try:
        yield
    finally:
        for module, own in zip(fused, classes, strict=True):
            module.__class__ = own


def _is_normalised(layers: nn.Sequential) -> bool:
    """True for a convolution with batch norm and, at most, SiLU."""
    kinds = [type(layer) for layer in layers]
    return (
        kinds[:2] == [Convolution, nn.BatchNorm2d] and kinds[2:] in ([], [nn.SiLU]) and can_replace(layers[1])
    )


def _has_kernels(block: MBConv | FusedMBConv) -> bool:
    """True if a block has plain norms, SiLU, a depthwise convolution of the kernels' sizes, and no hooks."""
    if has_hooks(block) or not all(can_replace(m) for m in block.modules() if isinstance(m, nn.BatchNorm2d)):
        return False
    if not all(type(part) in COMPUTED for part in block.modules() if not any(part.children())):
        return False  # of another activation, also between the convolutions of its squeeze-excite
    if isinstance(block, FusedMBConv):
        return True
    layer = cast(Convolution, block.depthwise[0])
    return (
        layer.kernel_size in {(size, size) for size in ops.KERNEL_SIZES}
        and layer.stride in {(stride, stride) for stride in ops.STRIDES}
        and layer.in_channels % ops.CHANNELS == 0
    )


def _can_run(features: Tensor, module: nn.Module, *, stride: int = 1) -> bool:
    """True where the kernels compute what torch would: else torch computes, or refuses.

    Args:
        module: all of whose parts must be in the same mode.
        stride: of the least pixels that a norm sees against those of the features.
    """
    height, width = (-(-side // stride) for side in features.shape[2:])
    return (
        features.device.type == "cpu"
        and features.dtype in ops.NAMES
        and (not torch.is_autocast_enabled("cpu") or torch.get_autocast_dtype("cpu") in ops.NAMES)
        and (module.training or not torch.is_grad_enabled())
        and features.shape[0] * height * width > 1  # one value has no variance
        and all(part.training == module.training for part in module.modules())
        and all(parameter.dtype == torch.float32 for parameter in _affine(module))
        and not is_traced()
    )


def _affine(module: nn.Module) -> Iterator[Tensor]:
    """Weights and biases of a module's norms."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            yield from (part.weight, part.bias)


def _normalised(
    z: Tensor,
    norm: nn.BatchNorm2d,
    *,
    active: bool,
    moments: Tensor | None = None,
    residual: Tensor | None = None,
    factor: Tensor | None = None,
) -> Tensor:
    """residual + factor * act(norm(z))."""
    if norm.training:
        return cast(
            Tensor,
            NormActivation.apply(z, norm.weight, norm.bias, residual, factor, norm, moments, active),
        )
    if residual is not None:
        residual = ops.dense(residual.to(z.dtype))
    return ops.apply(ops.dense(z), ops.running_statistics(norm), active=active, residual=residual)


def _excited(z: Tensor, norm: nn.BatchNorm2d, squeeze: nn.Module, moments: Tensor | None = None) -> Tensor:
    """The activations of z, through squeeze-and-excitation where the block has it."""
    if not isinstance(squeeze, SqueezeExcite):
        return _normalised(z, norm, active=True, moments=moments)
    reduce, expand = squeeze.reduce, squeeze.expand
    if norm.training:
        tensors = (norm.weight, norm.bias, reduce.weight, reduce.bias, expand.weight, expand.bias)
        return cast(Tensor, NormSqueezeExcite.apply(z, *tensors, norm, moments))
    z, statistics = ops.dense(z), ops.running_statistics(norm)
    gates = squeeze.gates(ops.pool(z, statistics)[:, :, None, None])  # (N, C, 1, 1)
    return ops.apply(z, statistics, active=True, factor=gates.flatten(1).float())


def _joined(
    z: Tensor, norm: nn.BatchNorm2d, features: Tensor, block: MBConv | FusedMBConv, *, active: bool
) -> Tensor:
    """The block's output from its last convolution's: with the input added where shapes allow it."""
    if not block.has_residual:
        return _normalised(z, norm, active=active)
    factor = None
    if isinstance(block.drop, StochasticDepth) and norm.training:
        factor = block.drop.factors(z).flatten(1).expand(z.shape[:2]).contiguous()
    return _normalised(z, norm, active=active, residual=features, factor=factor)


class QuickBatchNorm2d(nn.BatchNorm2d):
    """A batch norm by itself."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        if input.dim() != 4 or not _can_run(input, self):
            return super().forward(input)
        return _normalised(input, self, active=False)


class QuickNormalised(nn.Sequential):
    """A convolution with batch norm and, if there is a third layer, SiLU."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, H / s, W / s)."""
        convolution, norm, *activation = self
        z = convolution(input)
        if z.dim() == 4 and _can_run(z, self):
            return _normalised(z, cast(nn.BatchNorm2d, norm), active=bool(activation))
        for layer in (norm, *activation):
            z = layer(z)
        return cast(Tensor, z)


class QuickMBConv(MBConv):
    """MBConv whose expansion's norm and activation are computed as the depthwise convolution reads them."""

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, H / s, W / s)."""
        depthwise = cast(Convolution, self.depthwise[0])
        if not _can_run(features, self, stride=depthwise.stride[0]):
            return super().forward(features)
        x, norm = features, None
        if isinstance(self.expand, nn.Sequential):
            x, norm = self.expand[0](features), _norm(self.expand)
        inner, last = _norm(self.depthwise), _norm(self.project)
        z, moments = _depthwise(x, norm, depthwise)
        branch = self.project[0](_excited(z, inner, self.squeeze_excite, moments))
        return _joined(branch, last, features, self, active=False)


def _depthwise(x: Tensor, norm: nn.BatchNorm2d | None, layer: Convolution) -> tuple[Tensor, Tensor]:
    """The depthwise convolution of the activations of x, or of x itself, and its output's moments."""
    height, width = x.shape[2:]
    stride, pads = layer.stride[0], layer.pads_before(height, width)
    out = (-(-height // stride), -(-width // stride))
    if layer.training:
        weight, bias = (None, None) if norm is None else (norm.weight, norm.bias)
        return cast(
            tuple[Tensor, Tensor],
            NormDepthwise.apply(x, weight, bias, layer.weight, norm, stride, pads, out),
        )
    statistics = None if norm is None else ops.running_statistics(norm)
    taps = layer.weight.detach().flatten(1).t().contiguous()
    return ops.depthwise(ops.dense(x), statistics, taps, stride=stride, pads=pads, out=out)


class QuickFusedMBConv(FusedMBConv):
    """Fused-MBConv with fused work between its convolutions."""

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, H / s, W / s)."""
        squeeze_first = len(self.branch) == 2
        first = cast(nn.Sequential, self.branch[1 if squeeze_first else 0])
        convolution = cast(Convolution, first[0])
        if not _can_run(features, self, stride=convolution.stride[0]):
            return super().forward(features)
        if squeeze_first:
            z = convolution(self.branch[0](features))
            return _joined(z, _norm(first), features, self, active=True)
        last = cast(nn.Sequential, self.branch[2])
        branch = last[0](_excited(convolution(features), _norm(first), self.branch[1]))
        return _joined(branch, _norm(last), features, self, active=False)


def _norm(layers: nn.Sequential) -> nn.BatchNorm2d:
    """The norm behind a convolution."""
    return cast(nn.BatchNorm2d, layers[1])


PLAIN: dict[type[nn.Module], type[nn.Module]] = {
    QuickBatchNorm2d: nn.BatchNorm2d,
    QuickNormalised: nn.Sequential,
    QuickMBConv: MBConv,
    QuickFusedMBConv: FusedMBConv,
}
