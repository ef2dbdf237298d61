"""A convolution with its batch norm and activation, of which blocks, stem and head are made."""

from torch import nn

from search_spaces.networks.activations import ACTIVATIONS
from search_spaces.networks.stage_fields import SILU, Activation


def normalised(
    convolution: nn.Module,
    channels: int,
    *,
    momentum: float,
    epsilon: float,
    activation: Activation | bool,
) -> nn.Sequential:
    """A convolution followed by batch norm and, with `activation`, that one; True is SiLU."""
    layers: list[nn.Module] = [convolution, nn.BatchNorm2d(channels, eps=epsilon, momentum=momentum)]
    if activation:
        layers.append(ACTIVATIONS[SILU if activation is True else activation]())
    return nn.Sequential(*layers)
