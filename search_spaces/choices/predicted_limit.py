"""Draws and limits of a space whose step times are predicted before training."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from search_spaces.choices.choice_space import Choices, Draw
from search_spaces.choices.costs import SpaceCosts
from search_spaces.choices.factorized import FactorizedSpace
from search_spaces.choices.rejection import MAX_REJECTIONS, first_accepted
from search_spaces.networks.architecture import Architecture

# From an architecture to its predicted step time ratio and a lower bound of that ratio. Only architectures
# whose lower bound is above the limit are refused, so that the prediction's error refuses none wrongly.
StepTimeEstimate = Callable[[Architecture], tuple[float, float]]

CACHED_ESTIMATES = 1 << 16


class PredictedCosts:
    """Counted parameters and MACs and predicted step times of a space's choices, and their limits."""

    def __init__(
        self, space: FactorizedSpace, costs: SpaceCosts, draw: Draw, estimate: StepTimeEstimate
    ) -> None:
        self._costs = costs
        self._draw = draw
        self._limit = space.limits.step_time_ratio
        self._estimate = lru_cache(maxsize=CACHED_ESTIMATES)(lambda choices: estimate(space.decode(choices)))

    def known(self, choices: Choices) -> dict[str, float]:
        """Parameters, MACs and predicted step time, as ratios to the reference network's."""
        return {**self._costs.ratios(choices), "step_time": self._estimate(choices)[0]}

    def is_allowed(self, choices: Choices) -> bool:
        """True if these choices are within the limits on parameters, MACs and step time."""
        return self._costs.within_limits(choices) and self._is_fast_enough(choices)

    def draw(self, rng: np.random.Generator) -> Choices:
        """Draws uniformly from the distinct architectures within the limits.

        Raises:
            ValueError: 10,000 draws found none.
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
