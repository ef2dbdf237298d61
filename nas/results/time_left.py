"""The time that a search still takes, by the pace of the trials that ended last."""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from analysis.trial_rules import RETRAINED, is_counted, own_epochs_of, spent
from nas.search.config import Budget
from trials.log.row_types import TrialRow

PACED_TRIALS = 40  # the last ones, whose pace counts


@dataclass(frozen=True)
class Remaining:
    """The work that a search has still to do.

    Attributes:
        budget: the rest of it, in its own unit; 0 once the search asks for nothing new.
        repeats: trainings of finalists that are to end, which may be longer than trials.
        repeat_epochs: the epochs of each.
    """

    budget: float
    repeats: int = 0
    repeat_epochs: int = 0


def seconds_left(
    budget: Budget,
    rows: Iterable[TrialRow],
    to_do: Remaining,
    *,
    by_id: Mapping[int, TrialRow],
    started: datetime,
    at_once: int,
    now: datetime,
) -> float | None:
    """The time that a search still takes; None before this driver's first trial has ended.

    It goes by the median pace of the last trials. As many trials as run at once end in the time of one, so
    paces are taken over that many ends. Finalists go by the pace of epochs: they may be longer than trials.

    Args:
        rows: trials that have ended, of this driver or of earlier ones.
        by_id: all trials, among them those that these continue.
        started: the beginning of this driver's work.
        at_once: number of trials under way now.
    """
    at_once = max(at_once, 1)
    # Finalists have a pace, too: a driver that goes on with these alone has no other trials.
    ran = [row for row in rows if is_counted(row) or row["purpose"] in RETRAINED]
    new = sorted((row for row in ran if _ended_at(row) > started), key=_ended_at)[-PACED_TRIALS:]
    if not new:
        return None
    ends = [(_ended_at(row) - started).total_seconds() for row in new]
    paces = [(later - ends[i]) / at_once for i, later in enumerate(ends[at_once:])]
    pace = statistics.median(paces) if paces else ends[-1] / len(ends)
    next_end, left = pace, 0.0
    if to_do.budget:
        counted = list(filter(is_counted, new))
        per_trial = spent(counted, budget.unit, by_id) / max(len(counted), 1)
        if not per_trial:
            return None
        left = pace * to_do.budget / per_trial
    if to_do.repeats:
        epochs = [max(own_epochs_of(row, by_id), 1) for row in new]
        by_epoch = [
            (later - ends[i]) / sum(epochs[i + 1 : i + 1 + at_once]) for i, later in enumerate(ends[at_once:])
        ]
        each = to_do.repeat_epochs * (statistics.median(by_epoch) if by_epoch else ends[-1] / sum(epochs))
        left += to_do.repeats * each
        next_end = pace if to_do.budget else each
    waited = min((now - started).total_seconds() - ends[-1], next_end)
    return max(left - waited, 0.0)


def _ended_at(row: TrialRow) -> datetime:
    """The end of a trial; before all others if its row does not say."""
    return row["finished_at"] or datetime.min.replace(tzinfo=UTC)
