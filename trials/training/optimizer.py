"""The interface of optimizers: updates of a network's flat parameters that stay on the device."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from trials.training.flat_parameters import SINGLE, FlatParameters, Layout


class Optimizer(ABC):
    """Updates flat parameters from their gradients; its state is tensors that stay in place."""

    def __init__(self, parameters: FlatParameters) -> None:
        self.parameters = parameters

    @abstractmethod
    def step(self, learning_rate: Tensor, *, skipped: Tensor | None = None) -> None:
        """One update in place; the learning rate is a 0-dim tensor on the device. May change the gradients.

        Where the 0-dim tensor `skipped` is 1 instead of 0, nothing but the gradients changes. The host never
        knows.
        """

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """The tensors that a step changes, by name."""

    def layout(self, name: str) -> Layout:
        """The layout of a tensor of the state; default: that of the parameters, for vectors."""
        return self.parameters.values_layout if self.state()[name].dim() else SINGLE

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Copies a state without gaps into place."""
        for name, tensor in self.state().items():
            self.layout(name).unpack(state[name], tensor)
