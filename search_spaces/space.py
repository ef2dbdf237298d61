"""A search space: for each stage the options of every field, and what a strategy sees of it."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass as plain_dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from search_spaces.architecture import (
    MAX_CHANNELS,
    MAX_LAYERS,
    STRICT,
    Architecture,
    Block,
    Op,
    Padding,
    Stage,
)
from search_spaces.limits import Limits

Choices = tuple[int, ...]

DECIDED = ("op", "kernel_size", "expansion_ratio", "channels", "layers", "se_ratio")
MAX_REJECTIONS = 10_000
MAX_OPTIONS = 64


def _as_options(value: Any) -> Any:
    """A plain value in YAML is one option; a mapping (se_ratio by op) stays."""
    return value if isinstance(value, (list, tuple, dict)) else [value]


Ops = Annotated[tuple[Op, ...], BeforeValidator(_as_options), Field(min_length=1)]
Kernels = Annotated[tuple[Literal[3, 5], ...], BeforeValidator(_as_options), Field(min_length=1)]
Expansions = Annotated[
    tuple[Annotated[int, Field(ge=1, le=64)], ...],
    BeforeValidator(_as_options),
    Field(min_length=1, max_length=MAX_OPTIONS),
]
Widths = Annotated[
    tuple[Annotated[int, Field(ge=1, le=MAX_CHANNELS)], ...],
    BeforeValidator(_as_options),
    Field(min_length=1, max_length=MAX_OPTIONS),
]
Depths = Annotated[
    tuple[Annotated[int, Field(ge=0, le=MAX_LAYERS)], ...],
    BeforeValidator(_as_options),
    Field(min_length=1, max_length=MAX_OPTIONS),
]
Ratio = Annotated[float, Field(ge=0, le=1)]
SqueezeRatios = Annotated[tuple[Ratio, ...] | dict[Op, Ratio], BeforeValidator(_as_options)]


def _official_squeeze_ratios() -> tuple[float, ...] | dict[Op, float]:
    return {"mbconv": 0.25, "fused_mbconv": 0.0}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StageChoices:
    """The fields of a Stage, each a tuple of options; one value in YAML is one option.

    `se_ratio` is either options like the others, or one value for each op (the official code's: 0.25 in
    MBConv, none in Fused-MBConv), which is no decision.
    """

    op: Ops
    kernel_size: Kernels
    stride: Literal[1, 2] = 1
    expansion_ratio: Expansions
    channels: Widths
    layers: Depths
    se_ratio: SqueezeRatios = Field(default_factory=_official_squeeze_ratios)

    def __post_init__(self) -> None:
        for name in DECIDED:
            options = getattr(self, name)
            if isinstance(options, tuple) and len(set(options)) < len(options):
                raise ValueError(f"{name}: an option stands twice in {list(options)}; give each once")
        if isinstance(self.se_ratio, dict) and (missing := set(self.op) - set(self.se_ratio)):
            raise ValueError(f"se_ratio: no value for {', '.join(sorted(missing))}; give one for each op")
        if self.stride == 2 and 0 in self.layers:
            raise ValueError(
                "layers: a stage of stride 2 cannot have 0 layers: the stages after it would not fit"
            )

    def options(self, field: str) -> tuple[Any, ...]:
        """The options of a field of DECIDED; a se_ratio that follows from the op has none to choose from."""
        value = getattr(self, field)
        return value if isinstance(value, tuple) else (None,)

    def stage(self, chosen: dict[str, Any]) -> Stage:
        """The stage in which each field has the chosen value."""
        squeeze = self.se_ratio[chosen["op"]] if isinstance(self.se_ratio, dict) else chosen["se_ratio"]
        return Stage(**{**chosen, "se_ratio": squeeze}, stride=self.stride)


@plain_dataclass(frozen=True)
class Decision:
    """One thing to decide: a field of a stage (from 0) with at least two options."""

    stage: int
    field: str
    options: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SearchSpace:
    """Every architecture that a search may choose, factorized by stage (EfficientNetV2, section 3.3).

    `choices` are indices of options, one for each decision, in the order of `decisions`. Step time and
    parameters are compared with the `reference` network's.
    """

    SHIPPED: ClassVar[Path] = Path(__file__).parent / "spaces"

    stem_channels: int = Field(ge=1, le=MAX_CHANNELS)
    stem_stride: Literal[1, 2] = 2
    stages: tuple[StageChoices, ...] = Field(min_length=1, max_length=64)
    head_channels: int = Field(ge=1, le=MAX_CHANNELS)
    padding: Padding = "symmetric"
    reference: Architecture
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if all(0 in stage.layers for stage in self.stages):
            raise ValueError("stages: all of them may have 0 layers; one at least must always be there")

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """What there is to decide, stage by stage."""
        return tuple(
            Decision(i, field, stage.options(field))
            for i, stage in enumerate(self.stages)
            for field in DECIDED
            if len(stage.options(field)) > 1
        )

    @property
    def num_options(self) -> tuple[int, ...]:
        return tuple(len(decision.options) for decision in self.decisions)

    @property
    def size(self) -> int:
        """The number of choices. Different choices may build the same network where a stage can be absent."""
        return math.prod(self.num_options)

    def decode(self, choices: Sequence[int]) -> Architecture:
        """The architecture of these choices.

        Raises:
            ValueError: not as many as decisions, or an index that is no option's.
        """
        if len(choices) != len(self.decisions):
            raise ValueError(f"{len(choices)} choices given; this space has {len(self.decisions)} decisions")
        chosen = [{field: stage.options(field)[0] for field in DECIDED} for stage in self.stages]
        for choice, decision in zip(choices, self.decisions, strict=True):
            if not 0 <= choice < len(decision.options):
                raise ValueError(
                    f"choice {choice} for {decision.field} of stage {decision.stage + 1}: options are 0 to "
                    f"{len(decision.options) - 1}"
                )
            chosen[decision.stage][decision.field] = decision.options[choice]
        return self._architecture(
            tuple(stage.stage(fields) for stage, fields in zip(self.stages, chosen, strict=True))
        )

    def encode(self, architecture: Architecture) -> Choices:
        """The smallest choices, in lexicographic order, that build the same network.

        Raises:
            ValueError: no choices do.
        """
        same = (
            architecture.stem_channels == self.stem_channels,
            architecture.stem_stride == self.stem_stride,
            architecture.head_channels == self.head_channels,
            architecture.padding == self.padding,
        )
        if not all(same):
            raise ValueError("this architecture has another stem, head or padding than the space")
        blocks = tuple(architecture.blocks())
        found = next(self._encodings(0, blocks, self.stem_channels), None)
        if found is None:
            raise ValueError("this architecture is not in the space: no options build its blocks")
        return found

    def canonical(self, choices: Sequence[int]) -> Choices:
        """The one representative of all choices that build the same network."""
        architecture = self.decode(choices)
        return tuple(choices) if self._is_injective else self.encode(architecture)

    def choice_space(self) -> "ChoiceSpace":
        """What a strategy sees of this space."""
        return ChoiceSpace(self.num_options, canonical=self.canonical)

    def smallest(self) -> Choices:
        """Fewest layers, smallest kernels, expansions and widths, MBConv where offered."""
        return self._extreme(min, "mbconv")

    def largest(self) -> Choices:
        """Most layers, largest kernels, expansions and widths, Fused-MBConv where offered."""
        return self._extreme(max, "fused_mbconv")

    def _extreme(self, pick: Callable[[Iterable[Any]], Any], op: str) -> Choices:
        wanted = (
            op if decision.field == "op" and op in decision.options else pick(decision.options)
            for decision in self.decisions
        )
        return tuple(
            decision.options.index(value) for decision, value in zip(self.decisions, wanted, strict=True)
        )

    def _architecture(self, stages: tuple[Stage, ...]) -> Architecture:
        return Architecture(
            stem_channels=self.stem_channels,
            stem_stride=self.stem_stride,
            stages=stages,
            head_channels=self.head_channels,
            padding=self.padding,
        )

    @cached_property
    def _is_injective(self) -> bool:
        """Different choices always build different networks: no stage can vanish or continue the one before.

        Expansion ratios of one op differ in the blocks, and so do kernels, widths, depths and squeeze ratios,
        unless ratios round to the same squeeze width. A stage can continue the one before only without a
        stride.
        """
        for i, stage in enumerate(self.stages):
            if 0 in stage.layers or len(stage.options("se_ratio")) > 1:
                return False
            if i and stage.stride == 1 and set(stage.channels) & set(self.stages[i - 1].channels):
                return False
        return True

    def _encodings(self, index: int, blocks: tuple[Block, ...], channels: int) -> Iterator[Choices]:
        """Choices of the stages from `index` on that build exactly these blocks, in lexicographic order."""
        if index == len(self.stages):
            if not blocks:
                yield ()
            return
        stage = self.stages[index]
        decided = [field for field in DECIDED if len(stage.options(field)) > 1]
        for indices in np.ndindex(*(len(stage.options(field)) for field in decided)):
            chosen = {field: stage.options(field)[0] for field in DECIDED}
            chosen |= {field: stage.options(field)[i] for field, i in zip(decided, indices, strict=True)}
            row = stage.stage(chosen)
            if row.layers > len(blocks) or tuple(_blocks_of(row, channels)) != blocks[: row.layers]:
                continue
            after = row.channels if row.layers else channels
            for rest in self._encodings(index + 1, blocks[row.layers :], after):
                yield tuple(map(int, indices)) + rest


def _blocks_of(stage: Stage, channels: int) -> Iterator[Block]:
    """The blocks of one stage on that many input channels."""
    if stage.layers:
        yield from Architecture(stem_channels=channels, stages=(stage,), head_channels=1).blocks()


class ChoiceSpace:
    """A space as strategies see it: integer tuples, of which some may be equal, and some not allowed.

    Args:
        num_options: for each decision, how many options it has; may be empty (one architecture).
        canonical: the one representative of equal choices; default: every tuple is its own.
        known: what needs no training, by name, as ratios to the reference network.
        is_allowed: whether choices are within the limits, by `known` alone.
    """

    def __init__(
        self,
        num_options: Sequence[int],
        *,
        canonical: Callable[[Choices], Choices] | None = None,
        known: Callable[[Choices], dict[str, float]] | None = None,
        is_allowed: Callable[[Choices], bool] | None = None,
    ) -> None:
        if any(count < 1 for count in num_options):
            raise ValueError(f"every decision needs an option; found {list(num_options)}")
        self.num_options: Choices = tuple(num_options)
        self._canonical = canonical
        self._known = known
        self._is_allowed = is_allowed
        self._rows: tuple[Choices, ...] | None = None

    @classmethod
    def from_table(cls, rows: Iterable[Sequence[int]]) -> Self:
        """The space of exactly these rows."""
        table = tuple(dict.fromkeys(tuple(int(i) for i in row) for row in rows))
        if not table:
            raise ValueError("a table of choices needs at least one row")
        if len({len(row) for row in table}) > 1:
            raise ValueError("the rows of a table of choices must be of one length")
        members = frozenset(table)
        space = cls([max(column) + 1 for column in zip(*table, strict=True)], is_allowed=members.__contains__)
        space._rows = table
        return space

    @property
    def size(self) -> int:
        """The number of choices, equal ones counted each."""
        return len(self._rows) if self._rows is not None else math.prod(self.num_options)

    def contains(self, choices: Choices) -> bool:
        """Whether these are choices of this space at all, allowed or not."""
        return len(choices) == len(self.num_options) and all(
            0 <= choice < count for choice, count in zip(choices, self.num_options, strict=True)
        )

    def canonical(self, choices: Choices) -> Choices:
        """The one representative of all choices that are equal to these."""
        return self._canonical(choices) if self._canonical else choices

    def known(self, choices: Choices) -> dict[str, float]:
        """What is known without training, by name, as ratios to the reference network."""
        return self._known(choices) if self._known else {}

    def is_allowed(self, choices: Choices) -> bool:
        """Whether the limits on what is known allow these choices."""
        return self._is_allowed is None or self._is_allowed(choices)

    def sample(self, rng: np.random.Generator) -> Choices:
        """Uniform over distinct allowed choices: draws that are not canonical or not allowed are drawn again.

        Raises:
            ValueError: nothing was found in 10,000 draws.
        """
        if self._rows is not None:
            return self._rows[int(rng.integers(len(self._rows)))]
        for _ in range(MAX_REJECTIONS):
            choices = tuple(int(i) for i in rng.integers(self.num_options)) if self.num_options else ()
            if self.canonical(choices) == choices and self.is_allowed(choices):
                return choices
        raise ValueError(
            f"{MAX_REJECTIONS:,} random architectures were all outside the limits; widen limits or space"
        )

    def neighbours(self, choices: Choices) -> list[Choices]:
        """All distinct allowed choices that differ from these in one decision, in canonical form."""
        found: dict[Choices, None] = {}
        for i, count in enumerate(self.num_options):
            for option in range(count):
                if option != choices[i]:
                    other = self.canonical((*choices[:i], option, *choices[i + 1 :]))
                    if self.is_allowed(other):
                        found[other] = None
        found.pop(self.canonical(choices), None)
        return list(found)
