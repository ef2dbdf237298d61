"""Puts the kernels into a network: batch norms and blocks are replaced, parameters and their names stay."""

from typing import cast

from torch import Tensor, nn

from search_spaces.networks.blocks import FusedMBConv, MBConv
from search_spaces.networks.dropping import StochasticDepth
from search_spaces.networks.squeeze_excite import SqueezeExcite
from trials.kernels.cuda_norm import KernelBatchNorm2d
from trials.kernels.replaceable import can_replace, foldable_sequences


def use_cuda_kernels(network: nn.Module) -> None:
    """Replaces batch norms; with them SiLU, stochastic depth, squeeze-excite and residuals in blocks of ours.

    Parameters, buffers and the names of a state dict stay, and so do the random draws. Batch norms of another
    class, as those synchronised between devices, and modules with hooks are left alone.
    """
    for sequence in list(foldable_sequences(network)):
        _replace_in_sequence(sequence)
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            # A block of which a part was not replaced stays as it is: its own forward runs all parts.
            if type(child) is MBConv and _ends_in_kernels(child.depthwise, child.project):
                setattr(parent, name, KernelMBConv(child))
            elif (
                type(child) is FusedMBConv
                and _ends_in_kernels(*_sequences(child.branch))
                and _adds_last(child)
            ):
                setattr(parent, name, KernelFusedMBConv(child))
            elif can_replace(child):
                setattr(parent, name, KernelBatchNorm2d(child, activation=False))  # type: ignore[arg-type]


def _replace_in_sequence(sequence: nn.Sequential) -> None:
    """A batch norm followed by SiLU becomes one module, followed by one that does nothing."""
    for i, layer in enumerate(sequence):
        if can_replace(layer):
            activation = i + 1 < len(sequence) and type(sequence[i + 1]) is nn.SiLU
            sequence[i] = KernelBatchNorm2d(layer, activation=activation)  # type: ignore[arg-type]
            if activation:
                sequence[i + 1] = nn.Identity()


def _sequences(branch: nn.Module) -> list[nn.Module]:
    return [part for part in branch.children() if isinstance(part, nn.Sequential)]


def _ends_in_kernels(*parts: nn.Module) -> bool:
    """True if each part is a convolution with a batch norm of ours."""
    return all(
        isinstance(part, nn.Sequential) and len(part) > 1 and isinstance(part[1], KernelBatchNorm2d)
        for part in parts
    )


def _adds_last(block: FusedMBConv) -> bool:
    """True if nothing but the kernels stands between the last convolution and the residual.

    At expansion 1 an activation does, and one that is not SiLU stays torch's.
    """
    return all(type(layer) is nn.Identity for layer in _sequences(block.branch)[-1][2:])  # type: ignore[index]


class _KernelBlock(nn.Module):
    """The parts of a block under their names."""

    expand: nn.Module
    depthwise: nn.Sequential
    squeeze_excite: nn.Module
    project: nn.Sequential
    branch: nn.Module
    drop: nn.Module

    def __init__(self, plain: MBConv | FusedMBConv) -> None:
        super().__init__()
        for name, part in plain.named_children():
            setattr(self, name, part)
        self.has_residual = plain.has_residual
        self.train(plain.training)

    def _projected(self, last: nn.Sequential, branch: Tensor, features: Tensor) -> Tensor:
        """The block's last convolution and batch norm, with stochastic depth and the residual, if any."""
        convolution, norm = last[0], last[1]
        if not self.has_residual:
            return norm(convolution(branch))
        drop = self.drop if isinstance(self.drop, StochasticDepth) else None
        return norm(convolution(branch), features, drop)


class KernelMBConv(_KernelBlock):
    """An MBConv whose squeeze-excite, stochastic depth and residual are in the kernels of its batch norms."""

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, H / s, W / s)."""
        branch = _excited(self.depthwise, self.squeeze_excite, self.expand(features))
        return self._projected(self.project, branch, features)


class KernelFusedMBConv(_KernelBlock):
    """A FusedMBConv of which the same is in the kernels."""

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, H / s, W / s)."""
        *before, last = self.branch.children()
        branch = features
        if len(before) == 2:  # the wide convolution and squeeze-excite
            branch = _excited(before[0], before[1], branch)
        elif before:  # expansion 1: squeeze-excite stands in front
            branch = before[0](branch)
        return self._projected(cast(nn.Sequential, last), branch, features)


def _excited(layer: nn.Module, squeeze_excite: nn.Module, features: Tensor) -> Tensor:
    """Convolution, batch norm, activation and squeeze-excite, or a module that does nothing for the last."""
    convolution, norm = layer[0], layer[1]  # type: ignore[index]
    if not isinstance(squeeze_excite, SqueezeExcite) or not norm.activation:  # another one than SiLU
        return squeeze_excite(layer(features))
    return norm.gated(convolution(features), squeeze_excite)
