"""Squeeze-and-excitation: a gate for each channel of a block."""

import torch
from torch import Tensor, nn

from search_spaces.networks.activations import ACTIVATIONS
from search_spaces.networks.architecture import Block
from search_spaces.networks.convolution import Convolution
from search_spaces.networks.stage_fields import SILU, Activation


class SqueezeExcite(nn.Module):
    """Squeeze-and-excitation (Hu et al. 2018): scales each channel by a gate between 0 and 1.

    Two 1x1 convolutions compute the gates from the channels' means over all pixels, with the block's
    activation between them.
    """

    def __init__(self, channels: int, *, squeeze_channels: int, activation: Activation = SILU) -> None:
        super().__init__()
        self.reduce = Convolution(channels, squeeze_channels, kernel_size=1, bias=True)
        self.activation = ACTIVATIONS[activation]()
        self.expand = Convolution(squeeze_channels, channels, kernel_size=1, bias=True)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        return features * self.gates(features.mean((2, 3), keepdim=True))

    def gates(self, means: Tensor) -> Tensor:
        """The factors of all channels, from their means: (N, C, 1, 1) to the same shape."""
        return torch.sigmoid(self.expand(self.activation(self.reduce(means))))


def squeeze_excite(block: Block) -> SqueezeExcite:
    """The squeeze-excite of a block that has one."""
    return SqueezeExcite(
        block.expanded_channels, squeeze_channels=block.squeeze_channels, activation=block.activation
    )
