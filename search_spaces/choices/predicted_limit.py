"""Step times that a prediction tells before training: a space's draws, limits and figures with them."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from search_spaces.choices.choice_space import Choices, Draw
from search_spaces.choices.costs import SpaceCosts
from search_spaces.choices.factorized import FactorizedSpace
from search_spaces.choices.rejection import MAX_REJECTIONS, first_accepted
from search_spaces.networks.architecture import Architecture

# An architecture's step time ratio, and the least that it may be: only what is beyond a limit by the least is
# not allowed.
StepTimeEstimate = Callable[[Architecture], tuple[float, float]]

REMEMBERED = 1 << 16


class PredictedCosts:
    """What counting and a prediction tell of a space's choices, before they train."""

    def __init__(
        self, space: FactorizedSpace, costs: SpaceCosts, draw: Draw, estimate: StepTimeEstimate
    ) -> None:
        self._costs = costs
        self._draw = draw
        self._limit = space.limits.step_time_ratio
        self._estimate = lru_cache(maxsize=REMEMBERED)(lambda choices: estimate(space.decode(choices)))

    def known(self, choices: Choices) -> dict[str, float]:
        """Parameters, MACs and step time over the reference network's."""
        return {**self._costs.ratios(choices), "step_time": self._estimate(choices)[0]}

    def is_allowed(self, choices: Choices) -> bool:
        """Whether these choices are within the limits on what is counted and on step time."""
        return self._costs.within_limits(choices) and self._is_fast_enough(choices)

    def draw(self, rng: np.random.Generator) -> Choices:
        """Uniform over distinct architectures within the limits.

        Raises:
            ValueError: none was found in 10,000 draws.
        """
        found = first_accepted(lambda: self._draw(rng), self._is_fast_enough)
        if found is None:
            raise ValueError(
                f"limits: of {MAX_REJECTIONS:,} random architectures none has a predicted step_time_ratio "
                f"within {self._limit:g}; raise it"
            )
        return found

    def _is_fast_enough(self, choices: Choices) -> bool:
        return self._limit is None or self._estimate(choices)[1] <= self._limit
