"""MobileNetV4's universal inverted bottleneck where it is more than an MBConv (Qin et al. 2024)."""

from torch import Tensor, nn

from search_spaces.networks.architecture import Block, Padding
from search_spaces.networks.convolution import Convolution
from search_spaces.networks.dropping import StochasticDepth
from search_spaces.networks.normalised import normalised


class UniversalInvertedBottleneck(nn.Module):
    """An inverted bottleneck with a depthwise convolution before its expansion (Qin et al. 2024, Figure 4).

    Start kxk, expand 1x1, depthwise kxk, project 1x1, each with batch norm; only the expansion and the second
    depthwise convolution have an activation. The input is added where shapes allow it. The stride is that of
    the second depthwise convolution where there is one, as in timm.

    The paper's four blocks: with both depthwise convolutions ExtraDW, with the first alone the ConvNeXt-like
    one. With the second alone, or none, it is an MBConv or a feed-forward network; those are built as MBConv
    and as a 1x1 Fused-MBConv, which are the same layers (`Stage.block`).
    """

    def __init__(
        self, block: Block, *, padding: Padding, momentum: float, epsilon: float, droppable: bool
    ) -> None:
        super().__init__()
        width = block.expanded_channels
        norm = {"momentum": momentum, "epsilon": epsilon}
        strides = (1, block.stride) if block.kernel_size else (block.stride, 1)
        start = Convolution(
            block.in_channels,
            block.in_channels,
            kernel_size=block.start_kernel_size,
            stride=strides[0],
            groups=block.in_channels,
            padding=padding,
        )
        self.start = normalised(start, block.in_channels, activation=False, **norm)
        # Kept at expansion 1, where an MBConv has none: the start has no activation of its own.
        expand = Convolution(block.in_channels, width, kernel_size=1)
        self.expand = normalised(expand, width, activation=block.activation, **norm)
        self.depthwise: nn.Module = nn.Identity()
        if block.kernel_size:
            depthwise = Convolution(
                width,
                width,
                kernel_size=block.kernel_size,
                stride=strides[1],
                groups=width,
                padding=padding,
            )
            self.depthwise = normalised(depthwise, width, activation=block.activation, **norm)
        project = Convolution(width, block.out_channels, kernel_size=1)
        self.project = normalised(project, block.out_channels, activation=False, **norm)
        self.has_residual = block.has_residual
        self.drop: nn.Module = StochasticDepth() if droppable and self.has_residual else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, H / s, W / s)."""
        branch = self.expand(self.start(features))  # (N, C * e, H, W); ConvNeXt-like: already H / s
        branch = self.project(self.depthwise(branch))  # (N, O, H / s, W / s)
        return features + self.drop(branch) if self.has_residual else branch
