"""Distance of two architectures: what would have to change, from their descriptions alone."""

from collections.abc import Iterator
from functools import lru_cache
from math import prod
from typing import NamedTuple

from search_spaces.inheritance.block_maps import DROPPED, NARROWER, STRIDE, block_map, overlap
from search_spaces.inheritance.matching import channels_before, have_equal_blocks, matched_stages
from search_spaces.networks.architecture import Architecture, Stage
from search_spaces.networks.parts import end_shapes

FAR = 1.0  # the distance of networks that share nothing
NO_OPS: frozenset[str] = frozenset()


class Difference(NamedTuple):
    """A part of two architectures compared."""

    new_params: int  # of the child's, that nothing trained begins
    params: int  # of the child's
    disturbance: float  # a sum over blocks, each 0-1; of the parent's dropped ones as well
    blocks: int  # of the child's


def distance(parent: Architecture, child: Architecture, *, own_ops: frozenset[str] = NO_OPS) -> float:
    """From 0, the same network, to 1, nothing in common. Not symmetric; the classifier does not count.

    The mean of two shares: of the child's parameters, those that nothing trained begins; of its blocks (stem
    and head among them), those whose function is not kept, each counted by how much it is disturbed, and
    dropped ones as well. A change that keeps the function adds to the first share alone.

    Takes microseconds, because stages that were compared once are remembered. Ops in `own_ops` are copied
    whole or not at all.
    """
    if parent.kind != child.kind:
        return FAR
    if parent == child:
        return 0.0
    new = params = blocks = 0
    disturbance = 0.0
    for part in _parts(parent, child, own_ops):
        new, params = new + part.new_params, params + part.params
        disturbance, blocks = disturbance + part.disturbance, blocks + part.blocks
    return (new / params + min(1.0, disturbance / blocks)) / 2


def _parts(parent: Architecture, child: Architecture, own_ops: frozenset[str]) -> Iterator[Difference]:
    old, new = list(channels_before(parent)), list(channels_before(child))
    yield end_difference(
        (parent.stem_channels, parent.head_channels, old[-1]),
        (child.stem_channels, child.head_channels, new[-1]),
        other_grid=(parent.stem_stride, parent.padding) != (child.stem_stride, child.padding),
    )
    same = have_equal_blocks(parent, child)
    pairs = (
        [(k, k) for k in range(len(child.stages))] if same else matched_stages(parent.stages, child.stages)
    )
    for i, k in pairs:
        stage = None if k is None else child.stages[k]
        if same:
            yield _stage_difference(stage, new[k or 0], stage, new[k or 0], own_ops)
            continue
        yield _stage_difference(
            None if i is None else parent.stages[i],
            0 if i is None else old[i],
            stage,
            0 if k is None else new[k],
            own_ops,
        )


@lru_cache(maxsize=1 << 10)
def end_difference(
    parent: tuple[int, int, int], child: tuple[int, int, int], *, other_grid: bool
) -> Difference:
    """The difference of stem and head, each given as channels of (stem, head, the head's input)."""
    own, known = (end_shapes(*channels) for channels in (child, parent))
    trained = [key for key in own if "running" not in key and not key.startswith("classifier")]
    total = sum(prod(own[key]) for key in trained)
    carried = sum(overlap(own[key], known[key]) for key in trained)
    stem = NARROWER * (child[0] < parent[0]) + STRIDE * other_grid
    head = NARROWER * (child[1] < parent[1] or child[2] < parent[2])
    return Difference(total - carried, total, min(1.0, stem) + head, 2)


@lru_cache(maxsize=1 << 16)
def _stage_difference(
    parent: Stage | None, parent_in: int, child: Stage | None, child_in: int, own_ops: frozenset[str]
) -> Difference:
    """The difference of two stages; one of no partner is new or dropped."""
    old = [] if parent is None else list(parent.blocks(parent_in))
    new = [] if child is None else list(child.blocks(child_in))
    maps = [
        block_map(old[j] if j < len(old) else None, block, own_ops=own_ops) for j, block in enumerate(new)
    ]
    return Difference(
        sum(each.new_params for each in maps),
        sum(each.params for each in maps),
        sum(each.disturbance for each in maps) + DROPPED * max(0, len(old) - len(new)),
        len(new),
    )
