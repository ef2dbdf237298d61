"""Types of the log's rows: mappings, as Arrow reads and writes them, with the columns of the schemas."""

from datetime import datetime
from typing import Literal, TypedDict, TypeVar

from trials.objective import Objective, in_words, name_of, objective_of
from trials.trial import FailureKind, Kernels, Mode, Purpose, Status


class AskRow(TypedDict):
    """A proposal, recorded before its trial is dispatched."""

    trial_id: int
    ask_seq: int
    purpose: Purpose
    continues: int | None
    architecture_id: str
    choices: list[int]
    architecture: str
    strategy: str
    aux: str
    seed: int
    epochs: int
    asked_at: datetime
    schema_version: int | None


class TrialRow(AskRow):
    """A trial that has ended: the columns of its ask, and those of its end."""

    tell_seq: int
    status: Status
    failure_kind: FailureKind | None
    reward: float | None
    accuracy: float | None
    accuracy_raw: float | None
    accuracy_top5: float | None
    minival_images: int | None
    step_seconds: float | None
    step_seconds_p10: float | None
    step_seconds_p90: float | None
    step_time_ratio: float | None
    step_time_ratio_spread: float | None
    reference_step_seconds: float | None
    timing_flag: str | None
    params: int | None
    macs: int | None
    peak_memory_bytes: int | None
    train_loss: list[float] | None
    minival_accuracy: list[float] | None
    resolution: int | None
    batch_size: int | None
    micro_batches: int | None
    precision: str | None
    device_name: str | None
    device_id: str | None
    host: str | None
    attempts: int | None
    started_at: datetime | None
    finished_at: datetime | None
    build_seconds: float | None
    timing_seconds: float | None
    train_seconds: float | None
    evaluate_seconds: float | None
    timing_device: str | None
    timing_resolution: int | None
    timing_batch_size: int | None
    timing_precision: str | None
    timing_source: Literal["measured", "predicted"] | None
    reference_params: int | None
    inference_seconds: float | None
    environment_id: str | None
    error: str | None
    reference_macs: int | None
    inference_time_ratio: float | None
    inference_time_ratio_spread: float | None
    reference_inference_seconds: float | None
    inference_batch_size: int | None
    waiting_seconds: float | None
    timing_exclusive: bool | None
    step_time_ratio_error: float | None
    timing_clock_mhz: float | None
    timing_mode: Mode | None
    precision_reason: str | None
    training_mode: Mode | None
    kernels: Kernels | None
    balanced_accuracy: float | None
    minival_balanced_accuracy: list[float] | None
    objective: Objective | None


class EpochRow(TypedDict):
    """One epoch of a trial. Rebuilt from its trial's row it holds the loss and the accuracy alone."""

    trial_id: int
    attempt: int
    epoch: int
    train_loss: float | None
    train_accuracy: float | None
    minival_loss: float | None
    minival_accuracy: float | None
    minival_accuracy_raw: float | None
    learning_rate: float | None
    resolution: int | None
    train_seconds: float | None
    evaluate_seconds: float | None
    schema_version: int | None
    minival_balanced_accuracy: float | None


class DriverRow(TypedDict):
    """A start of a driver: from here on, those with lower numbers write nothing."""

    number: int
    process: int
    host: str
    started_at: datetime


class IdentityRow(TypedDict):
    """A record of what the run is: recorded when it begins, and whenever one of it changes."""

    search: str  # the text of search.yaml
    files: str  # JSON, the SHA-256 of each file that the search depends on, by name
    recorded_at: datetime


class RepairRow(TypedDict):
    """The losses that one repair declared."""

    at: str
    lost_trials: list[int]
    lost_places: list[int]
    in_flight_again: list[int]
    quarantined: list[str]


Row = AskRow | TrialRow | EpochRow
LogRow = AskRow | TrialRow | DriverRow | IdentityRow | RepairRow
R = TypeVar("R", bound=Row)


def number_of(row: TrialRow, column: str) -> float | None:
    """A number by the name of its column, for names that are computed; None where the row lacks it."""
    value = row.get(column)
    assert value is None or isinstance(value, int | float), f"{column} does not hold numbers"
    return value


def measured_objective(row: TrialRow) -> float:
    """The value of a completed trial's objective, 0-1."""
    value = objective_of(row)
    assert value is not None, f"trial {row['trial_id']} completed with no {in_words(name_of(row))}"
    return value


def measured(row: TrialRow, column: str) -> float:
    """A number that every completed trial has, by the name of its column."""
    value = number_of(row, column)
    assert value is not None, f"trial {row['trial_id']} completed with no {column}"
    return value
