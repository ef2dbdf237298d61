"""Step times of a family's members: measured ones, and what they say of the others."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from nas.scaling.compound import Member

SLOPES = (0.5, 1.5)  # of log step time over log MACs beyond what was measured; 1: proportional


@dataclass(frozen=True)
class Step:
    """A measured training step at a member's training resolution; `ratio` to the base's at the base's own."""

    seconds: float
    ratio: float
    spread: float | None = None
    flag: str | None = None  # why the timing is uncertain


MeasureStep = Callable[[Member], Step]


@dataclass
class StepTable:
    """Step times of measured members, and predictions of those between and beyond them.

    Predictions are straight lines of log ratio over log training MACs. A member that was measured faster than
    a smaller one is taken to be as slow as that: predictions never fall as members grow.
    """

    base: Member
    measure: MeasureStep
    measured: list[tuple[Member, Step]] = field(default_factory=list)

    def of(self, member: Member) -> Step:
        """Measured now, unless it was before."""
        if (known := self.known(member)) is not None:
            return known
        step = self.measure(member)
        self.measured.append((member, step))
        self.measured.sort(key=lambda pair: pair[0].training_macs)
        return step

    def known(self, member: Member) -> Step | None:
        """The measured step of this network at these sizes; None where it was not measured."""
        return next((step for other, step in self.measured if other.builds_the_same(member)), None)

    def base_step(self) -> Step:
        """The base's step, measured once."""
        return self.of(self.base)

    def predicted_ratio(self, member: Member) -> float:
        """The step time as a ratio to the base's: a measured one's own, or a smaller one's above it."""
        self.base_step()
        # A running maximum over growing members: times that fall are noise.
        points: list[tuple[float, float]] = []
        for other, step in self.measured:
            x, y = math.log(other.training_macs), math.log(step.ratio)
            points.append((x, max(y, points[-1][1]) if points else y))
        return math.exp(_on_line(points, math.log(member.training_macs)))

    def notes(self) -> list[str]:
        """Pairs of measured members of which the larger was faster."""
        pairs = zip(self.measured, self.measured[1:], strict=False)
        return [
            f"step times do not grow with size between {small.name} ({before.ratio:.2f}x) and {large.name} "
            f"({after.ratio:.2f}x): noise, or a size that suits this device; the larger time was taken"
            for (small, before), (large, after) in pairs
            if after.ratio < before.ratio
        ]


def _on_line(points: list[tuple[float, float]], x: float) -> float:
    """Piecewise linear through sorted points; beyond them with the slope of the end, within SLOPES."""
    after = next((i for i, (at, _) in enumerate(points) if at >= x), len(points))
    if 0 < after < len(points):
        (x0, y0), (x1, y1) = points[after - 1 : after + 1]
        return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    # Beyond both ends: from the nearest point on, with the slope of the two last points there.
    ends = points[:2] if after == 0 else points[-2:]
    near = points[0] if after == 0 else points[-1]
    slope = 1.0
    if len(ends) == 2 and ends[1][0] > ends[0][0]:
        slope = (ends[1][1] - ends[0][1]) / (ends[1][0] - ends[0][0])
        slope = min(max(slope, SLOPES[0]), SLOPES[1])
    return near[1] + slope * (x - near[0])
