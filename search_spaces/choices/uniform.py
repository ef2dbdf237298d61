"""Uniform draws over the distinct architectures of a space that are within its limits."""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from search_spaces.choices.choice_space import Choices
from search_spaces.choices.costs import SpaceCosts
from search_spaces.choices.limited_sampling import ChoicesWithinLimits
from search_spaces.choices.rejection import MAX_REJECTIONS, first_accepted
from search_spaces.choices.stage_rows import StageRows

TRIED = 512  # plain draws by which it is decided whether plain draws are good enough
ENOUGH = 0.05  # of them within the limits


class UniformDraw:
    """A function of a random generator: each call draws distinct allowed choices uniformly.

    Each stage's row is drawn uniformly; what is not its own representative or beyond a limit is drawn again.
    Where limits leave few, rows are drawn one after another in proportion to how many ways of going on within
    the limits each has, which is uniform too. A draw depends on the generator alone, not on earlier draws.

    Args:
        rows: of each stage.
        canonical: the representative of choices that build the same network; None: each is its own.
        costs: what choices cost; None: there are no limits.
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
        """Draws once.

        Raises:
            ValueError: no architecture of the space is within its limits.
        """
        plain = self._costs is None or self.share_within_limits >= ENOUGH
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
        """The share of the space that is within the limits, estimated by TRIED draws; always the same."""
        rng = np.random.default_rng(0)
        return sum(self._is_allowed(self._plain(rng)) for _ in range(TRIED)) / TRIED

    def _is_allowed(self, choices: Choices) -> bool:
        return self._costs is None or self._costs.within_limits(choices)

    def _plain(self, rng: np.random.Generator) -> Choices:
        numbers = rng.integers(self._counts).tolist()
        return sum((stage.row(number) for stage, number in zip(self._rows, numbers, strict=True)), ())

    def _is_representative(self, choices: Choices) -> bool:
        return self._canonical is None or self._canonical(choices) == choices

    @cached_property
    def _within_limits(self) -> ChoicesWithinLimits:
        assert self._costs is not None, "without limits nothing is beyond them"
        return ChoicesWithinLimits(self._rows, self._costs)
