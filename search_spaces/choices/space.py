"""A search space: the options of every field of every stage, and the architectures they combine to."""

import math
from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import field, replace
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
from search_spaces.choices.extremes import extreme_choices
from search_spaces.choices.limits import Limits
from search_spaces.choices.predicted_limit import PredictedCosts, StepTimeEstimate
from search_spaces.choices.stage_choices import StageChoices
from search_spaces.choices.stage_rows import StageRows
from search_spaces.choices.uniform import UniformDraw
from search_spaces.networks.architecture import Architecture, Padding, Stage
from search_spaces.networks.bounds import MAX_CHANNELS
from search_spaces.networks.ops import op_facts
from search_spaces.networks.provenance import DEFAULT_CLASSES, DEFAULT_RESOLUTION
from search_spaces.networks.stage_fields import SILU, Activation
from search_spaces.settings.kinds import LEFT_OUT
from search_spaces.settings.strict import STRICT

# Fields in which all architectures of a space are alike
OUTSIDE_STAGES = ("stem_channels", "stem_stride", "head_channels", "padding", "activation")


@plain_dataclass(frozen=True)
class Decision:
    """One decision: a field of a stage (counted from 0) with at least two options."""

    stage: int
    field: str
    options: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SearchSpace:
    """All architectures that a search may choose, factorized by stage (EfficientNetV2, section 3.3).

    `choices` are option indices, one for each decision, in the order of `decisions`. Step time, parameters
    and MACs are compared with those of the `reference` network. `limits` bound an architecture's cost.
    `activation` is that of stem and head, and of stages that do not say: these get it here.
    """

    SHIPPED: ClassVar[Path] = Path(__file__).parent.parent / "spaces"

    stem_channels: int = Field(ge=1, le=MAX_CHANNELS)
    stem_stride: Literal[1, 2] = 2
    stages: tuple[StageChoices, ...] = Field(min_length=1, max_length=64)
    head_channels: int = Field(ge=1, le=MAX_CHANNELS)
    padding: Padding = "symmetric"
    activation: Activation = field(default=SILU, metadata={LEFT_OUT: SILU})
    reference: Architecture
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if all(0 in stage.layers for stage in self.stages):
            raise ValueError("stages: all of them may have 0 layers; one at least must always be there")
        if self.activation != SILU or any(stage.activation for stage in self.stages):
            stages = tuple(_with_activation(stage, self.activation) for stage in self.stages)
            object.__setattr__(self, "stages", stages)

    @cached_property
    def rows(self) -> tuple[StageRows, ...]:
        """The possible rows of each stage."""
        return tuple(StageRows(stage) for stage in self.stages)

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """All decisions, stage by stage."""
        return tuple(
            Decision(i, field, stage.options(field))
            for i, (stage, rows) in enumerate(zip(self.stages, self.rows, strict=True))
            for field in rows.fields
        )

    @cached_property
    def num_options(self) -> Choices:
        """The number of options of each decision."""
        return tuple(len(decision.options) for decision in self.decisions)

    @property
    def size(self) -> int:
        """The number of choices; choices that build the same network are counted separately."""
        return math.prod(self.num_options)

    @cached_property
    def distinct_size(self) -> int:
        """The exact number of different networks, ignoring limits.

        Raises:
            ValueError: stages that continue each other have too many options to count the networks in time.
        """
        if self._is_ambiguous:
            return count_distinct(self.rows, self.stem_channels)
        return math.prod(rows.count for rows in self.rows)

    @property
    def num_architectures(self) -> int | None:
        """The exact number of different networks; None where counting them would take too long."""
        try:
            return self.distinct_size
        except ValueError:
            return None

    def decode(self, choices: Sequence[int]) -> Architecture:
        """The architecture of these choices, within the limits or not.

        Raises:
            ValueError: the number of choices is wrong, or an index is out of range.
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
            activation=self.activation,
        )

    def split(self, choices: Sequence[int]) -> list[Choices]:
        """The choices, divided by stage.

        Raises:
            ValueError: the number of choices is not the number of decisions.
        """
        if len(choices) != len(self.num_options):
            raise ValueError(
                f"{len(choices)} choices given; this space has {len(self.num_options)} decisions"
            )
        return [tuple(choices[start:end]) for start, end in self._bounds]

    def encode(self, architecture: Architecture) -> Choices:
        """The lexicographically smallest choices that build this network.

        Raises:
            ValueError: no choices of the space build it.
        """
        given = {name: (getattr(architecture, name), getattr(self, name)) for name in OUTSIDE_STAGES}
        unlike = [
            f"{name}: {found} given; expected {own}" for name, (found, own) in given.items() if found != own
        ]
        if unlike:
            raise ValueError(
                f"{', and '.join(unlike)}: architectures have the stem, head and padding of their space"
            )
        found = smallest_encoding(self.rows, tuple(architecture.blocks()), self.stem_channels)
        if found is None:
            raise ValueError("this architecture is not in the space: no options build its blocks")
        return found

    def canonical(self, choices: Sequence[int]) -> Choices:
        """The one representative of all choices that build the same network as these."""
        if self._is_ambiguous:
            return self.encode(self.decode(choices))
        parts = self.split(choices)
        return sum((rows.canonical(part) for rows, part in zip(self.rows, parts, strict=True)), ())

    def choice_space(
        self,
        *,
        num_classes: int = DEFAULT_CLASSES,
        resolution: int = DEFAULT_RESOLUTION,
        step_time: StepTimeEstimate | None = None,
    ) -> ChoiceSpace:
        """The ChoiceSpace through which strategies see this space.

        Limits on parameters and MACs hold for `num_classes` classes at `resolution` pixels. With a
        `step_time` estimate the limit on the step time ratio is kept, too, as far as it can predict.
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
        """Share (0-1) of the choices within the limits on parameters and MACs, estimated by draws.

        Raises:
            NothingWithinLimitsError: no choices are within the limits.
        """
        draw = self._draw(SpaceCosts(self, num_classes=num_classes, resolution=resolution))
        draw(np.random.default_rng(0))  # raises if nothing is within the limits
        return draw.share_within_limits

    def _draw(self, costs: SpaceCosts) -> UniformDraw:
        canonical = self.canonical if self._is_ambiguous else None
        return UniformDraw(self.rows, canonical=canonical, costs=costs if costs.limits else None)

    def smallest(self) -> Choices:
        """The choices with the fewest parameters, within the limits or not (`extremes.py`)."""
        return self._smallest

    def largest(self) -> Choices:
        """The choices with the most parameters, within the limits or not."""
        return self._largest

    @cached_property
    def _smallest(self) -> Choices:
        return extreme_choices(self, "smallest")

    @cached_property
    def _largest(self) -> Choices:
        return extreme_choices(self, "largest")

    @cached_property
    def _bounds(self) -> tuple[tuple[int, int], ...]:
        """(begin, end) of each stage's choices in a tuple of choices."""
        ends = np.cumsum([0, *(len(rows.fields) for rows in self.rows)]).tolist()
        return tuple(pairwise(ends))

    @cached_property
    def _is_ambiguous(self) -> bool:
        """True if different rows may build the same network, not counting absent stages."""
        return stages_can_merge(self.rows, self.stem_channels)


def _with_activation(stage: StageChoices, activation: Activation) -> StageChoices:
    """The stage as it stands in a space of this activation: one of SiLU alone does not say it."""
    if not any(op_facts(op).takes_activation for op in stage.op):
        return stage
    found = stage.activation or (activation,)
    own = None if found == (activation,) == (SILU,) else found
    return stage if own == stage.activation else replace(stage, activation=own)
