"""Uniform draws over the distinct architectures of a space that are within its limits."""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from search_spaces.choices.choice_space import Choices
from search_spaces.choices.costs import SpaceCosts
from search_spaces.choices.limited_sampling import ChoicesWithinLimits
from search_spaces.choices.rejection import MAX_REJECTIONS, first_accepted
from search_spaces.choices.stage_rows import StageRows

TRIED = 512  # draws that estimate the share of the space within the limits
MIN_SHARE = 0.05  # of the space within the limits, from which rejection sampling is fast enough


class UniformDraw:
    """Draws uniformly from the distinct choices within the limits; called with a random generator.

    Rejection sampling: every stage's row is drawn uniformly, and choices that are beyond a limit, or that are
    not the canonical ones of their network, are drawn again. Where the limits leave less than MIN_SHARE of
    the space, rows are drawn stage by stage in proportion to the number of completions within the limits
    (`limited_sampling`), which is uniform as well. A draw depends on the generator alone, not on earlier
    draws.

    Args:
        rows: the rows of each stage.
        canonical: maps choices to the representative of all that build the same network; None: no two do.
        costs: parameters and MACs of choices, with their limits; None: there are no limits.
    """

    def __init__(
        self,
        rows: Sequence[StageRows],
        *,
        canonical: Callable[[Choices], Choices] | None,
        costs: SpaceCosts | None,
    ) -> None:
        self._rows = rows
        self._canonical = canonical
        self._costs = costs
        self._counts = np.array([stage.count for stage in rows])

    def __call__(self, rng: np.random.Generator) -> Choices:
        """One draw.

        Raises:
            ValueError: no architecture of the space is within its limits.
        """
        plain = self._costs is None or self.share_within_limits >= MIN_SHARE
        found = first_accepted(
            lambda: self._plain(rng) if plain else self._within_limits.draw(rng),
            lambda choices: (not plain or self._is_allowed(choices)) and self._is_representative(choices),
        )
        if found is None:
            raise ValueError(
                f"{MAX_REJECTIONS:,} random choices all build networks that smaller choices build"
            )
        return found

    @cached_property
    def share_within_limits(self) -> float:
        """Share (0-1) of the space within the limits, estimated by TRIED draws from a fixed seed."""
        rng = np.random.default_rng(0)
        return sum(self._is_allowed(self._plain(rng)) for _ in range(TRIED)) / TRIED

    def _is_allowed(self, choices: Choices) -> bool:
        return self._costs is None or self._costs.within_limits(choices)

    def _plain(self, rng: np.random.Generator) -> Choices:
        """Uniform over all rows of every stage, ignoring limits and duplicates."""
        numbers = rng.integers(self._counts).tolist()
        return sum((stage.row(number) for stage, number in zip(self._rows, numbers, strict=True)), ())

    def _is_representative(self, choices: Choices) -> bool:
        return self._canonical is None or self._canonical(choices) == choices

    @cached_property
    def _within_limits(self) -> ChoicesWithinLimits:
        assert self._costs is not None, "without limits nothing is beyond them"
        return ChoicesWithinLimits(self._rows, self._costs)
