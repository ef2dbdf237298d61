"""The moving average of a network's weights, with which it is evaluated."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import torch
from torch import Tensor

from trials.training.flat_parameters import FlatParameters


class WeightAverage:
    """Exponential moving average (EMA) of weights and batch-norm statistics, with TensorFlow's ramp.

    average = d * average + (1 - d) * value. The decay d of update t (from 0) is min(decay, (1 + t) / (10 +
    t)): with a constant decay of 0.9999 a short training would hardly leave its initial weights.
    """

    def __init__(self, parameters: FlatParameters, *, decay: float) -> None:
        self.parameters = parameters
        self.decay = decay
        self.values = parameters.values.detach().clone()
        self.statistics = parameters.statistics.detach().clone()
        self.updates = torch.zeros((), device=parameters.values.device)

    @torch.no_grad()
    def update(self) -> None:
        """Adds the network's present weights to the average. Does not wait for the device."""
        decay = ((1 + self.updates) / (10 + self.updates)).clamp(max=self.decay)
        self.values.lerp_(self.parameters.values, 1 - decay)
        self.statistics.lerp_(self.parameters.statistics, 1 - decay)
        self.updates += 1

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Gives the network the averaged weights and statistics within the block."""
        self._swap()
        try:
            yield
        except BaseException:
            with suppress(RuntimeError):  # a device that has failed says so once: by the error that ends this
                self._swap()
            raise
        self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        pairs = (
            (self.values, self.parameters.values),
            (self.statistics, self.parameters.statistics),
        )
        for averaged, live in pairs:
            kept = live.clone()
            live.copy_(averaged)
            averaged.copy_(kept)

    def state(self) -> dict[str, Tensor]:
        """The tensors that an update changes, by name."""
        return {"values": self.values, "statistics": self.statistics, "updates": self.updates}

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Copies a state without gaps into place."""
        self.parameters.values_layout.unpack(state["values"], self.values)
        self.parameters.statistics_layout.unpack(state["statistics"], self.statistics)
        self.updates.copy_(state["updates"])
