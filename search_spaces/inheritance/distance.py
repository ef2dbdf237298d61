"""Distance of two architectures: what would have to change, from their descriptions alone."""

from collections.abc import Iterator
from functools import lru_cache
from math import prod
from operator import attrgetter
from typing import Any, NamedTuple

from search_spaces.inheritance.block_maps import ACTIVATION, DROPPED, NARROWER, STRIDE, block_map, overlap
from search_spaces.inheritance.matching import channels_before, have_equal_blocks, matched_stages
from search_spaces.networks.architecture import Architecture, Block, Padding, Stage
from search_spaces.networks.parts import end_shapes

FAR = 1.0  # the distance of networks that share nothing
NO_OPS: frozenset[str] = frozenset()
# Of a stage's blocks
FIELDS = (
    "op",
    "kernel_size",
    "stride",
    "expansion_ratio",
    "channels",
    "se_ratio",
    "activation",
    "start_kernel_size",
)
_fields = attrgetter(*FIELDS)
Fields = tuple[Any, ...]  # their values


class Difference(NamedTuple):
    """A part of two architectures compared."""

    new_params: int  # of the child's, that nothing trained begins
    params: int  # of the child's
    kept: float  # 0-1, of the function


class _Surroundings(NamedTuple):
    """Facts about blocks that are not in their stages."""

    padding: Padding  # the child's
    own_ops: frozenset[str]


def distance(parent: Architecture, child: Architecture, *, own_ops: frozenset[str] = NO_OPS) -> float:
    """Distance from 0 (the same network) to 1 (nothing in common). Not symmetric; without the classifier.

    The mean of two shares: of the child's parameters, those that nothing trained begins; of the function,
    what is disturbed, that is, 1 less the product of what each change of a block keeps. A change that keeps
    the function adds to the first share alone.

    Takes microseconds, because blocks that were compared once are remembered. Ops in `own_ops` are copied
    whole or not at all.
    """
    if parent.kind != child.kind:
        return FAR
    if parent == child:
        return 0.0
    new, params, kept = 0, 0, 1.0
    for part in _parts(parent, child, own_ops):
        new, params, kept = new + part.new_params, params + part.params, kept * part.kept
    return (new / params + 1 - kept) / 2


def _parts(parent: Architecture, child: Architecture, own_ops: frozenset[str]) -> Iterator[Difference]:
    old, new = list(channels_before(parent)), list(channels_before(child))
    yield end_difference(
        (parent.stem_channels, parent.head_channels, old[-1]),
        (child.stem_channels, child.head_channels, new[-1]),
        other_grid=(parent.stem_stride, parent.padding) != (child.stem_stride, child.padding),
        other_activation=parent.activation != child.activation,
    )
    same = have_equal_blocks(parent, child)
    numbers, surroundings = range(len(child.stages)), _Surroundings(child.padding, own_ops)
    pairs = [(k, k) for k in numbers] if same else matched_stages(parent.stages, child.stages)
    for i, k in pairs:
        stage = None if k is None else child.stages[k]
        if same and k is not None:
            yield _stage_difference(stage, new[k], stage, new[k], surroundings)
        else:
            partner, partner_in = (None, 0) if i is None else (parent.stages[i], old[i])
            child_in = 0 if k is None else new[k]
            yield _stage_difference(partner, partner_in, stage, child_in, surroundings)


@lru_cache(maxsize=1 << 10)
def end_difference(
    parent: tuple[int, int, int],
    child: tuple[int, int, int],
    *,
    other_grid: bool,
    other_activation: bool = False,
) -> Difference:
    """The difference of stem and head, each given as channels of (stem, head, the head's input)."""
    own, known = (end_shapes(*channels) for channels in (child, parent))
    trained = [key for key in own if "running" not in key and not key.startswith("classifier")]
    total = sum(prod(own[key]) for key in trained)
    carried = sum(overlap(own[key], known[key]) for key in trained)
    kept = (1 - NARROWER) ** sum(after < before for before, after in zip(parent, child, strict=True))
    kept *= (1 - STRIDE * other_grid) * (1 - ACTIVATION * other_activation)
    return Difference(total - carried, total, kept)


def _stage_difference(
    parent: Stage | None, parent_in: int, child: Stage | None, child_in: int, surroundings: _Surroundings
) -> Difference:
    """The difference of two stages; one of no partner is new or dropped."""
    old = 0 if parent is None else parent.layers
    if child is None or not child.layers:
        return Difference(0, 0, (1 - DROPPED) ** old)
    both, fields = min(old, child.layers), _fields(child)
    known = None if parent is None or not old else _fields(parent)
    # All blocks but the first of a stage are equal: three pairs of blocks, and how often there are such.
    new, params, kept = _block_difference(known, parent_in, fields, child_in, surroundings)
    for partner, times in ((known, both - 1), (None, child.layers - max(1, both))):
        if times > 0:
            more = _block_difference(partner, None, fields, None, surroundings)
            new, params = new + times * more.new_params, params + times * more.params
            kept *= more.kept**times
    return Difference(new, params, kept * (1 - DROPPED) ** (old - both))


@lru_cache(maxsize=1 << 16)
def _block_difference(
    parent: Fields | None,
    parent_in: int | None,
    child: Fields,
    child_in: int | None,
    surroundings: _Surroundings,
) -> Difference:
    """The difference of two stages' first blocks; without inputs, of later ones."""
    blocks = [
        None if fields is None else _block(fields, channels)
        for fields, channels in ((parent, parent_in), (child, child_in))
    ]
    assert blocks[1] is not None, "the child has a block"
    found = block_map(blocks[0], blocks[1], padding=surroundings.padding, own_ops=surroundings.own_ops)
    return Difference(found.new_params, found.params, found.kept)


def _block(fields: Fields, in_channels: int | None) -> Block:
    stage = Stage(**dict(zip(FIELDS, fields, strict=True)), layers=1)
    return stage.block(stage.channels if in_channels is None else in_channels, first=in_channels is not None)
