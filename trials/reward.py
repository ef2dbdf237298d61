"""The search's objective: one number from the measurements of a trial, live or from its row."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from search_spaces.settings.messages import suggestion
from search_spaces.settings.yaml_files import ConfigError
from trials.log.recorded import Recorded
from trials.trial import REWARDABLE, Measurement, TrialResult

LARGEST_EXPONENT = 10.0

Quantity = Callable[[Measurement], float]
SHIPPED: Mapping[str, Quantity] = dict(REWARDABLE)  # plain arithmetic, which holds for whole columns too


@dataclass(frozen=True)
class Reward:
    """Weighted product A * S^w * P^v (EfficientNetV2, section 3.3: w = -0.07, v = -0.05).

    Every quantity but the accuracy is its ratio to the reference network's. The reference multiplies all
    rewards by one constant, so it never changes which of two architectures is better; it keeps rewards
    comparable between runs.
    """

    terms: Mapping[str, float]  # exponent by measured quantity; negative favours small values

    def __post_init__(self) -> None:
        check_exponents(self.terms)
        check_names(self.terms)

    def __call__(self, result: TrialResult) -> float | None:
        """The reward of a result: 0 if infeasible; None if crashed, which is not the architecture's fault."""
        if result.status == "crashed":
            return None
        if result.status == "infeasible" or result.measurement is None:
            return 0.0
        return self.of(result.measurement.accuracy, result.measurement.ratio_to_reference)

    def of_row(self, row: Mapping[str, Any]) -> float | None:
        """The reward of a trial's result, computed from the row that the trial left.

        Raises:
            ValueError: a term needs what was not measured, or is not kept in rows.
        """
        if row["status"] == "crashed":
            return None
        if row["status"] == "infeasible":
            return 0.0
        where = f"trial {row['trial_id']}"
        if row["accuracy"] is None:
            raise ValueError(f"{where} is {row['status']}: it has no accuracy, so no reward")
        return self.of(row["accuracy"], lambda name: recorded_ratio(name, row.get, where=where))

    def of(self, accuracy: float, ratio_to_reference: Callable[[str], float]) -> float:
        """The reward of an accuracy and of ratios, asked for by name."""
        return accuracy * math.prod(
            ratio_to_reference(name) ** exponent for name, exponent in self.terms.items()
        )


WEIGHTED_PRODUCT = Reward.of  # the shipped form


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
    for name, exponent in terms.items():
        if not abs(exponent) <= LARGEST_EXPONENT:
            raise ValueError(
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
                "trials.trial.REWARDABLE by the process that computes it (docs/api.md)"
            )


def recorded_reward(terms: Mapping[str, float], *, where: object) -> Reward:
    """The reward by a run's terms, for what the run did not record.

    Raises:
        ConfigError: this process does not know one of its terms; `where` it was read is said.
    """
    try:
        return Reward(terms)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None
