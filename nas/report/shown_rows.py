"""Rows of a run's frames with the columns that the report shows, typed."""

from dataclasses import dataclass, fields
from typing import Any, TypeVar

import pandas as pd

from analysis.numbers import short_count
from trials.objective import figures_in_words, name_of, objective_of

T = TypeVar("T")


@dataclass(frozen=True)
class ShownTrial:
    """A completed trial, fields named as the columns; None where an older row lacks it."""

    trial_id: int
    purpose: str
    architecture: str  # JSON
    accuracy: float
    balanced_accuracy: float | None
    objective: str | None
    step_time_ratio: float
    params: int
    macs: int
    reward: float
    minival_images: int | None
    reference_params: int | None
    reference_macs: int | None

    @property
    def objective_value(self) -> float:
        """The value of what the search rewards, 0-1."""
        value = objective_of(vars(self))
        assert value is not None, "it has completed"
        return value

    @property
    def words(self) -> str:
        """Its figures, where a picture shows it."""
        figures = figures_in_words(name_of(vars(self)), self.objective_value, self.accuracy)
        return (
            f"trial {self.trial_id}: {figures}, step time {self.step_time_ratio:.2f}x, "
            f"{short_count(self.params)} parameters, reward {self.reward:.4f}"
        )


@dataclass(frozen=True)
class ShownPair:
    """An architecture that was trained short and long."""

    trial_id: int
    short: float  # reward
    long: float


@dataclass(frozen=True)
class ShownOption:
    """An option of a decision: its frequency and its effect on the reward, with 95 % intervals."""

    stage: int  # 0: of the stem and the head
    field: str
    option: str | int | float
    count: int
    share: float
    top_share: float  # among the best tenth
    top_low: float
    top_high: float
    effect: float
    low: float  # NaN where trials are too few
    high: float


def shown_rows(kind: type[T], frame: pd.DataFrame) -> list[T]:
    """The rows of a frame as objects of `kind`, each field from the column of its name."""
    columns = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    rows = frame[columns].astype(object).itertuples(index=False, name=None)
    return [kind(*map(_known, row)) for row in rows]


def _known(value: Any) -> Any:
    return None if value is pd.NA else value
