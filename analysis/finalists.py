"""The finalists of a search: the best architectures, trained again with other seeds, compared on these alone.

The trial that made an architecture a finalist is left out: of many noisy rewards the highest is too high.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy  # its parts load at their first use

from analysis.intervals import student_t
from analysis.trial_rules import COUNTED, BestArchitectures, may_win, standing
from trials.log.row_types import TrialRow


@dataclass(frozen=True)
class Finalist:
    """One architecture's repeats, and the trial that selected it."""

    trial_id: int  # that selected it: the best by reward of this architecture
    selected_reward: float
    rewards: tuple[float, ...]  # of the repeats that have ended; 0 of an infeasible one
    accuracies: tuple[float, ...]  # 0-1

    @property
    def mean(self) -> float:
        """Mean of the repeats' rewards."""
        return float(np.mean(self.rewards))


@dataclass(frozen=True)
class Standing:
    """A finalist's mean reward with its uncertainty, and the comparison with the next one."""

    finalist: Finalist
    standard_error: float | None  # of the mean reward, from the deviation that all finalists share
    low: float | None  # the 95 % interval of the mean reward
    high: float | None
    better_than_next: float | None  # probability that its true mean is above that of the next one


def finalists(rows: Iterable[TrialRow]) -> list[Finalist]:
    """The architectures of a run that have been repeated, the highest mean reward first."""
    rows = list(rows)
    selected: dict[tuple[int, ...], TrialRow] = {}
    repeats: dict[tuple[int, ...], list[TrialRow]] = {}
    # Rows by architecture: its repeats, and the best trial of the search that selected it.
    for row in rows:
        choices = tuple(row["choices"])
        if row["purpose"] == "repeat" and row["status"] in COUNTED:
            repeats.setdefault(choices, []).append(row)
        elif may_win(row):
            selected[choices] = max(selected.get(choices, row), row, key=standing)
    found = [
        Finalist(
            trial_id=int(selected[choices]["trial_id"]),
            selected_reward=standing(selected[choices])[1],
            rewards=tuple(float(row["reward"] or 0.0) for row in repeated),
            accuracies=tuple(float(row["accuracy"] or 0.0) for row in repeated),
        )
        for choices, repeated in repeats.items()
        if choices in selected
    ]
    return sorted(found, key=lambda finalist: (-finalist.mean, finalist.trial_id))


@dataclass(frozen=True)
class Repeats:
    """Numbers of trainings of finalists: those that have ended, and all that a search asks for."""

    ended: int
    total: int


def repeats(
    rows: Iterable[TrialRow], *, count: int, each: int, is_over: bool, are_recommended: bool
) -> Repeats:
    """The repeats of a search whose `count` finalists are trained `each` times again, by its rows.

    A repeat that crashed is not tried again, so it has ended.

    Args:
        is_over: the search asks for no new architecture, so there may be fewer finalists than `count`.
        are_recommended: its strategy recommends the finalists. Which ones, no row tells: they are taken to be
            those that were repeated most often.
    """
    rows = list(rows)
    ended = Counter(tuple(row["choices"]) for row in rows if row["purpose"] == "repeat")
    # Architectures in the order in which a search repeats them.
    found = BestArchitectures()
    for row in filter(may_win, rows):
        epochs, reward = standing(row)
        found.add(tuple(row["choices"]), epochs=epochs, reward=reward)
    best = found.ranked()
    number = min(count, len(best)) if is_over else count
    done = sorted(ended.values(), reverse=True) if are_recommended else [ended[choices] for choices in best]
    return Repeats(ended=sum(min(times, each) for times in done[:number]), total=number * each)


def standings(ranked: list[Finalist]) -> list[Standing]:
    """Uncertainty of the order of finalists, by the deviation within all of them together.

    A few repeats each say little about one architecture's deviation, so it is taken to be the same for all
    (pooled); intervals and probabilities are Student's. None where no finalist was repeated twice.
    """
    freedom = sum(len(finalist.rewards) - 1 for finalist in ranked)
    if freedom < 1:
        return [Standing(finalist, None, None, None, None) for finalist in ranked]
    # The pooled standard deviation of one repeat, over all finalists.
    squares = sum(float(np.sum((np.array(f.rewards) - f.mean) ** 2)) for f in ranked)
    deviation = math.sqrt(squares / freedom)
    found = []
    for i, finalist in enumerate(ranked):
        # Its interval, and the probability that the difference to the next mean is positive.
        error = deviation / math.sqrt(len(finalist.rewards))
        half = student_t(freedom) * error
        better = None
        if i + 1 < len(ranked):
            following = ranked[i + 1]
            spread = math.hypot(error, deviation / math.sqrt(len(following.rewards)))
            ahead = (finalist.mean - following.mean) / spread if spread else math.inf
            better = float(scipy.special.stdtr(freedom, ahead))
        found.append(Standing(finalist, error, finalist.mean - half, finalist.mean + half, better))
    return found
