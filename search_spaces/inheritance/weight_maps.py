"""Map from a trained network's weights to those of another architecture: where each tensor comes from.

A change keeps the function where it can ("Net2Net", Chen et al. 2016; "Network Morphism", Wei et al. 2016;
"LEMON", Wang et al. 2024):

- Channels that stay are the first ones. New ones have the child's fresh weights, so that no two are alike,
  and whatever reads them begins with weights of zero, which have gradients at once.
- A kernel grows by zeros around it, and shrinks to its middle.
- A new block begins as the identity: the scale of its last batch norm is zero, where it adds its input.
- Squeeze-excite begins as a constant gate: weights and biases of its second convolution are zero, so that
  gates are exactly 1/2, and the next convolution has twice its weights.
- An op or an expansion to or from 1 changes as `block_maps.py` says.

Where a hidden layer becomes narrower, its most important channels stay.
"""

from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from math import prod
from typing import Literal

from search_spaces.inheritance.block_maps import (
    DROPPED,
    FRESH,
    STRIDE,
    BlockMap,
    Change,
    activation_changes,
    block_map,
    gate_is_replaced,
    gated_kind,
    is_opaque,
    layout_of,
    source_shapes,
    width_changes,
)
from search_spaces.inheritance.distance import NO_OPS, distance
from search_spaces.inheritance.matching import channels_before, matched_blocks
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.parts import Shape, end_shapes, numbered_blocks, part_shapes, tensor_names

How = Literal["copied", "resized", "computed", "new"]


@dataclass(frozen=True)
class TensorMap:
    """One tensor of the child: its shape, and the parent's tensors that it is made of.

    `resized` has the parent's entries where both overlap, from the first channels on and in the middle of a
    kernel. `computed` follows from several tensors. `new` has the child's fresh values, or a constant.
    """

    name: str
    shape: Shape
    how: How
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlacedBlock:
    """A block of the child, the parent's block that it begins from, and their names in the networks."""

    name: str
    source: str | None  # None: it is new
    map: BlockMap


@dataclass(frozen=True)
class WeightMap:
    """The way from a parent's weights to a child's.

    Attributes:
        blocks: the child's, in their order.
        dropped: names of the parent's blocks that nothing comes from.
        ends: changes of stem, head and classifier.
    """

    parent: Architecture
    child: Architecture
    parent_classes: int
    num_classes: int
    blocks: tuple[PlacedBlock, ...]
    dropped: tuple[str, ...]
    ends: tuple[Change, ...]
    own_ops: frozenset[str] = field(default=NO_OPS)

    @property
    def is_exact(self) -> bool:
        """True if the child's outputs in evaluation are the parent's, except for rounding.

        In training they are, too, where nothing is dropped at random, unless Fused-MBConv of expansion 1
        becomes another: its new projection's batch norm has been set for evaluation.
        """
        return self.kept == 1

    @cached_property
    def kept(self) -> float:
        """Share of the function that is kept, 0-1, the classifier's included: what no change disturbs."""
        blocks = prod(placed.map.kept for placed in self.blocks)
        ends = prod(1 - change.disturbance for change in self.ends)
        return blocks * ends * (1 - DROPPED) ** len(self.dropped)

    @cached_property
    def distance(self) -> float:
        """Distance of the child from the parent, 0-1, as `distance.py` defines it."""
        return distance(self.parent, self.child, own_ops=self.own_ops)

    @property
    def changes(self) -> tuple[str, ...]:
        """The changes in words, equal ones of a stage's blocks together; those that are not exact say so."""
        texts = [
            (placed.name.split(".")[1], _text(change))
            for placed in self.blocks
            for change in placed.map.changes
        ]
        texts += [(name.split(".")[1], "dropped, not exact") for name in self.dropped]
        lines = [_text(change) for change in self.ends]
        for stage, group in groupby(sorted(texts, key=lambda pair: int(pair[0])), key=lambda pair: pair[0]):
            counted: dict[str, int] = {}
            for _, text in group:
                counted[text] = counted.get(text, 0) + 1
            lines += [
                f"stage {int(stage) + 1}: {text}" + (f" ({count} blocks)" if count > 1 else "")
                for text, count in counted.items()
            ]
        return tuple(lines)

    @cached_property
    def tensors(self) -> tuple[TensorMap, ...]:
        """All tensors of the child, each once, but those of blocks that are copied whole (`is_whole`)."""
        maps = list(self._ends())
        for placed in self.blocks:
            if not placed.map.is_whole:
                maps += _block_tensors(placed)
        return tuple(maps)

    def _ends(self) -> list[TensorMap]:
        if self.child.kind is not None:
            return []
        old, new = (_end_shapes(each, classes) for each, classes in (
            (self.parent, self.parent_classes), (self.child, self.num_classes),
        ))  # fmt: skip
        other_classes = self.parent_classes != self.num_classes
        return [
            TensorMap(name, shape, "new")
            if other_classes and name.startswith("classifier")
            else _resized(name, shape, name, old[name])
            for name, shape in new.items()
        ]


