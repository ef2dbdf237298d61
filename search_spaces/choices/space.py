"""A search space: for each stage the options of every field, and every architecture that they make."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass as plain_dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from search_spaces.choices.choice_space import Choices, ChoiceSpace
from search_spaces.choices.costs import SpaceCosts
from search_spaces.choices.duplicates import count_distinct, smallest_encoding, stages_can_merge
from search_spaces.choices.limits import Limits
from search_spaces.choices.predicted_limit import PredictedCosts, StepTimeEstimate
from search_spaces.choices.stage_choices import StageChoices
from search_spaces.choices.stage_rows import StageRows
from search_spaces.choices.uniform import UniformDraw
from search_spaces.networks.architecture import MAX_CHANNELS, STRICT, Architecture, Padding, Stage


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
    parameters are compared with the `reference` network's. `limits` bound what an architecture may cost.
    """

    SHIPPED: ClassVar[Path] = Path(__file__).parent.parent / "spaces"

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
    def rows(self) -> tuple[StageRows, ...]:
        """What each stage may be."""
        return tuple(StageRows(stage) for stage in self.stages)

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """What there is to decide, stage by stage."""
        return tuple(
            Decision(i, field, stage.options(field))
            for i, (stage, rows) in enumerate(zip(self.stages, self.rows, strict=True))
            for field in rows.fields
        )

    @cached_property
    def num_options(self) -> Choices:
        """How many options each decision has."""
        return tuple(len(decision.options) for decision in self.decisions)

    @property
    def size(self) -> int:
        """The number of choices. Different choices may build the same network where a stage can be absent."""
        return math.prod(self.num_options)

    @cached_property
    def distinct_size(self) -> int:
        """The number of different networks, whatever the limits; exact.

        Raises:
            ValueError: stages that continue each other have so many options that counting does not end.
        """
        if self._is_ambiguous:
            return count_distinct(self.rows, self.stem_channels)
        return math.prod(rows.count for rows in self.rows)

    @property
    def num_architectures(self) -> int | None:
        """The number of different architectures; None where counting them does not end."""
        try:
            return self.distinct_size
        except ValueError:
            return None

    def decode(self, choices: Sequence[int]) -> Architecture:
        """The architecture of these choices, whatever the limits.

        Raises:
            ValueError: not as many as decisions, or an index that is no option's.
        """
        stages: list[Stage] = []
        for i, (rows, part) in enumerate(zip(self.rows, self.split(choices), strict=True), start=1):
            try:
                stages.append(rows.stage(part))
            except ValueError as error:
                raise ValueError(f"stage {i}: {error}") from None
        return Architecture(
            stem_channels=self.stem_channels,
            stem_stride=self.stem_stride,
            stages=tuple(stages),
            head_channels=self.head_channels,
            padding=self.padding,
        )

    def split(self, choices: Sequence[int]) -> list[Choices]:
        """The choices of each stage.

        Raises:
            ValueError: not as many as decisions.
        """
        if len(choices) != len(self.num_options):
            raise ValueError(
                f"{len(choices)} choices given; this space has {len(self.num_options)} decisions"
            )
        return [tuple(choices[start:end]) for start, end in self._bounds]

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
        found = smallest_encoding(self.rows, tuple(architecture.blocks()), self.stem_channels)
        if found is None:
            raise ValueError("this architecture is not in the space: no options build its blocks")
        return found

    def canonical(self, choices: Sequence[int]) -> Choices:
        """The one representative of all choices that build the same network."""
        if self._is_ambiguous:
            return self.encode(self.decode(choices))
        parts = self.split(choices)
        return sum((rows.canonical(part) for rows, part in zip(self.rows, parts, strict=True)), ())

    def choice_space(
        self, *, num_classes: int = 1000, resolution: int = 224, step_time: StepTimeEstimate | None = None
    ) -> ChoiceSpace:
        """What a strategy sees of this space. Limits hold for that many classes at that resolution (px).

        With `step_time` the limit on the step time ratio holds too, by that estimate.
        """
        costs = SpaceCosts(self, num_classes=num_classes, resolution=resolution)
        if step_time is not None:
            predicted = PredictedCosts(self, costs, self._draw(costs), step_time)
            return ChoiceSpace(
                self.num_options,
                canonical=self.canonical,
                known=predicted.known,
                is_allowed=predicted.is_allowed,
                draw=predicted.draw,
            )
        return ChoiceSpace(
            self.num_options,
            canonical=self.canonical,
            known=costs.ratios,
            is_allowed=costs.within_limits if costs.limits else None,
            draw=self._draw(costs),
        )

    def share_within_limits(self, *, num_classes: int, resolution: int) -> float:
        """The share of the choices that is within the limits on counted quantities, estimated by draws.

        Raises:
            ValueError: none is.
        """
        draw = self._draw(SpaceCosts(self, num_classes=num_classes, resolution=resolution))
        draw(np.random.default_rng(0))
        return draw.share_within_limits

    def _draw(self, costs: SpaceCosts) -> UniformDraw:
        canonical = self.canonical if self._is_ambiguous else None
        return UniformDraw(self.rows, canonical=canonical, costs=costs if costs.limits else None)

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

    @cached_property
    def _bounds(self) -> tuple[tuple[int, int], ...]:
        """Where each stage's choices begin and end."""
        ends = np.cumsum([0, *(len(rows.fields) for rows in self.rows)]).tolist()
        return tuple(pairwise(ends))

    @cached_property
    def _is_ambiguous(self) -> bool:
        """Rows that differ may build the same network, beyond stages that are absent."""
        return stages_can_merge(self.stages)
