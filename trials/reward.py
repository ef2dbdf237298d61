"""The search's objective: one number from what was measured of a trial."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from search_spaces.yaml_messages import suggestion
from trials.trial import REWARDABLE, TrialResult

LARGEST_EXPONENT = 10.0


@dataclass(frozen=True)
class Reward:
    """Weighted product A * S^w * P^v (EfficientNetV2, section 3.3: w = -0.07, v = -0.05).

    Every quantity but the accuracy is its ratio to the reference network's. The reference multiplies all
    rewards by one constant, so it never changes which of two architectures is better; it keeps rewards
    comparable between runs.
    """

    terms: Mapping[str, float]  # exponent by measured quantity; negative favours small values

    def __post_init__(self) -> None:
        for name, exponent in self.terms.items():
            if name not in REWARDABLE:
                raise ValueError(
                    f"reward: {name} is not measured; measured are {', '.join(REWARDABLE)}"
                    f"{suggestion(name, REWARDABLE)}"
                )
            if not abs(exponent) <= LARGEST_EXPONENT:
                raise ValueError(
                    f"reward: {name} has the exponent {exponent:g}; it must be between -{LARGEST_EXPONENT:g} "
                    f"and {LARGEST_EXPONENT:g} (the paper's are -0.07 and -0.05)"
                )

    def __call__(self, result: TrialResult) -> float | None:
        """At least 0; 0 if infeasible; None if crashed, which says nothing about the architecture."""
        if result.status == "crashed":
            return None
        if result.status == "infeasible" or result.measurement is None:
            return 0.0
        return self.of(result.measurement.accuracy, result.measurement.ratio_to_reference)

    def of(self, accuracy: float, ratio_to_reference: Callable[[str], float]) -> float:
        """The reward of an accuracy and of ratios, asked for by name."""
        return accuracy * math.prod(
            ratio_to_reference(name) ** exponent for name, exponent in self.terms.items()
        )
