"""Choices of a space that build the same network: counting distinct networks, and canonical choices.

Different choices build the same network where a stage continues the blocks of the one before it (2 + 3 layers
of equal blocks are 3 + 2), or where squeeze or expansion ratios round to the same width.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from search_spaces.choices.choice_space import Choices
from search_spaces.choices.stage_choices import StageChoices
from search_spaces.choices.stage_rows import Form, StageRows
from search_spaces.networks.architecture import Block, Stage
from search_spaces.networks.ops import CONV, FUSED, Built, Op, inner_width, op_facts
from search_spaces.networks.stage_fields import SILU, expanded_width

MAX_ROWS = 20_000  # of all stages together, not counting layers; above, counting would take minutes


def stages_can_merge(rows: Sequence[StageRows], stem_channels: int) -> bool:
    """True if different rows can build the same blocks, not counting absent stages.

    A quick check of necessary conditions: true does not mean that such rows exist.
    """
    stages = [each.offered for each in rows]
    # Different ratios may round to one squeeze width.
    if any(len(stage.options("se_ratio")) > 1 for stage in stages):
        return True
    # So may different expansion ratios, for one of the numbers of channels that a stage may be given.
    channels = {stem_channels}
    for stage in stages:
        channels |= set(stage.channels)
        widths = ({expanded_width(before, ratio) for ratio in stage.expansion_ratio} for before in channels)
        if any(len(each) < len(stage.expansion_ratio) for each in widths):
            return True
    # A plain convolution without a shortcut is a Fused-MBConv of the same kernel.
    for each in rows:
        kernels = {form.built.kernel_size for form in each.forms if form.built.op == CONV}
        if any(form.built.op == FUSED and form.built.kernel_size in kernels for form in each.forms):
            return True
    # A later stage may continue an earlier one, or take its place, if both share options of all fields, the
    # later one has no stride, and every stage between them can be absent.
    for j, later in enumerate(rows):
        for i in reversed(range(j)):
            if later.offered.stride == 1 and _share_blocks(rows[i], later, channels):
                return True
            if not rows[i].can_vanish:
                break
    return False


def _share_blocks(earlier: StageRows, later: StageRows, channels: set[int]) -> bool:
    """True if blocks within one stage, but for their squeeze widths, can also be within the other.

    `channels` are those that a stage may be given.
    """
    first, second = earlier.offered, later.offered
    shared = set(first.channels) & set(second.channels)
    if not (shared and _activations(first) & _activations(second)):
        return False
    # A stage that goes on with another's blocks is given their channels; one in its place is given any.
    given = shared | channels if earlier.can_vanish else shared
    ops, others = _ops_by_built(earlier), _ops_by_built(later)
    for built in ops.keys() & others.keys():
        facts = op_facts(built.op)
        for width in shared if facts.narrows or facts.widens_output else given:
            if _widths(first, width, ops[built]) & _widths(second, width, others[built]):
                return True
    return False


def _activations(stage: StageChoices) -> set[str]:
    """The activations with which a stage's blocks are described."""
    found = {activation or SILU for activation in stage.options("activation")}
    return found if all(op_facts(op).takes_activation for op in stage.op) else found | {SILU}


def _ops_by_built(rows: StageRows) -> dict[Built, set[Op]]:
    """The ops and kernel sizes of which a stage's blocks may be, each with the ops that are chosen for it."""
    found: dict[Built, set[Op]] = {}
    for form in rows.forms:
        found.setdefault(form.built, set()).add(form.op)
        if form.built.op == CONV:
            found.setdefault(form.built._replace(op=FUSED), set()).add(form.op)
    return found


def _widths(stage: StageChoices, channels: int, ops: Iterable[Op]) -> set[int]:
    """The inner widths that a stage's expansion ratios give, where its input or output has these channels."""
    return {
        inner_width(op, channels, channels, ratio)
        for op in ops
        for ratio in (stage.expansion_ratio if op_facts(op).takes_expansion else (1,))
    }


def smallest_encoding(
    rows: Sequence[StageRows], blocks: Sequence[Block], stem_channels: int
) -> Choices | None:
    """The lexicographically smallest choices that build exactly these blocks; None where none do.

    Dynamic programming over (stage, number of blocks built so far). A stage tries its fitting rows in
    ascending order, so the first one that the later stages can complete gives the smallest choices.
    """
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
    """The rows, with their layers, that build the blocks from `position` on, given the input channels."""
    if rows.can_vanish:
        yield rows.absent, 0
    if position == len(blocks) or blocks[position].stride != rows.offered.stride:
        return
    for form in rows.forms:
        if not _may_be(form.built, blocks[position]):
            continue
        # Step 1: the options of each field that fit the first block. Several ratios may round to its widths.
        fitting = [
            [i for i in options if len(options) == 1 or _fits(name, rows.offered, form, i, blocks[position])]
            for name, options in zip(rows.fields, form.options, strict=True)
        ]
        # Step 2: of their combinations, those that build all of the blocks.
        for row in product(*fitting):
            stage = rows.stage(row)
            if tuple(stage.blocks(channels)) == tuple(blocks[position : position + stage.layers]):
                yield row, stage.layers


