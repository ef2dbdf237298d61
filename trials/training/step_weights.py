"""The weights that a step on CUDA computes with: cast once, and without an addition for each one's gradient.

Autocast casts each weight by a kernel of its own, and each gradient back by another; autograd then adds each
gradient to where it belongs. In a small network that is a third of all kernels. Here one kernel casts the
vector of all weights, autograd keeps the gradients as it finds them, and a few kernels gather them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from search_spaces.networks.convolution import Convolution
from trials.training.flat_parameters import FlatParameters

# Modules whose weights autocast casts as they are. Others, as users' own, may compute with them before.
CAST = (Convolution, nn.Conv2d, nn.Linear)


class StepWeights:
    """Stand-ins for a network's parameters while it computes.

    They share the memory of the parameters, or are views of a copy of all values in half precision.

    Args:
        half: the type of half precision that autocast casts to; None: there is no autocast.
    """

    def __init__(self, network: nn.Module, parameters: FlatParameters, half: torch.dtype | None) -> None:
        self._parameters = parameters
        self._half = None if half is None else torch.empty_like(parameters.values, dtype=half)
        self._places: list[tuple[nn.Module, str, nn.Parameter]] = []
        self._own: list[nn.Parameter] = []
        self._gradients: list[Tensor] = []  # views of the flat vector
        self._gathered = False
        known: dict[int, nn.Parameter] = {}  # of those that several modules share
        for module in network.modules():
            cast = self._half if type(module) in CAST else None
            for name, parameter in module.named_parameters(recurse=False):
                if not parameter.requires_grad:
                    continue
                if id(parameter) not in known:
                    known[id(parameter)] = _stand_in(parameter, cast)
                    self._own.append(known[id(parameter)])
                    assert parameter.grad is not None, "gradients are views of the flat vector"
                    self._gradients.append(parameter.grad)
                self._places.append((module, name, known[id(parameter)]))

    def refresh(self) -> None:
        """Begins a step: casts all weights; the next gradients replace those of the step before."""
        self._gathered = False
        if self._half is not None:
            self._half.copy_(self._parameters.values)

    @contextmanager
    def used(self) -> Iterator[None]:
        """The network computes with the stand-ins within the block, of which the backward pass needs none."""
        kept = [module._parameters[name] for module, name, _ in self._places]
        for module, name, stand_in in self._places:
            module._parameters[name] = stand_in
        try:
            yield
        finally:
            for (module, name, _), parameter in zip(self._places, kept, strict=True):
                module._parameters[name] = parameter

    @torch.no_grad()
    def gather(self) -> None:
        """Brings the gradients of a backward pass into the flat vector; adds those of further parts."""
        by_type: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
        for stand_in, place in zip(self._own, self._gradients, strict=True):
            if stand_in.grad is None:
                continue  # its place holds zeros, or the sum of the parts before
            places, found = by_type.setdefault(stand_in.grad.dtype, ([], []))
            places.append(place)
            found.append(stand_in.grad)
            stand_in.grad = None
        for places, found in by_type.values():
            _combine(places, found, adds=self._gathered)
        self._gathered = True


def _stand_in(parameter: nn.Parameter, cast: Tensor | None) -> nn.Parameter:
    """A parameter over the same memory, or over the same place of a vector in another type."""
    if cast is None:
        return nn.Parameter(parameter.detach())
    begin = parameter.storage_offset()
    return nn.Parameter(cast.as_strided(parameter.size(), parameter.stride(), begin))


def _combine(places: Sequence[Tensor], found: Sequence[Tensor], *, adds: bool) -> None:
    """Copies or adds tensors of one type to their places, in one kernel for some dozens of them."""
    if adds:
        torch._foreach_add_(list(places), list(found))
    else:
        torch._foreach_copy_(list(places), list(found))
