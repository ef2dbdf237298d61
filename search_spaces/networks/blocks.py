"""MBConv and Fused-MBConv, and the table of all ops.

Semantics are the official EfficientNetV2 code's: an MBConv of expansion 1 has no expansion convolution, a
Fused-MBConv of expansion 1 is one convolution, and squeeze widths follow from the block's input channels.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol

from torch import Tensor, nn

from search_spaces.networks.architecture import Block, Padding
from search_spaces.networks.convnext import ConvNeXtBlock
from search_spaces.networks.convolution import Convolution
from search_spaces.networks.dropping import StochasticDepth
from search_spaces.networks.normalised import normalised
from search_spaces.networks.ops import is_own_op
from search_spaces.networks.own_modules import own_class
from search_spaces.networks.plain_convolution import PlainConvolution
from search_spaces.networks.resnet import BasicBlock, Bottleneck
from search_spaces.networks.squeeze_excite import squeeze_excite
from search_spaces.networks.uib import UniversalInvertedBottleneck


class MBConv(nn.Module):
    """Inverted residual block of MobileNetV2 and EfficientNet, the paper's Figure 2 on the left.

    Expand 1x1, depthwise kxk, squeeze-excite, project 1x1; the input is added where shapes allow it.
    """

    def __init__(
        self, block: Block, *, padding: Padding, momentum: float, epsilon: float, droppable: bool
    ) -> None:
        super().__init__()
        width = block.expanded_channels
        norm = {"momentum": momentum, "epsilon": epsilon}
        # Expansion 1: the official code leaves the convolution out, and so do the published weights.
        self.expand: nn.Module = nn.Identity()
        if width != block.in_channels:
            expand = Convolution(block.in_channels, width, kernel_size=1)
            self.expand = normalised(expand, width, activation=block.activation, **norm)
        depthwise = Convolution(
            width, width, kernel_size=block.kernel_size, stride=block.stride, groups=width, padding=padding
        )
        self.depthwise = normalised(depthwise, width, activation=block.activation, **norm)
        self.squeeze_excite: nn.Module = nn.Identity()
        if block.squeeze_channels:
            self.squeeze_excite = squeeze_excite(block)
        project = Convolution(width, block.out_channels, kernel_size=1)
        self.project = normalised(project, block.out_channels, activation=False, **norm)
        self.has_residual = block.has_residual
        self.drop: nn.Module = StochasticDepth() if droppable and self.has_residual else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, H / s, W / s)."""
        branch = self.expand(features)  # (N, C * e, H, W)
        branch = self.squeeze_excite(self.depthwise(branch))  # (N, C * e, H / s, W / s)
        branch = self.project(branch)  # (N, O, H / s, W / s)
        return features + self.drop(branch) if self.has_residual else branch


class FusedMBConv(nn.Module):
    """MBConv with one full kxk convolution for expansion and depthwise (the paper's Figure 2, right).

    Expand kxk, squeeze-excite, project 1x1. With expansion 1 there is one kxk convolution, and a
    squeeze-excite stands before it, as in the official code. The input is added where shapes allow it.
    """

    def __init__(
        self, block: Block, *, padding: Padding, momentum: float, epsilon: float, droppable: bool
    ) -> None:
        super().__init__()
        width = block.expanded_channels
        norm = {"momentum": momentum, "epsilon": epsilon}
        squeeze: nn.Module = nn.Identity()
        if block.squeeze_channels:
            squeeze = squeeze_excite(block)
        one_convolution = width == block.in_channels
        first_out = block.out_channels if one_convolution else width
        first = Convolution(
            block.in_channels, first_out, kernel_size=block.kernel_size, stride=block.stride, padding=padding
        )
        fused = normalised(first, first_out, activation=block.activation, **norm)
        if one_convolution:
            self.branch = nn.Sequential(squeeze, fused)
        else:
            project = Convolution(width, block.out_channels, kernel_size=1)
            projected = normalised(project, block.out_channels, activation=False, **norm)
            self.branch = nn.Sequential(fused, squeeze, projected)
        self.has_residual = block.has_residual
        self.drop: nn.Module = StochasticDepth() if droppable and self.has_residual else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, H / s, W / s)."""
        branch = self.branch(features)  # (N, O, H / s, W / s)
        return features + self.drop(branch) if self.has_residual else branch


class BuildBlock(Protocol):
    """An op: its class, which builds blocks that take (N, C, H, W) to (N, O, ceil(H / s), ceil(W / s))."""

    def __call__(
        self, block: Block, *, padding: Padding, momentum: float, epsilon: float, droppable: bool
    ) -> nn.Module:
        """The module; where `droppable`, a residual branch ends in a StochasticDepth."""
        ...

    def __hash__(self) -> int:
        """A block's figures are kept by its op."""
        ...


# All ops by name. What is put here is built, counted, timed and trained from then on.
BLOCKS: dict[str, BuildBlock] = {
    "mbconv": MBConv,
    "fused_mbconv": FusedMBConv,
    "uib": UniversalInvertedBottleneck,
    "convnext": ConvNeXtBlock,
    "basic": BasicBlock,
    "bottleneck": Bottleneck,
    "conv": PlainConvolution,
}
SHIPPED: Mapping[str, BuildBlock] = dict(BLOCKS)


def op_class(op: str) -> BuildBlock:
    """The class of an op's blocks; one of the user's own is imported, if its package is trusted.

    Raises:
        ConfigError: it is not, or there is no such class.
    """
    return own_class(op) if is_own_op(op) else BLOCKS[op]


def own_ops(ops: Iterable[str]) -> list[str]:
    """The user's own ops among these, sorted: new names, and shipped names with another class."""
    return sorted({op for op in ops if op not in SHIPPED or BLOCKS[op] is not SHIPPED[op]})
