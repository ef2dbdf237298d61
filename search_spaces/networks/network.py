"""The torch module of an Architecture: stem, stages, head, classifier and their initialisation."""

import math
from typing import cast

import torch
from torch import Tensor, nn

from search_spaces.networks.architecture import Architecture, Kind, Padding
from search_spaces.networks.blocks import op_class
from search_spaces.networks.convolution import Convolution
from search_spaces.networks.dropping import Dropout, StochasticDepth
from search_spaces.networks.normalised import normalised
from search_spaces.networks.resnet import resnet_stem
from search_spaces.networks.stage_fields import Activation

BATCH_NORM_EPSILON = 1e-3


class Network(nn.Module):
    """A classifier: images (N, 3, H, W) to logits (N, K)."""

    def __init__(
        self,
        architecture: Architecture,
        *,
        num_classes: int,
        droppable_branches: bool,
        droppable_head: bool,
        momentum: float,
        epsilon: float,
    ) -> None:
        super().__init__()
        blocks = list(architecture.blocks())
        self.stem = build_stem(
            architecture.stem_channels,
            stride=architecture.stem_stride,
            padding=architecture.padding,
            kind=architecture.kind,
            activation=architecture.activation,
            momentum=momentum,
            epsilon=epsilon,
        )
        built = iter(
            op_class(block.op)(
                block,
                padding=architecture.padding,
                momentum=momentum,
                epsilon=epsilon,
                droppable=droppable_branches and i > 0,  # the first block's rate is always 0
            )
            for i, block in enumerate(blocks)
        )
        # A stage of 0 layers is an empty Sequential, so that stages keep their numbers.
        self.stages = nn.Sequential(
            *(nn.Sequential(*(next(built) for _ in range(stage.layers))) for stage in architecture.stages)
        )
        self.head = build_head(
            blocks[-1].out_channels,
            architecture.head_channels,
            kind=architecture.kind,
            activation=architecture.activation,
            momentum=momentum,
            epsilon=epsilon,
        )
        self.dropout: nn.Module = Dropout() if droppable_head else nn.Identity()
        # Weights uniform within 1 / sqrt(K) and biases 0, as in the official code.
        self.classifier = nn.Linear(architecture.head_channels, num_classes)
        bound = 1 / math.sqrt(num_classes)
        nn.init.uniform_(self.classifier.weight, -bound, bound)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) to logits (N, K)."""
        features = self.stages(self.stem(images))  # (N, C, H / t, W / t), t the total stride
        features = self.head(features).mean((2, 3))  # (N, head_channels)
        return cast(Tensor, self.classifier(self.dropout(features)))  # (N, K)

    def blocks(self) -> list[nn.Module]:
        """The blocks of all stages, in the order in which they compute."""
        return [block for stage in self.stages.children() for block in stage.children()]

    @torch.no_grad()
    def set_strengths(self, *, dropout: float, stochastic_depth: float) -> None:
        """Sets the drop rates in place, in [0, 1).

        The head gets `dropout`; block i of N (from 0) gets `stochastic_depth` * i / N, so that deeper blocks
        are dropped more often (Huang et al. 2016; the official code).

        Raises:
            ValueError: a dropout above 0 for a network that was built without dropout.
        """
        if isinstance(self.dropout, Dropout):
            self.dropout.drop_rate.fill_(dropout)
        elif dropout > 0:
            raise ValueError(f"dropout {dropout:g}: this network was built without dropout (a rate of 0)")
        blocks = self.blocks()
        for i, block in enumerate(blocks):
            for part in block.modules():
                if isinstance(part, StochasticDepth):
                    part.drop_rate.fill_(stochastic_depth * i / len(blocks))


def build_stem(
    channels: int,
    *,
    stride: int,
    padding: Padding,
    kind: Kind,
    activation: Activation,
    momentum: float,
    epsilon: float,
) -> nn.Sequential:
    """The layers before the first stage: images (N, 3, H, W) to (N, channels, H / stride, W / stride)."""
    if kind == "resnet":
        return resnet_stem(channels, momentum=momentum, epsilon=epsilon)
    convolution = Convolution(3, channels, kernel_size=3, stride=stride, padding=padding)
    return normalised(convolution, channels, momentum=momentum, epsilon=epsilon, activation=activation)


def build_head(
    in_channels: int, channels: int, *, kind: Kind, activation: Activation, momentum: float, epsilon: float
) -> nn.Module:
    """The layers between the last stage and the mean over all pixels; ResNets have none."""
    if kind == "resnet":
        return nn.Identity()
    convolution = Convolution(in_channels, channels, kernel_size=1)
    return normalised(convolution, channels, momentum=momentum, epsilon=epsilon, activation=activation)


def build_network(
    architecture: Architecture,
    *,
    num_classes: int,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
    batch_norm_momentum: float = 0.1,
    batch_norm_epsilon: float = BATCH_NORM_EPSILON,
) -> Network:
    """A network with fresh weights from torch's current seed, on torch's current device.

    On the `meta` device it costs no memory. A drop rate of 0 here leaves the module for it out, so that rate
    cannot be raised later. Batch-norm momentum is torch's, 1 - TensorFlow's: 0.01 is the paper's 0.99, 0.1
    the official V2 code's 0.9.

    Raises:
        ValueError: fewer than two classes.
    """
    if num_classes < 2:
        raise ValueError(f"num_classes is {num_classes}; a classifier needs at least 2")
    network = Network(
        architecture,
        num_classes=num_classes,
        droppable_branches=stochastic_depth > 0,
        droppable_head=dropout > 0,
        momentum=batch_norm_momentum,
        epsilon=batch_norm_epsilon,
    )
    if not network.classifier.weight.is_meta:
        network.set_strengths(dropout=dropout, stochastic_depth=stochastic_depth)
    return network