def _may_be(built: Built, block: Block) -> bool:
    """False if no block of a stage that is built as this is that block."""
    same = Built(block.op, block.kernel_size, block.start_kernel_size) == built
    return same or (built.op == CONV and (block.op, block.kernel_size) == (FUSED, built.kernel_size))


def _fits(field: str, offered: StageChoices, form: Form, index: int, block: Block) -> bool:
    """False if no block with this option of a field is that block, the first of its stage."""
    value = offered.options(field)[index]
    if field == "expansion_ratio":
        width = inner_width(form.op, block.in_channels, block.out_channels, value)
        return width == block.expanded_channels
    if field == "activation":
        return (value or SILU) == block.activation
    return field != "channels" or value == block.out_channels


# ---------------------------------------------------------------------- counting


@dataclass(frozen=True)
class _Place:
    """State of the automaton: inside a stage, for one combination of its options, after `layers` blocks."""

    stage: int
    kind: int
    layers: int


def count_distinct(rows: Sequence[StageRows], stem_channels: int) -> int:
    """The exact number of different sequences of blocks that the rows can build.

    1. The rows are a nondeterministic finite automaton that reads blocks: a `_Place` is a state, and one
       sequence of blocks may have several paths, because different rows can build it.
    2. The subset construction makes it deterministic: a state is the set of places in which the reader may
       be, and every sequence has exactly one path.
    3. Paths are counted by memoised depth-first search: the number of sequences from a state on is the sum
       over its successors, plus 1 if a sequence may end there.

    Raises:
        ValueError: the stages have too many rows to count in seconds.
    """
    reader = _BlockReader(rows)
    start = frozenset[_Place]()
    after: dict[frozenset[_Place], list[frozenset[_Place]]] = {
        start: list(reader.starts(0, stem_channels).values())
    }
    # Post-order: a state is counted, and leaves the stack, as soon as all of its successors are counted. The
    # stack is explicit, because sequences of thousands of blocks exceed Python's recursion limit.
    counts: dict[frozenset[_Place], int] = {}
    stack = [start]
    while stack:
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
    """The automaton's transitions: states are sets of places, and each step reads one block."""

    def __init__(self, rows: Sequence[StageRows]) -> None:
        kinds = [(each.count - each.can_vanish) // sum(map(bool, each.offered.layers)) for each in rows]
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
        """True if a sequence may end here: a stage has so many layers, and no later one must be present."""
        return any(self.ends[place.stage] and place.layers in self.layers[place.stage] for place in state)

    def starts(self, first: int, channels: int) -> dict[Block, frozenset[_Place]]:
        """Transitions into stage `first`, and into later ones as long as those before them can be absent."""
        found: dict[Block, set[_Place]] = {}
        for i in range(first, len(self.rows)):
            for kind, stage in enumerate(self.kinds[i]):
                found.setdefault(stage.block(channels), set()).add(_Place(i, kind, 1))
            if not self.rows[i].can_vanish:
                break
        return {block: frozenset(places) for block, places in found.items()}

    def step(self, state: frozenset[_Place]) -> dict[Block, frozenset[_Place]]:
        """Transitions from a state: for each block that may come next, the state that it leads to."""
        found: dict[Block, set[_Place]] = {}
        for place in state:
            stage = self.kinds[place.stage][place.kind]
            # One more block of the same stage,
            if place.layers < max(self.layers[place.stage]):
                block = stage.block(stage.channels, first=False)
                found.setdefault(block, set()).add(_Place(place.stage, place.kind, place.layers + 1))
            # or, where the stage may end here, the first block of a later one.
            if place.layers in self.layers[place.stage]:
                for block, places in self.starts(place.stage + 1, stage.channels).items():
                    found.setdefault(block, set()).update(places)
        return {block: frozenset(places) for block, places in found.items()}


def _kinds(rows: StageRows) -> Iterator[Stage]:
    """One stage for each combination of options other than layers."""
    for form in rows.forms:
        options = zip(rows.fields, form.options, strict=True)
        for row in product(*(some[:1] if name == "layers" else some for name, some in options)):
            yield rows.stage(row)
