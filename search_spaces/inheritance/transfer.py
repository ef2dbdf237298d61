"""Applies a weight map to tensors by name: weights, their averages, and what an optimizer keeps of each."""

from collections.abc import Mapping

import torch
from torch import Tensor

from search_spaces.inheritance.block_maps import gate_is_replaced, gated_kind, layout_of
from search_spaces.inheritance.conversions import (
    CONVERSIONS,
    Chosen,
    Tensors,
    by_importance,
    reordered,
    with_half_gate,
    without_gate,
)
from search_spaces.inheritance.weight_maps import (
    PlacedBlock,
    WeightMap,
    computed_kinds,
    described_shapes,
)
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.parts import tensor_names

ORDER = "order"  # of `Chosen`: hidden channels (W,), the most important first
ENDS = ("stem.", "head.", "classifier.")


class WeightTransfer:
    """A weight map at work, on one parent and one child.

    What depends on the weights (the channels that stay where there are too many, the nearest filters) is
    chosen by the first ones that it is given; averages of the weights and the optimizer's state follow.
    """

    def __init__(self, weight_map: WeightMap) -> None:
        self.map = weight_map
        self._chosen: dict[str, Chosen] = {placed.name: {} for placed in weight_map.blocks}

    @torch.no_grad()
    def weights(self, parent: Mapping[str, Tensor], fresh: Mapping[str, Tensor]) -> Tensors:
        """The child's tensors by name, made of the parent's, with fresh values where there are none.

        Args:
            parent: the parent's parameters and batch-norm statistics by name.
            fresh: those of a new network of the child, which also give shapes and types.

        Raises:
            ValueError: tensors or their shapes are not those of the map's networks.
        """
        self._check(parent, self.map.parent, self.map.parent_classes, "parent")
        self._check(fresh, self.map.child, self.map.num_classes, "child")
        found = self._ends(parent, fresh)
        for placed in self.map.blocks:
            if placed.map.is_whole:
                found |= _whole(placed, parent, fresh)
            else:
                found |= self._block(placed, parent, fresh)
        if unknown := fresh.keys() - found.keys():
            raise ValueError(
                f"the child has {min(unknown)}, of which the map does not know; if its op is one of the "
                "user's own, name it in own_ops"
            )
        return {name: found[name].to(tensor.dtype) for name, tensor in fresh.items()}

    @torch.no_grad()
    def state(
        self, parent: Mapping[str, Tensor], initial: Mapping[str, Tensor], *, fill: float | None = None
    ) -> Tensors:
        """An optimizer's tensors for the child's parameters, of those for the parent's.

        An entry goes where its weight goes. Those of weights that are new or computed are `initial`, or
        `fill`. Weights must have been transferred before.
        """
        found = {
            name: tensor.clone() if fill is None else torch.full_like(tensor, fill)
            for name, tensor in initial.items()
        }
        for name in found:
            if name.startswith(ENDS) and name in parent and not self._is_new_end(name):
                found[name] = laid(parent[name], found[name])
        for placed in self.map.blocks:
            if placed.map.is_whole:
                found |= _whole(placed, parent, found)
                continue
            for own, tensor in self._carried(placed, parent).items():
                if own in found:  # an optimizer may keep nothing of it
                    found[own] = laid(tensor, found[own])
        return found

    def _check(self, tensors: Mapping[str, Tensor], network: Architecture, classes: int, whose: str) -> None:
        for name, shape in described_shapes(network, classes, self.map.own_ops).items():
            if name not in tensors:
                raise ValueError(f"the {whose}'s tensors lack {name}; are they another network's?")
            if (found := tuple(tensors[name].shape)) != shape:
                raise ValueError(
                    f"the {whose}'s {name} has the shape {found}; {shape} is expected of its architecture"
                )

    def _is_new_end(self, name: str) -> bool:
        return name.startswith("classifier.") and self.map.parent_classes != self.map.num_classes

    def _ends(self, parent: Mapping[str, Tensor], fresh: Mapping[str, Tensor]) -> Tensors:
        found = {}
        for name, tensor in fresh.items():
            if name.startswith(ENDS):
                known = name in parent and not self._is_new_end(name)
                found[name] = _resized(name, parent[name], tensor) if known else tensor
        return found

    def _block(
        self, placed: PlacedBlock, parent: Mapping[str, Tensor], fresh: Mapping[str, Tensor]
    ) -> Tensors:
        """The tensors of one block."""
        mapped, chosen = placed.map, self._chosen[placed.name]
        names = tensor_names(mapped.child, placed.name)
        own = {key: fresh[name] for key, name in names.items()}
        if placed.source is None or mapped.parent is None:
            return {names[key]: tensor for key, tensor in _new(placed, own).items()}
        # Step 1: the parent's block in the child's layout, without a gate that has no place there.
        sources = tensor_names(mapped.parent, placed.source)
        tensors = {key: parent[name].to("cpu", torch.float64) for key, name in sources.items()}
        # It is converted as a block of the parent's activation; the child's takes its place unchanged.
        activation = mapped.parent.activation
        replaced = gate_is_replaced(mapped.parent, mapped.child)
        gated, wants_gate = bool(mapped.parent.squeeze_channels), bool(mapped.child.squeeze_channels)
        if gated and (replaced or not wants_gate):
            tensors = without_gate(tensors, gated_kind(mapped.parent), activation)
        for conversion in mapped.conversions:
            tensors = CONVERSIONS[conversion](tensors, chosen, activation)
        # Step 2: the most important hidden channels first, if not all of them have room.
        if layout_of(mapped.child) in ("inverted", "fused"):
            hidden = tensors["project.0.weight"].shape[1]
            if hidden > mapped.child.expanded_channels:
                order = by_importance(tensors, activation, outputs=mapped.child.out_channels)
                tensors = reordered(tensors, chosen.setdefault(ORDER, order))
        # Step 3: a new gate, which is constant at first.
        if wants_gate and (replaced or not gated):
            tensors = with_half_gate(tensors, gated_kind(mapped.child))
            constant = ("squeeze.expand.weight", "squeeze.expand.bias")
            own |= {key: torch.zeros_like(own[key]) for key in constant}
        # Step 4: laid upon the fresh block.
        return {
            names[key]: _resized(key, tensors[key], tensor) if key in tensors else tensor
            for key, tensor in own.items()
        }

    def _carried(self, placed: PlacedBlock, parent: Mapping[str, Tensor]) -> Tensors:
        """The optimizer's tensors of a block's parameters, by the child's names, in the child's order."""
        mapped = placed.map
        if placed.source is None or mapped.parent is None:
            return {}
        names, computed = tensor_names(mapped.child, placed.name), computed_kinds(mapped)
        sources = tensor_names(mapped.parent, placed.source)
        found = {
            key: parent[sources[key]]
            for key in names
            if key in sources and sources[key] in parent and key.partition(".")[0] not in computed
        }
        if gate_is_replaced(mapped.parent, mapped.child):
            found = {key: tensor for key, tensor in found.items() if not key.startswith("squeeze.")}
        chosen = self._chosen[placed.name]
        if ORDER in chosen:
            found = reordered(found, chosen[ORDER])
        return {names[key]: tensor for key, tensor in found.items()}


