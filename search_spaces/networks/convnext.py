"""ConvNeXt's block (Liu et al. 2022, "A ConvNet for the 2020s", Figure 4), with its downsampling."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.networks.architecture import Block, Padding
from search_spaces.networks.convolution import Convolution
from search_spaces.networks.dropping import StochasticDepth

EPSILON = 1e-6  # of layer norms, as in the paper's code


class ConvNeXtBlock(nn.Module):
    """Depthwise kxk, layer norm, 1x1 to `expansion_ratio` times the channels, GELU, 1x1; all with biases.

    Layer scale multiplies each channel of the branch by a weight of its own, and the input is always added.
    As in the paper, a layer norm and a 2x2 convolution of stride 2 come before the first block of a stage of
    stride 2; they are a part of that block here. Where a stage has other channels but no stride, the
    convolution is 1x1, as in timm. An odd side gets a row and a column of zeros at its end, so that it
    becomes ceil(side / 2) as in all other blocks.

    Weights begin as those of all blocks here, and layer scale at 1. The paper's beginning, weights of a
    deviation of 0.02 and a scale of 1e-6, is one for 300 epochs: trials are short, and a small network had
    0.88 of the digits right with it after 8 epochs, and 0.99 with this one (docs/spaces.md).
    """

    def __init__(
        self, block: Block, *, padding: Padding, momentum: float, epsilon: float, droppable: bool
    ) -> None:
        super().__init__()
        channels = block.out_channels
        self.downsample: nn.Module = nn.Identity()
        if not block.has_residual:
            self.downsample = nn.Sequential(
                LayerNorm2d(block.in_channels), _resampling(block.in_channels, channels, block.stride)
            )
        self.depthwise = Convolution(
            channels,
            channels,
            kernel_size=block.kernel_size,
            groups=channels,
            bias=True,
            padding=padding,
        )
        self.norm = LayerNorm2d(channels)
        self.expand = Convolution(channels, block.expanded_channels, kernel_size=1, bias=True)
        self.activation = nn.GELU()
        self.project = Convolution(block.expanded_channels, channels, kernel_size=1, bias=True)
        self.layer_scale = nn.Parameter(torch.ones(channels))
        self.drop: nn.Module = StochasticDepth() if droppable else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, H / s, W / s)."""
        features = self.downsample(features)  # (N, O, H / s, W / s)
        branch = self.norm(self.depthwise(features))
        branch = self.project(self.activation(self.expand(branch)))  # by way of (N, O * e, H / s, W / s)
        # Trained scales may be small: scaled in float32, and added in the precision of the features.
        branch = (branch * self.layer_scale[:, None, None]).to(features.dtype)
        added: Tensor = features + self.drop(branch)
        return added


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of each pixel.

    In memory with channels last these lie side by side: nothing is copied.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPSILON)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape, with channels last."""
        pixels = input.permute(0, 2, 3, 1)  # (N, H, W, C)
        found = functional.layer_norm(pixels, self.normalized_shape, self.weight, self.bias, self.eps)
        return found.permute(0, 3, 1, 2)


def _resampling(in_channels: int, out_channels: int, stride: int) -> Convolution:
    """The convolution between stages: as large as its stride, so that no pixel is read twice."""
    return Convolution(
        in_channels, out_channels, kernel_size=stride, stride=stride, bias=True, padding="same"
    )