def weight_map(
    parent: Architecture,
    child: Architecture,
    *,
    num_classes: int,
    parent_classes: int | None = None,
    own_ops: frozenset[str] = NO_OPS,
) -> WeightMap:
    """The map from a parent's weights to a child's; stages and blocks are matched as `matching.py` says.

    ResNets' blocks are copied where they are equal, and new elsewhere, and so are blocks of `own_ops`.

    Args:
        parent_classes: of the parent's classifier; default: as the child's. Another number makes it new.

    Raises:
        ValueError: one is a ResNet and the other is not.
    """
    if parent.kind != child.kind:
        names = [architecture.kind or "an EfficientNet" for architecture in (child, parent)]
        raise ValueError(f"{names[0]} cannot begin from {names[1]}: they have no block in common")
    pairs = matched_blocks(parent, child)
    blocks, dropped = [], []
    for old, new in pairs:
        if new is None:
            dropped.append(old[0])  # type: ignore[index]
            continue
        mapped = block_map(None if old is None else old[1], new[1], padding=child.padding, own_ops=own_ops)
        source = None if mapped.parent is None or old is None else old[0]
        blocks.append(PlacedBlock(new[0], source, mapped))
    parent_classes = num_classes if parent_classes is None else parent_classes
    ends = tuple(_end_changes(parent, child, parent_classes, num_classes))
    return WeightMap(parent, child, parent_classes, num_classes, tuple(blocks), tuple(dropped), ends, own_ops)


def _end_changes(parent: Architecture, child: Architecture, old_classes: int, classes: int) -> list[Change]:
    """Changes before the first stage and behind the last."""
    *_, old_last = channels_before(parent)
    *_, last = channels_before(child)
    found = list(
        width_changes(
            ("stem", parent.stem_channels, child.stem_channels),
            ("head's input", old_last, last),
            ("head", parent.head_channels, child.head_channels),
        )
    )
    if parent.stem_stride != child.stem_stride:
        found.append(Change(f"stem's stride {parent.stem_stride} → {child.stem_stride}", STRIDE))
    if parent.padding != child.padding:
        found.append(Change(f"padding {parent.padding} → {child.padding}", STRIDE))
    found += activation_changes("activation of stem and head", parent.activation, child.activation)
    if old_classes != classes:
        found.append(Change("new classifier", FRESH))
    return found


def _end_shapes(architecture: Architecture, num_classes: int) -> dict[str, Shape]:
    *_, last = channels_before(architecture)
    return end_shapes(architecture.stem_channels, architecture.head_channels, last, num_classes=num_classes)


def described_shapes(
    architecture: Architecture, num_classes: int, own_ops: frozenset[str] = NO_OPS
) -> dict[str, Shape]:
    """The shapes of all tensors of a network whose names are known here; ResNets and own ops have others."""
    found = {} if architecture.kind else _end_shapes(architecture, num_classes)
    for i, j, block in numbered_blocks(architecture):
        if not is_opaque(block, own_ops):
            names = tensor_names(block, f"stages.{i}.{j}")
            found |= {names[key]: shape for key, shape in part_shapes(block).items()}
    return found


def _text(change: Change) -> str:
    return change.text if change.is_exact else f"{change.text}, not exact"


def _resized(name: str, shape: Shape, source: str, source_shape: Shape) -> TensorMap:
    return TensorMap(name, shape, "copied" if shape == source_shape else "resized", (source,))


def _block_tensors(placed: PlacedBlock) -> list[TensorMap]:
    """The tensors of a block whose parts are described."""
    mapped, shapes = placed.map, part_shapes(placed.map.child)
    names = tensor_names(mapped.child, placed.name)
    if mapped.parent is None or placed.source is None:
        return [TensorMap(names[key], shape, "new") for key, shape in shapes.items()]
    old_shapes, old_names = part_shapes(mapped.parent), tensor_names(mapped.parent, placed.source)
    known, computed = source_shapes(mapped.parent, mapped.child), computed_kinds(mapped)
    found = []
    for key, shape in shapes.items():
        kind = key.partition(".")[0]
        if key not in known:
            found.append(TensorMap(names[key], shape, "new"))
        elif kind in computed or key not in old_shapes:
            found.append(TensorMap(names[key], shape, "computed", tuple(old_names.values())))
        else:
            found.append(_resized(names[key], shape, old_names[key], old_shapes[key]))
    return found


def computed_kinds(mapped: BlockMap) -> frozenset[str]:
    """Kinds of parts (as `parts.py` names them) whose tensors follow from several of the parent's."""
    assert mapped.parent is not None, "a new block is not computed"
    found: set[str] = set()
    steps = mapped.conversions
    if steps:
        found = {"expand", "depthwise", "fused"}
        if layout_of(mapped.child) == "depthwise" or ("convolution", "fused") in steps:
            found.add("project")
        if steps == (("convolution", "fused"),):
            found.remove("fused")  # its rows stay the first ones of the same convolution
    replaced = gate_is_replaced(mapped.parent, mapped.child)
    if mapped.parent.squeeze_channels and (replaced or not mapped.child.squeeze_channels):
        found.add(gated_kind(mapped.parent))
    if mapped.child.squeeze_channels and (replaced or not mapped.parent.squeeze_channels):
        found.add(gated_kind(mapped.child))
    return frozenset(found)
