"""Map from a parent's block to a child's: changes in words, those that keep the function, new parameters.

A block is one of four layouts, as `blocks.py` builds them. One layout becomes another by way of `fused`,
whose full convolution can express the others' spatial convolutions:

| from | to fused | |
|---|---|---|
| depthwise (MBConv, expansion 1) | its filters on the diagonal of a full convolution | exact |
| convolution (Fused-MBConv, expansion 1) | behind it a projection that is the identity | exact |
| inverted (MBConv) | both convolutions composed, the activation between them a straight line | nearly |

| from fused | to | |
|---|---|---|
| | inverted: each filter as its nearest product of a 1x1 and a depthwise convolution | nearly |
| | convolution: its convolution and projection composed | nearly |
| | depthwise: composed, and the nearest depthwise and 1x1 convolution | nearly |
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Literal

from search_spaces.networks.architecture import Block, Padding
from search_spaces.networks.ops import op_facts
from search_spaces.networks.parts import DESCRIBED, Shape, expands, part_shapes
from search_spaces.networks.stage_fields import Activation

Layout = Literal["depthwise", "inverted", "convolution", "fused"]
Conversion = tuple[Layout, Layout]

# Disturbance of the network's function by a change of one block: 0 none, 1 all is lost. Where
# docs/inheriting.md has a measurement, it is about the share of the way from the parent's loss to that of an
# untrained network, divided among the 1.6 blocks of a stage that changed at once.
CROPPED, NARROWER, SHORTCUT, STRIDE = 0.2, 0.1, 0.3, 0.5
ACTIVATION = 0.2
GATE_REMOVED, SQUEEZE_NARROWER = 0.01, 0.01
DROPPED, FRESH = 0.15, 0.8
CONVERTED: dict[Conversion, float] = {
    ("depthwise", "fused"): 0.0,
    ("convolution", "fused"): 0.0,
    ("depthwise", "inverted"): 0.03,
    ("inverted", "fused"): 0.05,
    ("depthwise", "convolution"): 0.1,
    ("fused", "convolution"): 0.13,
    ("fused", "inverted"): 0.14,
    ("inverted", "convolution"): 0.16,
    ("fused", "depthwise"): 0.3,
    ("convolution", "inverted"): 0.34,
    ("convolution", "depthwise"): 0.37,
    ("inverted", "depthwise"): 0.47,
}


@dataclass(frozen=True)
class Change:
    """One difference between a parent's part and the child's."""

    text: str
    disturbance: float = 0.0  # 0-1

    @property
    def is_exact(self) -> bool:
        """True if the network's output in evaluation stays what it was."""
        return self.disturbance == 0


@dataclass(frozen=True)
class BlockMap:
    """The way from a parent's block to a child's.

    `parent` is None where the child's block begins with fresh weights; `is_identity`: it then begins as the
    identity, the scale of its last batch norm being zero. `is_whole`: the op's tensors are not described, and
    the block is copied as it is, or fresh.
    """

    parent: Block | None
    child: Block
    is_whole: bool
    changes: tuple[Change, ...]
    new_params: int  # that nothing trained begins
    params: int

    @property
    def is_identity(self) -> bool:
        """True for a new block that returns its input, at first."""
        return self.parent is None and not self.is_whole and self.child.has_residual

    @property
    def kept(self) -> float:
        """Share of the function that is kept, 0-1: the product of what each change leaves."""
        return prod(1 - change.disturbance for change in self.changes)

    @property
    def conversions(self) -> tuple[Conversion, ...]:
        """Conversions of the layout, in their order."""
        if self.parent is None or self.is_whole:
            return ()
        return conversions(layout_of(self.parent), layout_of(self.child))


def layout_of(block: Block) -> Layout:
    """The layout of an MBConv or Fused-MBConv."""
    if block.op == "mbconv":
        return "inverted" if expands(block) else "depthwise"
    return "fused" if expands(block) else "convolution"


