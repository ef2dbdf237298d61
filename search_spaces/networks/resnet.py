"""ResNet-50 and ResNet-152 for the paper's comparison: the bottleneck block and the stem.

This is ResNet v1.5: the 3x3 convolution has the stride, not the first 1x1 (He et al. 2016 had it there). No
search space offers the bottleneck.
"""

from torch import Tensor, nn

from search_spaces.networks.architecture import Block, Padding
from search_spaces.networks.convolution import Convolution
from search_spaces.networks.dropping import StochasticDepth

STEM_KERNEL = 7


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
        self.shortcut: nn.Module = nn.Identity()
        if not block.has_residual:
            self.shortcut = projection(block.in_channels, block.out_channels, stride=block.stride, **norm)
        self.drop: nn.Module = StochasticDepth() if droppable else nn.Identity()
        self.activation = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, H / s, W / s)."""
        branch = self.drop(self.branch(features))  # (N, O, H / s, W / s)
        return self.activation(self.shortcut(features) + branch)


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
