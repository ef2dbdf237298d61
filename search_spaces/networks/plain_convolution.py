"""One convolution as a block, without a shortcut: early stages of MobileNetV4 (Qin et al. 2024, Table 11)."""

from torch import Tensor, nn

from search_spaces.networks.architecture import Block, Padding
from search_spaces.networks.convolution import Convolution
from search_spaces.networks.normalised import normalised


class PlainConvolution(nn.Module):
    """A kxk convolution with batch norm and activation; it never adds its input, as MobileNetV4's do not.

    Where shapes allow no shortcut anyway, it is a Fused-MBConv of expansion 1, and built as one
    (`Stage.block`): this class is for the others.
    """

    def __init__(
        self, block: Block, *, padding: Padding, momentum: float, epsilon: float, droppable: bool
    ) -> None:
        super().__init__()
        convolution = Convolution(
            block.in_channels,
            block.out_channels,
            kernel_size=block.kernel_size,
            stride=block.stride,
            padding=padding,
        )
        self.layer = normalised(
            convolution, block.out_channels, momentum=momentum, epsilon=epsilon, activation=block.activation
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, H / s, W / s)."""
        found: Tensor = self.layer(features)
        return found
