"""ResNet's two blocks, basic and bottleneck, and the stem of published ResNets (He et al. 2016).

This is ResNet v1.5: a bottleneck's 3x3 convolution has the stride; the paper had it in the first 1x1.
"""

from torch import Tensor, nn

from search_spaces.networks.architecture import Block, Padding
from search_spaces.networks.convolution import Convolution
from search_spaces.networks.dropping import StochasticDepth

STEM_KERNEL = 7


class BasicBlock(nn.Module):
    """Two kxk convolutions of equal width; adds the input, or its 1x1 projection, before the last ReLU."""

    def __init__(
        self, block: Block, *, padding: Padding, momentum: float, epsilon: float, droppable: bool
    ) -> None:
        super().__init__()
        width, kernel = block.out_channels, block.kernel_size
        norm = {"momentum": momentum, "epsilon": epsilon}
        self.branch = nn.Sequential(
            Convolution(block.in_channels, width, kernel_size=kernel, stride=block.stride, padding=padding),
            nn.BatchNorm2d(width, eps=epsilon, momentum=momentum),
            nn.ReLU(inplace=True),
            Convolution(width, width, kernel_size=kernel, padding=padding),
            nn.BatchNorm2d(width, eps=epsilon, momentum=momentum),
        )
        self.shortcut = shortcut(block, **norm)
        self.drop: nn.Module = StochasticDepth() if droppable else nn.Identity()
        self.activation = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, H / s, W / s)."""
        branch = self.drop(self.branch(features))  # (N, O, H / s, W / s)
        return self.activation(self.shortcut(features) + branch)


class Bottleneck(nn.Module):
    """Reduce 1x1, convolve kxk, expand 1x1; adds the input, or its 1x1 projection, before the last ReLU."""

    def __init__(
        self, block: Block, *, padding: Padding, momentum: float, epsilon: float, droppable: bool
    ) -> None:
        super().__init__()
        width, norm = block.expanded_channels, {"momentum": momentum, "epsilon": epsilon}
        self.branch = nn.Sequential(
            Convolution(block.in_channels, width, kernel_size=1),
            nn.BatchNorm2d(width, eps=epsilon, momentum=momentum),
            nn.ReLU(inplace=True),
            Convolution(width, width, kernel_size=block.kernel_size, stride=block.stride, padding=padding),
            nn.BatchNorm2d(width, eps=epsilon, momentum=momentum),
            nn.ReLU(inplace=True),
            *projection(width, block.out_channels, stride=1, **norm),
        )
        self.shortcut = shortcut(block, **norm)
        self.drop: nn.Module = StochasticDepth() if droppable else nn.Identity()
        self.activation = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, H / s, W / s)."""
        branch = self.drop(self.branch(features))  # (N, O, H / s, W / s)
        return self.activation(self.shortcut(features) + branch)


def shortcut(block: Block, *, momentum: float, epsilon: float) -> nn.Module:
    """The identity, or a projection where the block's output has another shape than its input."""
    if block.has_residual:
        return nn.Identity()
    return projection(
        block.in_channels, block.out_channels, stride=block.stride, momentum=momentum, epsilon=epsilon
    )


def projection(
    in_channels: int, out_channels: int, *, stride: int, momentum: float, epsilon: float
) -> nn.Sequential:
    """A 1x1 convolution with batch norm and without an activation."""
    return nn.Sequential(
        Convolution(in_channels, out_channels, kernel_size=1, stride=stride),
        nn.BatchNorm2d(out_channels, eps=epsilon, momentum=momentum),
    )


def resnet_stem(channels: int, *, momentum: float, epsilon: float) -> nn.Sequential:
    """A 7x7 convolution and 3x3 max pooling, each with stride 2: a quarter of the side, rounded up twice."""
    return nn.Sequential(
        Convolution(3, channels, kernel_size=STEM_KERNEL, stride=2),
        nn.BatchNorm2d(channels, eps=epsilon, momentum=momentum),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
    )
