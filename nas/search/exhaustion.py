"""The end of a small space: when a search counts every architecture as trained."""

from collections.abc import Callable, Sequence

import numpy as np

from analysis.trial_rules import SEARCHED, is_counted
from nas.search.config import SearchConfig
from search_spaces.choices.choice_space import Choices, ChoiceSpace
from trials.log.row_types import TrialRow

MAX_DUPLICATES = 50  # proposals in a row that were trained before; then a uniform unseen one is taken
DRAWS = 2_000  # uniform draws; if each is of a known architecture, the space counts as exhausted
MOST_COUNTED = 10_000  # choices of a space whose architectures are counted: in more it may take seconds

EXHAUSTED = "the space is exhausted: every architecture has been trained"  # on screens


class UnseenDraws:
    """Uniform draws among the architectures that a search has not seen, and whether there are any left.

    The baseline is drawn so, and so is the next trial of a strategy that goes on proposing what was trained
    before.

    Attributes:
        exhausted: a draw found nothing: the space ran out.
    """

    def __init__(self) -> None:
        self.exhausted = False
        self._duplicates_in_a_row = 0

    def asked(self, *, is_duplicate: bool) -> None:
        """Takes in the next ask, and whether its architecture was asked for before."""
        self._duplicates_in_a_row = self._duplicates_in_a_row + 1 if is_duplicate else 0

    @property
    def replace_proposals(self) -> bool:
        """True if a draw is taken in the place of the strategy's proposal."""
        return self._duplicates_in_a_row >= MAX_DUPLICATES

    def draw(
        self, space: ChoiceSpace, rng: np.random.Generator, *, is_seen: Callable[[Choices], bool]
    ) -> Choices | None:
        """A uniform draw among what is not seen; None if it finds nothing, which exhausts the space."""
        for _ in range(DRAWS):
            choices = space.sample(rng)
            if not is_seen(choices):
                return choices
        self.exhausted = True
        return None


def is_exhausted(config: SearchConfig, rows: Sequence[TrialRow]) -> bool:
    """True if the space ran out before the budget, by all rows of a run in the order of their trials.

    Nothing is in flight. Nothing is drawn: what a search may draw also depends on its images and its device.
    """
    # A search whose proposals were to be replaced draws another architecture, and there was none.
    draws = UnseenDraws()
    for row in rows:
        if row["purpose"] in SEARCHED:
            draws.asked(is_duplicate=row["status"] == "cached")
    if draws.replace_proposals:
        return True
    # In its baseline a search finds so without a row that says it.
    tried = {tuple(row["choices"]) for row in rows if is_counted(row)}
    return config.space.size <= MOST_COUNTED and len(tried) >= config.space.distinct_size
