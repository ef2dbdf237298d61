"""Pairs of a parent's and a child's stages, and of the blocks in them."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from search_spaces.networks.architecture import Architecture, Block, Stage
from search_spaces.networks.parts import numbered_blocks

Pair = tuple[int | None, int | None]  # indices of a parent's and a child's, of which one may be missing
Placed = tuple[str, Block]  # a block and its name in the network, stages.{}.{}


def matched_blocks(parent: Architecture, child: Architecture) -> list[tuple[Placed | None, Placed | None]]:
    """Pairs of blocks, in the child's order: of matched stages, the first with the first, and so on.

    Additional blocks of a stage are its last ones. Networks of the same blocks in other stages are paired
    block by block.
    """
    old = {(i, j): (f"stages.{i}.{j}", block) for i, j, block in numbered_blocks(parent)}
    new = {(i, j): (f"stages.{i}.{j}", block) for i, j, block in numbered_blocks(child)}
    if have_equal_blocks(parent, child):
        return list(zip(old.values(), new.values(), strict=True))
    pairs: list[tuple[Placed | None, Placed | None]] = []
    for i, k in matched_stages(parent.stages, child.stages):
        layers = (0 if i is None else parent.stages[i].layers, 0 if k is None else child.stages[k].layers)
        pairs += [(old.get((i, j)), new.get((k, j))) for j in range(max(layers))]  # type: ignore[arg-type]
    return pairs


def matched_stages(parent: Sequence[Stage], child: Sequence[Stage]) -> list[Pair]:
    """Pairs of stages, in the child's order; those without a partner have None.

    Stages of one space are paired by their number. Where their number or strides differ, those between two
    strides of 2 are paired by their order, so that partners see features of about the same size.
    """
    if [stage.stride for stage in parent] == [stage.stride for stage in child]:
        return [(i, i) for i in range(len(child))]
    pairs: list[Pair] = []
    for old, new in zip_longest(_levels(parent), _levels(child), fillvalue=()):
        pairs += zip_longest(old, new)
    return pairs


def _levels(stages: Sequence[Stage]) -> list[list[int]]:
    """Indices of stages, parted before each stride of 2."""
    levels: list[list[int]] = [[]]
    for i, stage in enumerate(stages):
        if stage.stride == 2:
            levels.append([])
        levels[-1].append(i)
    return levels


def have_equal_blocks(parent: Architecture, child: Architecture) -> bool:
    """True if the stages build the same blocks; a stage may continue the one before it."""
    if parent.stages == child.stages:
        return parent.stem_channels == child.stem_channels
    if not (_may_continue(parent.stages) or _may_continue(child.stages)):
        return False  # almost always, and much cheaper to know
    if sum(stage.layers for stage in parent.stages) != sum(stage.layers for stage in child.stages):
        return False
    return all(old == new for old, new in zip(parent.blocks(), child.blocks(), strict=True))


def _may_continue(stages: Sequence[Stage]) -> bool:
    """True if a stage has the channels of the one before it and no stride, or is absent."""
    channels = None
    for stage in stages:
        if not stage.layers or (stage.channels == channels and stage.stride == 1):
            return True
        channels = stage.channels
    return False


def channels_before(architecture: Architecture) -> Iterator[int]:
    """The input channels of each stage, and of the head."""
    channels = architecture.stem_channels
    for stage in architecture.stages:
        yield channels
        channels = stage.channels if stage.layers else channels
    yield channels
