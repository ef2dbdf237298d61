"""The winner as a function of the reward's exponents, and how certain it is."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.frame import floats, objective_values
from analysis.pictures import FEWEST_CELLS
from analysis.ranking import ratio, searched
from analysis.standard_error import standard_error
from trials.trial import Purpose

DRAWS = 200
AXES = ("step_time_ratio", "params")


@dataclass(frozen=True)
class Candidates:
    """Completed trials that may win, their quantities as logarithms; (trials) each."""

    trial_id: np.ndarray
    log_accuracy: np.ndarray  # or of the search's other objective
    log_costs: np.ndarray  # (trials, 2): ratios of step time and of parameters to the reference's
    deviation: np.ndarray  # standard deviation of log accuracy between trainings


@dataclass(frozen=True)
class RewardMap:
    """The winner over a grid of exponents.

    Attributes:
        step_exponents, size_exponents: (w) and (v), the exponents of step time and of parameters.
        winner: (w, v), the winning trial's number.
        stability: (w, v), the share of redraws in which it still wins (accuracies vary between trainings).
    """

    step_exponents: np.ndarray
    size_exponents: np.ndarray
    winner: np.ndarray
    stability: np.ndarray

    def most_frequent(self, count: int) -> list[int]:
        """The winners of the most cells, the first of them of the most."""
        winners, cells = np.unique(self.winner, return_counts=True)
        found: list[int] = winners[np.argsort(-cells, kind="stable")][:count].tolist()
        return found

    def middle_of(self, winner: int) -> tuple[float, float] | None:
        """Exponents of the winner's cell that is nearest to the middle of its region; None of a small one."""
        i, j = np.nonzero(self.winner == winner)
        if len(i) < FEWEST_CELLS:
            return None
        nearest = int(((i - i.mean()) ** 2 + (j - j.mean()) ** 2).argmin())
        return float(self.step_exponents[i[nearest]]), float(self.size_exponents[j[nearest]])


def candidates(trials: pd.DataFrame) -> Candidates:
    """Completed search and baseline trials whose objective is above 0.

    The deviation of an accuracy is the larger one of two: the sampling error of minival's images, and the
    deviation between repeats of one architecture (finalists, as far as they train as long as trials).
    """
    rows = searched(trials)
    accuracy = objective_values(rows)
    costs = np.log(np.stack([ratio(rows, name) for name in AXES], axis=1).clip(1e-12))
    images = floats(rows, "minival_images")
    error = standard_error(accuracy, np.where(images > 0, images, np.inf))
    deviation = np.maximum(error, seed_deviation(trials))
    usable = (accuracy > 0) & np.isfinite(costs).all(axis=1)
    return Candidates(
        trial_id=rows["trial_id"].to_numpy(dtype=np.int64)[usable],
        log_accuracy=np.log(accuracy[usable]),
        log_costs=costs[usable],
        deviation=(deviation / np.where(accuracy > 0, accuracy, 1.0))[usable],
    )


def seed_deviation(trials: pd.DataFrame, *, purpose: Purpose = "repeat") -> float:
    """Standard deviation of the objective between trainings of an architecture; 0 if unknown.

    Of all repeats, which are as long as trials; of the purpose `finalist`, of longer trainings.
    """
    repeats = trials[(trials.purpose == purpose) & (trials.status == "completed")]
    groups = [objective_values(group) for _, group in repeats.groupby("architecture_id")]
    freedom = sum(len(group) - 1 for group in groups)
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
    return float(np.sqrt(squares / freedom)) if freedom else 0.0


def reward_map(found: Candidates, step_exponents: np.ndarray, size_exponents: np.ndarray) -> RewardMap:
    """The winner at every pair of exponents, and its stability over DRAWS redraws of all accuracies."""
    w, v = np.meshgrid(step_exponents, size_exponents, indexing="ij")
    exponents = np.stack([w.ravel(), v.ravel()])  # (2, cells)
    gains = found.log_costs @ exponents  # (trials, cells)
    chosen = (found.log_accuracy[:, None] + gains).argmax(axis=0)
    # Redraws need only the trials that can win at all, which are few of thousands.
    kept = _contenders(found, gains)
    drawn = np.random.default_rng(0).normal(size=(DRAWS, len(kept))) * found.deviation[kept]
    wins = np.zeros(len(chosen))
    for noise in drawn:
        again = (found.log_accuracy[kept][:, None] + noise[:, None] + gains[kept]).argmax(axis=0)
        wins += kept[again] == chosen
    return RewardMap(
        step_exponents,
        size_exponents,
        found.trial_id[chosen].reshape(w.shape),
        (wins / DRAWS).reshape(w.shape),
    )


def _contenders(found: Candidates, gains: np.ndarray) -> np.ndarray:
    """Trials that can win anywhere on the grid when accuracies are off by up to 4 deviations."""
    rewards = found.log_accuracy[:, None] + gains
    reach = 4 * found.deviation[:, None]
    can_win = (rewards + reach >= (rewards - reach).max(axis=0)).any(axis=1)
    return np.flatnonzero(can_win)


@dataclass(frozen=True)
class Range:
    """The interval of one exponent in which the winner stays the same, and the winners beyond it."""

    low: float  # -inf: no other ever wins
    high: float
    below: int | None  # the trial that wins just below
    above: int | None


def winner_range(found: Candidates, exponents: tuple[float, float], *, of: int = 0) -> Range:
    """The interval in which one exponent (0: step time's, 1: parameters') may move without another winner."""
    rewards = found.log_accuracy + found.log_costs @ np.asarray(exponents)
    best = int(rewards.argmax())
    # The lead over a rival, in log reward, is linear in the exponent: lead + slope * (new - old).
    lead = rewards[best] - rewards
    slope = found.log_costs[best, of] - found.log_costs[:, of]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = exponents[of] - lead / slope
    below = np.where(slope > 0, crossing, -np.inf)
    above = np.where(slope < 0, crossing, np.inf)
    first, second = int(below.argmax()), int(above.argmin())
    return Range(
        low=float(below[first]),
        high=float(above[second]),
        below=int(found.trial_id[first]) if np.isfinite(below[first]) else None,
        above=int(found.trial_id[second]) if np.isfinite(above[second]) else None,
    )