def conversions(parent: Layout, child: Layout) -> tuple[Conversion, ...]:
    """The conversions that lead from one layout to another: none, one, or two by way of `fused`."""
    if parent == child:
        return ()
    first: list[Conversion] = [(parent, "fused")] if parent != "fused" else []
    return (*first, *([("fused", child)] if child != "fused" else []))  # type: ignore[arg-type]


@lru_cache(maxsize=1 << 16)
def block_map(
    parent: Block | None,
    child: Block,
    *,
    padding: Padding = "symmetric",
    own_ops: frozenset[str] = frozenset(),
) -> BlockMap:
    """The way from one block to another; from None, a new one. Ops in `own_ops` are not looked into.

    `padding` is the child's network's.
    """
    if is_opaque(child, own_ops):
        same = parent == child
        fresh = () if same else (Change(f"new {op_facts(child.op).name}", FRESH),)
        return BlockMap(child if same else None, child, True, fresh, int(not same), 1)
    if parent is not None and is_opaque(parent, own_ops):
        replaced = Change(f"{op_facts(parent.op).name} dropped", DROPPED)
        return BlockMap(None, child, False, (replaced, *_new(child)), *_params(None, child))
    changes = _new(child) if parent is None else tuple(_changes(parent, child, padding))
    return BlockMap(parent, child, False, changes, *_params(parent, child))


def is_opaque(block: Block, own_ops: frozenset[str]) -> bool:
    """True if the block's parts are not described: one of the user's own ops, or a ResNet's."""
    return block.op not in DESCRIBED or block.op in own_ops


def _new(child: Block) -> tuple[Change, ...]:
    if child.has_residual:
        return (Change("new, as identity"),)
    return (Change(f"new {op_facts(child.op).name}", FRESH),)


def width_changes(*widths: tuple[str, int, int]) -> Iterator[Change]:
    """The changes among widths, each given by its name and as the parent and the child have it."""
    for name, before, after in widths:
        if before != after:
            yield Change(f"{name} {before} → {after}", NARROWER if after < before else 0.0)


def activation_changes(name: str, before: Activation, after: Activation) -> Iterator[Change]:
    """The change of an activation, if it is one; weights stay, and the function does not."""
    if before != after:
        yield Change(f"{name} {before} → {after}", ACTIVATION)


def _changes(parent: Block, child: Block, padding: Padding) -> list[Change]:
    """All differences of two blocks whose tensors are known."""
    found = []
    kept = 1 - CONVERTED.get((layout_of(parent), layout_of(child)), 0.0)
    if parent.op != child.op:
        names = (op_facts(parent.op).name, op_facts(child.op).name)
        found.append(Change(f"{names[0]} → {names[1]}", 1 - kept))
        kept = 1.0
    width = hidden_width(parent)
    old, new = expansion(parent), expansion(child)
    if old != new:
        narrower = NARROWER if expands(child) and child.expanded_channels < width else 0.0
        found.append(Change(f"expansion {old:g} → {new:g}", 1 - kept * (1 - narrower)))
    if parent.kernel_size != child.kernel_size:
        cropped = child.kernel_size < parent.kernel_size
        # On an even side TensorFlow's rule pads larger kernels more behind than before, and 1 not at all: at
        # stride 2 the middles of larger ones are on the odd pixels, and a kernel of 1 is on the even ones.
        moved = parent.kernel_size == 1 and child.stride == 2 and padding == "same"
        disturbance = CROPPED if cropped or moved else 0.0
        found.append(Change(f"kernel {parent.kernel_size} → {child.kernel_size}", disturbance))
    found += activation_changes("activation", parent.activation, child.activation)
    if found_gate := _gate_change(parent, child):
        found.append(found_gate)
    found += width_changes(
        ("input channels", parent.in_channels, child.in_channels),
        ("channels", parent.out_channels, child.out_channels),
    )
    if parent.stride != child.stride:
        found.append(Change(f"stride {parent.stride} → {child.stride}", STRIDE))
    if parent.has_residual != child.has_residual:
        found.append(Change(f"shortcut {'added' if child.has_residual else 'removed'}", SHORTCUT))
    return found


