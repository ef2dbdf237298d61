"""The activations of blocks, stem and head as torch modules."""

from collections.abc import Callable, Mapping

from torch import nn

from search_spaces.networks.stage_fields import Activation

# ReLUs are computed in place, because their gradient needs only the output. For the others autograd would
# copy the input first.
ACTIVATIONS: Mapping[Activation, Callable[[], nn.Module]] = {
    "silu": nn.SiLU,
    "relu": lambda: nn.ReLU(inplace=True),
    "relu6": lambda: nn.ReLU6(inplace=True),
    "hard_swish": nn.Hardswish,
    "gelu": nn.GELU,
}
