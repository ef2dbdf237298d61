"""The winner of a run, by the one rule of searches, nas status, nas export and the report."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from analysis.finalists import Standing, finalists, standings
from analysis.trial_rules import may_win, standing
from trials.log.row_types import TrialRow


@dataclass(frozen=True)
class Winner:
    """The trial that wins, and its architecture's standing among the finalists where these decided it."""

    trial_id: int
    standing: Standing | None = None


def winner(rows: Iterable[TrialRow], *, recommended: int | None) -> Winner | None:
    """The finalist with the highest mean reward, else the recommended trial, else the best reward.

    None before the first completed trial.

    Args:
        recommended: the trial that the strategy recommends (best.yaml names it); None if it has no opinion.
    """
    rows = list(rows)
    if ranked := standings(finalists(rows)):
        return Winner(ranked[0].finalist.trial_id, standing=ranked[0])
    eligible = list(filter(may_win, rows))
    best = next((row for row in eligible if row["trial_id"] == recommended), None)
    best = best or max(eligible, key=standing, default=None)
    return None if best is None else Winner(int(best["trial_id"]))


def best_trial_of(choices: Sequence[int], rows: Iterable[TrialRow]) -> int | None:
    """The best trial of one architecture; None if none of its trials may win."""
    own = [row for row in filter(may_win, rows) if tuple(row["choices"]) == tuple(choices)]
    best = max(own, key=standing, default=None)
    return None if best is None else int(best["trial_id"])
