"""The finalists of a search: the best architectures, trained again with other seeds, compared on these alone.

These trainings are as long as a trial (repeats) or longer. The trial that made an architecture a finalist is
left out: of many noisy rewards the highest is too high.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy  # its parts load at their first use

from analysis.intervals import student_t
from analysis.trial_rules import COUNTED, RETRAINED, BestArchitectures, may_win, standing
from trials.log.row_types import TrialRow
from trials.objective import ACCURACY, Objective, name_of, objective_of


@dataclass(frozen=True)
class Finalist:
    """One architecture's trainings as a finalist, and the trial that selected it."""

    trial_id: int  # that selected it: the best by reward of this architecture
    selected_reward: float
    rewards: tuple[float, ...]  # of the trainings that have ended; 0 of an infeasible one
    accuracies: tuple[float, ...]  # 0-1
    selected_epochs: int = 0
    epochs: int = 0  # of each training
    step_time_ratios: tuple[float, ...] = ()  # of the trainings that know one
    step_seconds: tuple[float, ...] = ()
    timing_flags: tuple[str, ...] = ()  # why the step times of some of them are uncertain
    objective: Objective = ACCURACY
    objective_values: tuple[float, ...] = ()  # of the trainings; empty: they are the accuracies

    @property
    def mean(self) -> float:
        """Mean of the trainings' rewards."""
        return float(np.mean(self.rewards))

    @property
    def mean_accuracy(self) -> float:
        """Mean of the trainings' accuracies, 0-1."""
        return float(np.mean(self.accuracies))

    @property
    def values(self) -> tuple[float, ...]:
        """The trainings' objectives, 0-1."""
        return self.objective_values or self.accuracies

    @property
    def mean_objective(self) -> float:
        """Mean of the trainings' objectives, 0-1."""
        return float(np.mean(self.values))

    @property
    def is_longer(self) -> bool:
        """True if the trainings were longer than the trial, whose figures then do not compare with theirs."""
        return self.epochs > self.selected_epochs


@dataclass(frozen=True)
class Standing:
    """A finalist's means with their uncertainty, and the comparison with the next one."""

    finalist: Finalist
    standard_error: float | None  # of the mean reward, from the deviation that all finalists share
    low: float | None  # the 95 % interval of the mean reward
    high: float | None
    better_than_next: float | None  # probability that its true mean is above that of the next one
    objective_low: float | None = None  # the 95 % interval of the mean objective
    objective_high: float | None = None


def finalists(rows: Iterable[TrialRow]) -> list[Finalist]:
    """The architectures of a run that have been trained again, the highest mean reward first."""
    rows = list(rows)
    selected: dict[tuple[int, ...], TrialRow] = {}
    retrained: dict[tuple[int, ...], list[TrialRow]] = {}
    # Rows by architecture: its trainings as a finalist, and the best trial that selected it.
    for row in rows:
        choices = tuple(row["choices"])
        if row["purpose"] in RETRAINED and row["status"] in COUNTED:
            retrained.setdefault(choices, []).append(row)
        elif may_win(row):
            selected[choices] = max(selected.get(choices, row), row, key=standing)
    found = [_finalist(selected[choices], own) for choices, own in retrained.items() if choices in selected]
    return sorted(found, key=lambda finalist: (-finalist.mean, finalist.trial_id))


def _finalist(selected: TrialRow, retrained: list[TrialRow]) -> Finalist:
    epochs, reward = standing(selected)
    return Finalist(
        trial_id=int(selected["trial_id"]),
        selected_reward=reward,
        rewards=tuple(float(row["reward"] or 0.0) for row in retrained),
        accuracies=tuple(float(row["accuracy"] or 0.0) for row in retrained),
        objective=name_of(selected),
        objective_values=tuple(float(objective_of(row) or 0.0) for row in retrained),
        selected_epochs=epochs,
        epochs=max(standing(row)[0] for row in retrained),
        step_time_ratios=tuple(ratio for row in retrained if (ratio := row.get("step_time_ratio"))),
        step_seconds=tuple(seconds for row in retrained if (seconds := row.get("step_seconds"))),
        timing_flags=tuple(flag for row in retrained if (flag := row.get("timing_flag"))),
    )


@dataclass(frozen=True)
class Repeats:
    """Numbers of trainings of finalists: those that have ended, and all that a search asks for."""

    ended: int
    total: int
    epochs: int = 0  # of each
    is_longer: bool = False  # than trials


def repeats(
    rows: Iterable[TrialRow], *, count: int, each: int, is_over: bool, are_recommended: bool
) -> Repeats:
    """The trainings of a search whose `count` finalists are trained `each` times again, by its rows.

    A training that crashed is not tried again, so it has ended.

    Args:
        is_over: the search asks for no new architecture, so there may be fewer finalists than `count`.
        are_recommended: its strategy recommends the finalists. Which ones, no row tells: they are taken to be
            those that were trained again most often.
    """
    rows = list(rows)
    ended = Counter(tuple(row["choices"]) for row in rows if row["purpose"] in RETRAINED)
    # Architectures in the order in which a search trains them again.
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

    A few trainings each say little about one architecture's deviation, so it is taken to be the same for all
    (pooled); intervals and probabilities are Student's. None where no finalist was trained again twice.
    """
    freedom = sum(len(finalist.rewards) - 1 for finalist in ranked)
    if freedom < 1:
        return [Standing(finalist, None, None, None, None) for finalist in ranked]
    # The pooled standard deviations of one training, over all finalists.
    deviation = _pooled([finalist.rewards for finalist in ranked])
    of_objective = _pooled([finalist.values for finalist in ranked])
    found = []
    for i, finalist in enumerate(ranked):
        # Its intervals, and the probability that the difference to the next mean is positive.
        count = len(finalist.rewards)
        error = deviation / math.sqrt(count)
        half = student_t(freedom) * error
        half_of_objective = student_t(freedom) * of_objective / math.sqrt(count)
        better = None
        if i + 1 < len(ranked):
            following = ranked[i + 1]
            spread = math.hypot(error, deviation / math.sqrt(len(following.rewards)))
            ahead = (finalist.mean - following.mean) / spread if spread else math.inf
            better = float(scipy.special.stdtr(freedom, ahead))
        found.append(
            Standing(
                finalist,
                error,
                finalist.mean - half,
                finalist.mean + half,
                better,
                objective_low=max(finalist.mean_objective - half_of_objective, 0.0),
                objective_high=min(finalist.mean_objective + half_of_objective, 1.0),
            )
        )
    return found


def _pooled(samples: list[tuple[float, ...]]) -> float:
    """Standard deviation within samples that share it; one of them has two values at least."""
    squares = sum(float(np.sum((np.array(sample) - np.mean(sample)) ** 2)) for sample in samples)
    return math.sqrt(squares / sum(len(sample) - 1 for sample in samples))
