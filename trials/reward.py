"""The reward that a search maximises: its terms, and their product for a result, a row or a table."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from search_spaces.settings.faults import refuse
from search_spaces.settings.near_names import suggestion
from search_spaces.settings.setting_errors import refused_as
from trials.log.recorded import Recorded
from trials.log.row_types import TrialRow
from trials.measurement import INFERENCE, Measurement, size_ratio
from trials.objective import in_words, name_of, objective_of
from trials.trial import Status, StopBelow, TrialResult

LARGEST_EXPONENT = 10.0

Quantity = Callable[[Measurement], float]
# The quantities that a reward may use: functions that give their ratio to the reference network's, by name.
REWARDABLE: dict[str, Quantity] = {
    "step_time_ratio": lambda m: m.step_time.step_time_ratio,
    "params": size_ratio,
    "macs": lambda m: m.macs / m.reference_macs,
    INFERENCE: lambda m: m.inference_time.inference_time_ratio if m.inference_time else math.nan,
}
# REWARDABLE as shipped, where nobody has replaced or added any: arithmetic, so it takes whole columns, too.
SHIPPED: Mapping[str, Quantity] = dict(REWARDABLE)
# A failure's reward, whatever was measured of it. A crash is not the architecture's fault: it has none.
REWARD_OF_FAILURE: Mapping[Status, float | None] = {"infeasible": 0.0, "crashed": None}


@dataclass(frozen=True)
class Reward:
    """Weighted product A * S^w * P^v (EfficientNetV2, section 3.3: w = -0.07, v = -0.05).

    A is the accuracy or, where measurements and rows name another, the search's objective. Every quantity but
    that is its ratio to the reference network's. The reference multiplies all
    rewards by one constant, so it never changes which of two architectures is better; it keeps rewards
    comparable between runs.
    """

    terms: Mapping[str, float]  # exponent by measured quantity; negative favours small values

    def __post_init__(self) -> None:
        check_exponents(self.terms)
        check_names(self.terms)

    def __call__(self, result: TrialResult) -> float | None:
        """The reward of a result, also of a failure."""
        if result.status in REWARD_OF_FAILURE:
            return REWARD_OF_FAILURE[result.status]
        assert result.measurement is not None, "only failures have none"
        return self.of_measurement(result.measurement)

    def of_measurement(self, measured: Measurement) -> float:
        """The reward of what was measured, or might be."""
        return self.of(measured.objective_value, lambda name: REWARDABLE[name](measured))

    def of_row(self, row: TrialRow) -> float | None:
        """The reward of a trial's result, computed from the row that the trial left.

        Raises:
            ValueError: a term needs what was not measured, or is not kept in rows.
        """
        if row["status"] in REWARD_OF_FAILURE:
            return REWARD_OF_FAILURE[row["status"]]
        where = f"trial {row['trial_id']}"
        if (value := objective_of(row)) is None:
            raise ValueError(f"{where} is {row['status']}: it has no {in_words(name_of(row))}, so no reward")
        return self.of(value, lambda name: recorded_ratio(name, row.get, where=where))

    def of(self, accuracy: float, ratio_to_reference: Callable[[str], float]) -> float:
        """The reward of an accuracy, or another objective, and of ratios that are asked for by name."""
        return accuracy * math.prod(
            ratio_to_reference(name) ** exponent for name, exponent in self.terms.items()
        )


WEIGHTED_PRODUCT = Reward.of  # the shipped form


def reward_at(reward: float, *, accuracy: float, other: float) -> float:
    """The reward with another accuracy, as after fewer epochs: all other factors stay."""
    return reward * other / accuracy


def too_low_at_best(stop: StopBelow, measured: Measurement) -> Measurement | None:
    """The measurement at the best objective that a trial may reach, if even that has too low a reward."""
    best = replace(measured, **{measured.objective: stop.max_accuracy})  # type: ignore[arg-type]
    return best if Reward(stop.terms).of_measurement(best) < stop.reward else None


def recorded_ratio(name: str, value_of: Callable[[str], Any], *, where: str) -> float:
    """A rewardable quantity over the reference network's, from recorded columns.

    Raises:
        ValueError: it cannot be computed from them; `where` they stand is said.
    """
    try:
        return float(REWARDABLE[name](cast(Measurement, Recorded(value_of))))
    except Exception as error:  # a term of the user's own may raise anything
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{where}: {name} cannot be computed from what was recorded ({reason})") from error


def check_exponents(terms: Mapping[str, float]) -> None:
    """Refuses exponents that are typing errors.

    Raises:
        ValueError: one is beyond LARGEST_EXPONENT.
    """
    refuse(faults_of_exponents(terms))


def faults_of_exponents(terms: Mapping[str, float]) -> Iterator[str]:
    """A sentence about each exponent that is a typing error."""
    for name, exponent in terms.items():
        if not abs(exponent) <= LARGEST_EXPONENT:
            yield (
                f"reward: {name} has the exponent {exponent:g}; it must be between -{LARGEST_EXPONENT:g} "
                f"and {LARGEST_EXPONENT:g} (the paper's are -0.07 and -0.05)"
            )


def check_names(names: Iterable[str]) -> None:
    """Refuses terms that this process cannot compute.

    Raises:
        ValueError: one is not in REWARDABLE.
    """
    for name in names:
        if name not in REWARDABLE:
            raise ValueError(
                f"reward: {name} is not measured; measured are {', '.join(REWARDABLE)}"
                f"{suggestion(name, REWARDABLE)}. A term of your own has to be put into "
                "trials.reward.REWARDABLE by the process that computes it (docs/api.md)"
            )


def recorded_reward(terms: Mapping[str, float], *, where: object) -> Reward:
    """The reward by a run's terms, for what the run did not record.

    Raises:
        ConfigError: this process does not know one of its terms; `where` it was read is said.
    """
    with refused_as(where):
        return Reward(terms)