def laid(source: Tensor, rest: Tensor) -> Tensor:
    """`source` upon `rest`, both from their first channels on, and the middles of kernels upon each other."""
    result = rest.clone()
    ours, theirs = [], []
    for dim, (size, own) in enumerate(zip(source.shape, rest.shape, strict=True)):
        common = min(size, own)
        # Kernels have odd sides, so that their middles can meet.
        start, own_start = ((size - common) // 2, (own - common) // 2) if dim >= 2 else (0, 0)
        ours.append(slice(own_start, own_start + common))
        theirs.append(slice(start, start + common))
    result[tuple(ours)] = source[tuple(theirs)].to(result)
    return result


def _resized(name: str, source: Tensor, fresh: Tensor) -> Tensor:
    """A parent's tensor in the child's shape.

    Channels that stay read nothing new: their weights for new inputs, and around their kernels, are zero. New
    channels are fresh; their statistics are those of a mean channel.
    """
    rest = fresh.clone()
    if fresh.dim() > 1:
        rest[: len(source)] = 0
    elif name.endswith(("running_mean", "running_var")):
        rest.fill_(source.mean().to(rest))
    return laid(source, rest)


def _new(placed: PlacedBlock, own: Tensors) -> Tensors:
    """A fresh block, as the identity where it adds its input."""
    if not placed.map.is_identity:
        return own
    last = "fused" if layout_of(placed.map.child) == "convolution" else "project"
    scale = f"{last}.1.weight"
    return own | {scale: torch.zeros_like(own[scale])}


def _whole(placed: PlacedBlock, parent: Mapping[str, Tensor], fresh: Mapping[str, Tensor]) -> Tensors:
    """All tensors under a block's name, the parent's or fresh ones."""
    prefix = f"{placed.name}."
    own = {name: tensor for name, tensor in fresh.items() if name.startswith(prefix)}
    if placed.source is None:
        return own
    return {name: parent[f"{placed.source}.{name.removeprefix(prefix)}"].to(own[name]) for name in own}
