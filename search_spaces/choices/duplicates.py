"""Different networks among a space's choices: counting them, and the smallest choices that build one.

Choices that differ build the same network where a stage goes on with the blocks of the one before it, or
where squeeze ratios round to the same width.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from search_spaces.choices.choice_space import Choices
from search_spaces.choices.stage_choices import StageChoices
from search_spaces.choices.stage_rows import StageRows
from search_spaces.networks.architecture import Block, Stage

MAX_ROWS = 20_000  # of all stages together, layers aside; beyond, counting would take minutes


def stages_can_merge(stages: Sequence[StageChoices]) -> bool:
    """Whether rows that differ can build the same blocks, other than by being absent."""
    if any(len(stage.options("se_ratio")) > 1 for stage in stages):
        return True
    for j, later in enumerate(stages):
        for i in reversed(range(j)):
            shared = all(
                set(getattr(stages[i], name)) & set(getattr(later, name))
                for name in ("op", "kernel_size", "expansion_ratio", "channels")
            )
            if later.stride == 1 and shared:
                return True
            if 0 not in stages[i].layers:
                break
    return False


def smallest_encoding(
    rows: Sequence[StageRows], blocks: Sequence[Block], stem_channels: int
) -> Choices | None:
    """The lexicographically smallest choices that build exactly these blocks; None where none do."""
    known: dict[tuple[int, int], Choices | None] = {}

    def suffix(stage: int, position: int) -> Choices | None:
        """The smallest choices of the stages from `stage` on that build the blocks from `position` on."""
        if stage == len(rows):
            return () if position == len(blocks) else None
        if (stage, position) not in known:
            channels = blocks[position - 1].out_channels if position else stem_channels
            fits = sorted(_rows_that_fit(rows[stage], blocks, position, channels))
            ends = ((row, suffix(stage + 1, position + layers)) for row, layers in fits)
            known[stage, position] = next((row + rest for row, rest in ends if rest is not None), None)
        return known[stage, position]

    return suffix(0, 0)


def _rows_that_fit(
    rows: StageRows, blocks: Sequence[Block], position: int, channels: int
) -> Iterator[tuple[Choices, int]]:
    """The rows (and their layers) whose blocks stand at that position, behind that many channels."""
    if rows.can_vanish:
        yield rows.absent, 0
    if position == len(blocks) or blocks[position].stride != rows.offered.stride:
        return
    block = blocks[position]
    wanted = {
        "op": block.op,
        "kernel_size": block.kernel_size,
        "expansion_ratio": block.expanded_channels / channels,
        "channels": block.out_channels,
    }
    if any(value not in rows.offered.options(name) for name, value in wanted.items()):
        return
    for ratio in rows.offered.options("se_ratio"):
        for layers in rows.offered.layers:
            chosen = {**wanted, "se_ratio": ratio, "layers": layers}
            row = tuple(rows.offered.options(name).index(chosen[name]) for name in rows.fields)
            stage = rows.stage(row)
            if layers and tuple(stage.blocks(channels)) == tuple(blocks[position : position + layers]):
                yield row, layers


# ---------------------------------------------------------------------- counting


@dataclass(frozen=True)
class _Place:
    """Where a reader of blocks may be: in which stage, which of its kinds, after how many of its blocks."""

    stage: int
    kind: int
    layers: int


def count_distinct(rows: Sequence[StageRows], stem_channels: int) -> int:
    """The number of different sequences of blocks that the rows make; exact.

    The rows are read as a nondeterministic automaton over blocks. Sets of its places are the states of a
    deterministic one, in which every sequence has one path; the paths are counted from their ends.

    Raises:
        ValueError: too many rows to do this in seconds.
    """
    reader = _BlockReader(rows)
    start = frozenset[_Place]()
    after: dict[frozenset[_Place], list[frozenset[_Place]]] = {
        start: list(reader.starts(0, stem_channels).values())
    }
    counts: dict[frozenset[_Place], int] = {}
    stack = [start]
    while stack:  # depth first, without recursion: sequences have up to thousands of blocks
        state = stack[-1]
        waiting = [target for target in after[state] if target not in counts]
        for target in waiting:
            if target not in after:
                after[target] = list(reader.step(target).values())
        stack.extend(waiting)
        if not waiting:
            stack.pop()
            counts[state] = sum(counts[target] for target in after[state]) + reader.accepts(state)
    return counts[start]


class _BlockReader:
    """Steps of the automaton: from places, reading one block, to places."""

    def __init__(self, rows: Sequence[StageRows]) -> None:
        kinds = [math.prod(len(r.offered.options(f)) for f in r.fields if f != "layers") for r in rows]
        if sum(kinds) > MAX_ROWS:
            raise ValueError(
                f"the stages have {sum(kinds):,} rows, and some continue each other: up to {MAX_ROWS:,} "
                "can be counted without duplicates"
            )
        self.rows = rows
        self.kinds = [list(_kinds(stage)) for stage in rows]
        self.layers = [frozenset(stage.offered.layers) for stage in rows]
        self.ends = [all(stage.can_vanish for stage in rows[i + 1 :]) for i in range(len(rows))]

    def accepts(self, state: frozenset[_Place]) -> bool:
        """Whether a sequence may end here."""
        return any(self.ends[place.stage] and place.layers in self.layers[place.stage] for place in state)

    def starts(self, first: int, channels: int) -> dict[Block, frozenset[_Place]]:
        """By block, where it leads at the beginning of stage `first` or of those after absent ones."""
        found: dict[Block, set[_Place]] = {}
        for i in range(first, len(self.rows)):
            for kind, stage in enumerate(self.kinds[i]):
                found.setdefault(stage.block(channels), set()).add(_Place(i, kind, 1))
            if not self.rows[i].can_vanish:
                break
        return {block: frozenset(places) for block, places in found.items()}

    def step(self, state: frozenset[_Place]) -> dict[Block, frozenset[_Place]]:
        """By block, where it leads from these places."""
        found: dict[Block, set[_Place]] = {}
        for place in state:
            stage = self.kinds[place.stage][place.kind]
            if place.layers < max(self.layers[place.stage]):
                block = stage.block(stage.channels, first=False)
                found.setdefault(block, set()).add(_Place(place.stage, place.kind, place.layers + 1))
            if place.layers in self.layers[place.stage]:
                for block, places in self.starts(place.stage + 1, stage.channels).items():
                    found.setdefault(block, set()).update(places)
        return {block: frozenset(places) for block, places in found.items()}


def _kinds(rows: StageRows) -> Iterator[Stage]:
    """One stage for each combination of options, layers aside."""
    sizes = [1 if name == "layers" else len(rows.offered.options(name)) for name in rows.fields]
    present = next(i for i, layers in enumerate(rows.offered.layers) if layers)
    for indices in np.ndindex(*sizes):
        yield rows.stage(
            tuple(
                present if name == "layers" else int(i) for name, i in zip(rows.fields, indices, strict=True)
            )
        )
