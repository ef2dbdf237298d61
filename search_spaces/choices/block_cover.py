"""All blocks of a space's networks, and a few networks that together contain every one of them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture, Block, Stage
from search_spaces.networks.counting import side_after_stem


@dataclass(frozen=True)
class PlacedBlock:
    """A block and the side in pixels of its input; the time of a block depends on both."""

    block: Block
    side: int


def placed_blocks(architecture: Architecture, resolution: int) -> Iterator[PlacedBlock]:
    """The architecture's blocks in order, with their input sides; a stride of 2 gives ceil(n / 2)."""
    side = side_after_stem(architecture, resolution)
    for block in architecture.blocks():
        yield PlacedBlock(block, side)
        side = math.ceil(side / block.stride)


@dataclass(frozen=True)
class StageOption:
    """A form that a stage can take for one number of input channels, and its distinct blocks."""

    stage: Stage
    before: int  # input channels
    after: int  # output channels
    blocks: tuple[PlacedBlock, ...]  # the first block and, from two layers on, the repeated one


def stage_options(space: SearchSpace, resolution: int) -> list[list[StageOption]]:
    """For each stage all forms that it can take, with as few layers as contain all its blocks.

    Two layers contain the first and the repeated block of a stage; more layers only repeat the latter. A
    stage may also be absent, if the space allows it.
    """
    side = math.ceil(resolution / space.stem_stride)
    channels = [space.stem_channels]
    options: list[list[StageOption]] = []
    for offered, rows in zip(space.stages, space.rows, strict=True):
        shown = min((layers for layers in offered.layers if layers >= 2), default=max(offered.layers))
        stages = [stage for stage in map(rows.stage, rows.rows()) if stage.layers in (0, shown)]
        options.append([_option(stage, before, side) for before in channels for stage in stages])
        channels = list(dict.fromkeys(option.after for option in options[-1]))
        side = math.ceil(side / offered.stride)
    return options


def covering_networks(space: SearchSpace, *, resolution: int, rng: np.random.Generator) -> list[Architecture]:
    """A few random networks that together contain every block of the space; greedy set cover.

    Each network is a path through the stages with as many blocks as possible that no earlier network
    contains; ties are broken at random. Stages have as few layers as possible. Limits are ignored.
    """
    stages = stage_options(space, resolution)
    missing = {block for options in stages for option in options for block in option.blocks}
    found: list[Architecture] = []
    while missing:
        way = _best_way(stages, space.stem_channels, missing, rng)
        found.append(
            Architecture(
                stem_channels=space.stem_channels,
                stem_stride=space.stem_stride,
                stages=tuple(option.stage for option in way),
                head_channels=space.head_channels,
                padding=space.padding,
                activation=space.activation,
            )
        )
        missing -= {block for option in way for block in option.blocks}
    return found


def _option(stage: Stage, before: int, side: int) -> StageOption:
    blocks = list(stage.blocks(before))[:2]
    sides = (side, math.ceil(side / stage.stride))
    placed = tuple(PlacedBlock(block, at) for block, at in zip(blocks, sides, strict=False))
    return StageOption(stage, before, stage.channels if stage.layers else before, placed)


def _best_way(
    stages: list[list[StageOption]], stem_channels: int, missing: set[PlacedBlock], rng: np.random.Generator
) -> list[StageOption]:
    """The path with the most missing blocks, by dynamic programming over the channels between stages.

    For each number of output channels the best path so far is kept; the random order breaks ties.
    """
    best: dict[int, tuple[int, list[StageOption]]] = {stem_channels: (0, [])}
    for options in stages:
        after: dict[int, tuple[int, list[StageOption]]] = {}
        for i in rng.permutation(len(options)):
            option = options[i]
            if option.before not in best:
                continue
            count, way = best[option.before]
            count += sum(block in missing for block in option.blocks)
            if option.after not in after or count > after[option.after][0]:
                after[option.after] = count, [*way, option]
        best = after
    return max(best.values(), key=lambda found: found[0])[1]
