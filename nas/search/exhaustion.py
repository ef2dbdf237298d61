"""The end of a small space: when a search counts every architecture as trained."""

from collections.abc import Sequence

from analysis.trial_rules import SEARCHED, is_counted
from nas.search.config import SearchConfig
from trials.log.row_types import TrialRow

MAX_DUPLICATES = 50  # proposals in a row that were trained before; then a uniform unseen one is taken
DRAWS = 2_000  # uniform draws; if each is of a known architecture, the space counts as exhausted
MOST_COUNTED = 10_000  # choices of a space whose architectures are counted: in more it may take seconds

EXHAUSTED = "the space is exhausted: every architecture has been trained"  # on screens


def is_exhausted(config: SearchConfig, rows: Sequence[TrialRow]) -> bool:
    """True if the space ran out before the budget, by all rows of a run in the order of their trials.

    Nothing is in flight.
    """
    # After so many duplicates a search takes any unseen architecture, and there was none.
    last = [row["status"] for row in rows if row["purpose"] in SEARCHED][-MAX_DUPLICATES:]
    if last == ["cached"] * MAX_DUPLICATES:
        return True
    # In its baseline a search finds so without a row that says it.
    tried = {tuple(row["choices"]) for row in rows if is_counted(row)}
    return config.space.size <= MOST_COUNTED and len(tried) >= config.space.distinct_size