def _gate_change(parent: Block, child: Block) -> Change | None:
    """The change of squeeze-excite, if there is one beside that of the input's channels."""
    before, after = parent.squeeze_channels, child.squeeze_channels
    if not before and not after:
        return None
    if not before:
        return Change("squeeze-excite added")
    if not after or gate_is_replaced(parent, child):
        return Change("squeeze-excite removed" if not after else "squeeze-excite moved", GATE_REMOVED)
    if before == after:
        return None
    return Change(f"squeeze-excite {before} → {after}", SQUEEZE_NARROWER if after < before else 0.0)


def gate_is_replaced(parent: Block, child: Block) -> bool:
    """True if the channels that are gated are not the same, so that old gates are of no use.

    A convolution's squeeze-excite gates its input, and at the end of a composed block the hidden channels,
    whose gates there were, are gone.
    """
    old, new = layout_of(parent), layout_of(child)
    return old != new and ("convolution" in (old, new) or new == "depthwise")


def gated_kind(block: Block) -> str:
    """The convolution behind squeeze-excite, as `parts.py` names it."""
    return "fused" if layout_of(block) == "convolution" else "project"


def hidden_width(block: Block) -> int:
    """Channels between the convolutions of the block as `fused`."""
    return block.out_channels if layout_of(block) == "convolution" else block.expanded_channels


def expansion(block: Block) -> float:
    """The expansion ratio."""
    return block.expanded_channels / block.in_channels


# ---------------------------------------------------------------------- parameters


def source_shapes(parent: Block, child: Block) -> dict[str, Shape]:
    """Shapes of the parent's tensors converted to the child's layout, by `kind.tensor`.

    Squeeze-excite is among them if both have one.
    """
    shapes, width, layout = part_shapes(child), hidden_width(parent), layout_of(child)
    if layout == "depthwise":
        width = parent.in_channels
    kernel = (parent.kernel_size, parent.kernel_size)
    fused = parent.out_channels if layout == "convolution" else width
    convolutions: dict[str, Shape] = {
        "expand": (width, parent.in_channels, 1, 1),
        "depthwise": (width, 1, *kernel),
        "fused": (fused, parent.in_channels, *kernel),
        "project": (parent.out_channels, width, 1, 1),
    }
    gated = parent.squeeze_channels if child.squeeze_channels else 0
    gated_width = parent.in_channels if layout == "convolution" else width
    gates: dict[str, Shape] = {
        "squeeze.reduce.weight": (gated, gated_width, 1, 1),
        "squeeze.reduce.bias": (gated,),
        "squeeze.expand.weight": (gated_width, gated, 1, 1),
        "squeeze.expand.bias": (gated_width,),
    }
    found = {}
    for key in shapes:
        kind = key.partition(".")[0]
        if kind == "squeeze":
            if gated and not gate_is_replaced(parent, child):
                found[key] = gates[key]
        else:
            found[key] = convolutions[kind] if ".0." in key else convolutions[kind][:1]
    return found


def _params(parent: Block | None, child: Block) -> tuple[int, int]:
    """Parameters of the child that nothing trained begins, and all of them."""
    own = {key: shape for key, shape in part_shapes(child).items() if "running" not in key}
    known = {} if parent is None else source_shapes(parent, child)
    total = sum(map(prod, own.values()))
    carried = sum(overlap(shape, known[key]) for key, shape in own.items() if key in known)
    return total - carried, total


def overlap(shape: Shape, source: Shape) -> int:
    """Number of entries that two tensors have in common, when one is laid upon the other."""
    return prod(map(min, shape, source))
