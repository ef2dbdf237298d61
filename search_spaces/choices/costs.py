"""Parameters and MACs of a space's architectures, summed from stages that are counted once each."""

import math
from collections.abc import Iterator, Sequence
from functools import cached_property

from search_spaces.choices.choice_space import Choices
from search_spaces.choices.factorized import FactorizedSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import Counts, Figures, count, count_ends, count_stage


class SpaceCosts:
    """Parameters and MACs of a space's choices, for a number of classes at a resolution (pixels).

    A stage's cost depends on its own row and on its input channels, not on the rows of other stages; its
    side in pixels is fixed, because strides are no decisions. So each (row, input channels) is counted once.
    """

    def __init__(self, space: FactorizedSpace, *, num_classes: int, resolution: int) -> None:
        self.space = space
        self.num_classes = num_classes
        self.resolution = resolution
        self.limits = space.limits.counted()
        sides = [math.ceil(resolution / space.stem_stride)]
        for stage in space.stages:
            sides.append(math.ceil(sides[-1] / stage.stride))
        self._sides = sides  # side of the feature map before each stage, and after the last one
        self._stages: dict[tuple[int, Choices, int], tuple[Figures, int]] = {}
        self._ends: dict[int, Figures] = {}

    def stage(self, index: int, row: Choices, channels: int) -> tuple[Figures, int]:
        """The counts of a stage's row that is given `channels` input channels, and its output channels."""
        key = (index, row, channels)
        if key not in self._stages:
            stage = self.space.rows[index].stage(row)
            figures = count_stage(
                stage, in_channels=channels, side=self._sides[index], padding=self.space.padding
            )
            self._stages[key] = figures, stage.channels if stage.layers else channels
        return self._stages[key]

    def ends(self, last_channels: int) -> Figures:
        """The counts of stem, head and classifier, given the output channels of the last stage."""
        if last_channels not in self._ends:
            self._ends[last_channels] = count_ends(
                self._any_architecture,  # all have the same stem and head
                last_channels=last_channels,
                side=self._sides[-1],
                num_classes=self.num_classes,
                resolution=self.resolution,
            )
        return self._ends[last_channels]

    @cached_property
    def _any_architecture(self) -> Architecture:
        return self.space.decode((0,) * sum(len(rows.fields) for rows in self.space.rows))

    def figures(self, choices: Sequence[int]) -> dict[str, int]:
        """Parameters and MACs of the network of these choices, by name."""
        params = macs = 0
        channels = self.space.stem_channels
        for index, row in enumerate(self.space.split(choices)):
            figures, channels = self.stage(index, row, channels)
            params += figures.params
            macs += figures.macs
        ends = self.ends(channels)
        return {"params": params + ends.params, "macs": macs + ends.macs}

    @cached_property
    def reference(self) -> Counts:
        """The reference network's counts."""
        return count(self.space.reference, num_classes=self.num_classes, resolution=self.resolution)

    def ratios(self, choices: Choices) -> dict[str, float]:
        """Parameters and MACs over the reference network's."""
        figures = self.figures(choices)
        return {name: value / getattr(self.reference, name) for name, value in figures.items()}

    def within_limits(self, choices: Choices) -> bool:
        """True if these choices are within the space's limits on parameters and MACs."""
        figures = self.figures(choices)
        return all(figures[name] <= most for name, most in self.limits.items())

    def least(self) -> dict[str, int]:
        """The fewest parameters and the fewest MACs of any choices (not necessarily of the same ones)."""
        return {name: self._least(name) for name in ("params", "macs")}

    def _least(self, name: str) -> int:
        """The smallest value of one quantity, by dynamic programming over the stages.

        Costs add up, and a stage depends on the earlier ones only through their output channels. So it is
        enough to keep, for each number of channels, the least cost of the stages so far that end with it.
        """
        best = {self.space.stem_channels: 0}
        for index in range(len(self.space.stages)):
            after: dict[int, int] = {}
            for cost, channels in self._steps(index, best, name):
                after[channels] = min(cost, after.get(channels, cost))
            best = after
        return min(cost + getattr(self.ends(channels), name) for channels, cost in best.items())

    def _steps(self, index: int, best: dict[int, int], name: str) -> Iterator[tuple[int, int]]:
        """(cost so far, output channels) for each way of adding a row of stage `index`."""
        for channels, cost in best.items():
            for row in self.space.rows[index].rows():
                figures, out_channels = self.stage(index, row, channels)
                yield cost + getattr(figures, name), out_channels
