"""A new network's training begins from a trained one's weights, averages and optimizer, by a weight map.

New values are those of the new network as it was built, so that its seed gives them.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from search_spaces.inheritance.transfer import WeightTransfer
from search_spaces.inheritance.weight_maps import WeightMap
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import on_meta
from search_spaces.networks.network import Network
from trials.recipe import Recipe
from trials.training.build_optimizer import build_optimizer
from trials.training.flat_parameters import FlatParameters, Layout
from trials.training.recipe_network import network_for
from trials.training.step import OPTIMIZER, TrainingStep

KEEPS_AVERAGE = 0.9  # share of the function that is kept, from which on the average of the past is of use
AVERAGE, SCALER = "average.", "scaler."  # begin the names of their parts of a state


def inherit(step: TrainingStep, weight_map: WeightMap, state: Mapping[str, Tensor], recipe: Recipe) -> None:
    """Replaces the state of a new network's step by the parent's, as far as the map carries it.

    - Weights and statistics, and their averages, follow the map. Where nearly all of the function is kept,
      the average goes on as the parent's would; elsewhere its ramp begins anew, so that it forgets its first
      weights within some steps.
    - Momentum and second moments go where their weights go. Those of weights that are new or computed begin
      as in a new training, except that Adam's second moments begin at the mean of the parent's: Adam corrects
      the bias of all entries by the steps so far, so that zeros would make new ones' first steps too long.

    Args:
        step: of the child, as `build_step` makes it; not one that has trained.
        state: of the parent's step, as `TrainingStep.state` gives it and a checkpoint holds it.
        recipe: of both trainings.

    Raises:
        ValueError: the state is not that of the map's parent and this recipe, or the step is not the child's.
    """
    # Step 1: both networks' tensors by name, on the CPU.
    parent = _FlatNetwork(weight_map.parent, recipe, weight_map.parent_classes, step.precision)
    child = _FlatNetwork(weight_map.child, recipe, weight_map.num_classes, step.precision)
    own = {name: tensor.cpu() for name, tensor in step.state().items()}
    state = {name: tensor.cpu() for name, tensor in state.items()}
    averaged = step.average is not None
    parent.check(state, "the parent's state", averaged=averaged)
    child.check(own, "the child's state", averaged=averaged)
    # Step 2: weights first, by which the transfer chooses, then their averages and the optimizer's tensors.
    transfer = WeightTransfer(weight_map)
    new = dict(own)
    for prefix in ("", AVERAGE) if averaged else ("",):
        values, statistics = f"{prefix}values", f"{prefix}statistics"
        weights = transfer.weights(
            parent.weights(state[values], state[statistics]), child.weights(own[values], own[statistics])
        )
        new[values], new[statistics] = child.packed(weights)
    for name in child.optimizer.state():
        key = OPTIMIZER + name
        if not own[key].dim():
            new[key] = state[key]
            continue
        fill = float(state[key].mean()) if _corrects_bias(name, child.optimizer.state()) else None
        named = transfer.state(parent.moments(name, state[key]), child.moments(name, own[key]), fill=fill)
        new[key] = child.packed_moments(name, named)
    if averaged and weight_map.kept >= KEEPS_AVERAGE:
        new[f"{AVERAGE}updates"] = state[f"{AVERAGE}updates"]
    new |= {name: state[name] for name in own if name.startswith(SCALER) and name in state}
    step.load({name: tensor.to(step.device) for name, tensor in new.items()})


def _corrects_bias(name: str, optimizer: Mapping[str, Tensor]) -> bool:
    return name == "mean_square" and "steps" in optimizer


class _FlatNetwork:
    """A network of a recipe without values: the places of its tensors in the vectors of a state."""

    def __init__(self, architecture: Architecture, recipe: Recipe, num_classes: int, precision: str) -> None:
        described = on_meta(lambda: network_for(architecture, recipe, num_classes=num_classes))
        network: Network = described.to_empty(device="cpu").to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = build_optimizer(network, recipe, precision=precision, fused=False)
        self.flat: FlatParameters = self.optimizer.parameters
        names = {id(tensor): name for name, tensor in network.named_parameters()}
        self._parameters = [names[id(parameter)] for parameter in self.flat.parameters]
        names = {id(tensor): name for name, tensor in network.named_buffers()}
        self._buffers = [names[id(buffer)] for buffer in self.flat.buffers]

    def check(self, state: Mapping[str, Tensor], whose: str, *, averaged: bool) -> None:
        """Raises ValueError if a tensor of the network's state is missing, or has another size."""
        weights = {"values": self.flat.values, "statistics": self.flat.statistics}
        expected = {name: tensor.shape for name, tensor in weights.items()}
        expected |= {OPTIMIZER + name: tensor.shape for name, tensor in self.optimizer.state().items()}
        if averaged:
            expected |= {AVERAGE + name: tensor.shape for name, tensor in weights.items()}
            expected[f"{AVERAGE}updates"] = torch.Size()
        for name, shape in expected.items():
            if name not in state:
                raise ValueError(f"{whose} lacks {name}; was it trained by another recipe?")
            if state[name].shape != shape:
                raise ValueError(
                    f"{whose} has {state[name].numel():,} numbers in {name}; {shape.numel():,} are expected "
                    "of its architecture, classes and recipe"
                )

    def weights(self, values: Tensor, statistics: Tensor) -> dict[str, Tensor]:
        """Views of two vectors by the names of parameters and buffers."""
        return {
            **_named(self._parameters, values, self.flat.values_layout, self.flat.parameters),
            **_named(self._buffers, statistics, self.flat.statistics_layout, self.flat.buffers),
        }

    def packed(self, weights: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The vectors of values and statistics."""
        values, statistics = torch.zeros_like(self.flat.values), torch.zeros_like(self.flat.statistics)
        for name, view in self.weights(values, statistics).items():
            view.copy_(weights[name])
        return values, statistics

    def moments(self, name: str, vector: Tensor) -> dict[str, Tensor]:
        """Views of a vector of the optimizer by the names of the parameters that it is for."""
        layout = self.optimizer.layout(name)
        first = len(self._parameters) - len(layout.ranges)
        return _named(self._parameters[first:], vector, layout, self.flat.parameters[first:])

    def packed_moments(self, name: str, moments: Mapping[str, Tensor]) -> Tensor:
        """The vector of the optimizer."""
        vector = torch.zeros_like(self.optimizer.state()[name])
        for parameter, view in self.moments(name, vector).items():
            view.copy_(moments[parameter])
        return vector


def _named(
    names: Sequence[str], vector: Tensor, layout: Layout, tensors: Sequence[Tensor]
) -> dict[str, Tensor]:
    return dict(zip(names, layout.shaped(vector, tensors), strict=True))
