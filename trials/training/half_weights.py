"""Weights in half precision, cast together once a step instead of one by one in each forward pass."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from search_spaces.networks.convolution import Convolution
from search_spaces.networks.squeeze_excite import SqueezeExcite
from trials.training.flat_parameters import FlatParameters


class HalfWeights:
    """Copies of those weights and biases that autocast would cast: of convolutions and linear layers.

    Within `used` the network computes with the copies, and gradients are theirs: in half precision, as
    autocast's are before it casts them back.

    Attributes:
        leaves: for each parameter of the vector the tensor that gets its gradient.
    """

    def __init__(self, network: nn.Module, flat: FlatParameters, dtype: torch.dtype) -> None:
        self._values = flat.values
        self._vector = torch.empty_like(flat.values, dtype=dtype)
        self.leaves: list[Tensor] = list(flat.parameters)
        self._places: list[tuple[nn.Module, str, nn.Parameter, nn.Parameter]] = []
        copies: dict[int, nn.Parameter] = {}
        index = {id(parameter): i for i, parameter in enumerate(flat.parameters)}
        for module in _computed_in_half(network, flat.values.device):
            for name, parameter in module.named_parameters(recurse=False):
                if (at := index.get(id(parameter))) is None:
                    continue  # frozen
                begin, _ = flat.values_layout.ranges[at]
                if (copy := copies.get(at)) is None:  # else two layers share it
                    view = self._vector.as_strided(parameter.size(), parameter.stride(), begin)
                    self.leaves[at] = copy = copies[at] = nn.Parameter(view)
                self._places.append((module, name, parameter, copy))

    def refresh(self) -> None:
        """Casts the weights as they are now."""
        self._vector.copy_(self._values)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Gives the network the copies within the block."""
        try:
            for module, name, _, copy in self._places:
                module._parameters[name] = copy
            yield
        finally:
            for module, name, parameter, _ in self._places:
                module._parameters[name] = parameter


def _computed_in_half(network: nn.Module, device: torch.device) -> Iterator[nn.Module]:
    """The layers that autocast computes in half precision.

    On a CPU depthwise convolutions and squeeze-and-excitation compute in float32: they are small, and faster.
    """
    small = {
        id(child)
        for module in network.modules()
        for child in module.children()
        if device.type == "cpu"
        and (isinstance(module, SqueezeExcite) or (isinstance(child, Convolution) and child.is_depthwise))
    }
    for module in network.modules():
        # A user's own layer may do something with its weights before it convolves.
        if type(module) in (Convolution, nn.Conv2d, nn.Linear) and id(module) not in small:
            yield module
