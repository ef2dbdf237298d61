"""Events of searches and of trainings, for screens and loggers."""

from dataclasses import dataclass
from pathlib import Path

from trials.log.row_types import TrialRow
from trials.trial import Event, Trial


@dataclass(frozen=True)
class Begun:
    """The log has been read. What an earlier driver left is in it."""

    rows: list[TrialRow]
    in_flight: int
    quarantined: tuple[Path, ...] = ()  # damaged files, moved aside
    foreign: tuple[Path, ...] = ()  # files in the log that are not ours


@dataclass(frozen=True)
class RowWritten:
    """A row is durable."""

    row: TrialRow


@dataclass(frozen=True)
class Retried:
    """A trial's worker was lost, and the trial will run again."""

    trial: Trial


@dataclass(frozen=True, kw_only=True)
class EpochMetrics:
    """One epoch of a full training, a row of its metrics.parquet. Accuracies are 0-1."""

    epoch: int  # from 1
    train_loss: float
    train_accuracy: float
    minival_loss: float
    minival_accuracy: float
    minival_accuracy_raw: float  # without averaging of weights
    minival_accuracy_top5: float
    minival_balanced_accuracy: float | None = (
        None  # mean of the classes' recalls; None: by an earlier version
    )
    learning_rate: float
    resolution: int  # of the evaluation, pixels
    train_seconds: float
    evaluate_seconds: float
    data_seconds: float  # of train_seconds, in which the device had to wait for images
    stage: int | None  # from 0; None where batches of the epoch belonged to several
    train_resolution: float  # mean over the batches, as are the strengths
    dropout: float
    randaugment: float
    mixup: float
    cutmix: float
    images_per_second: float  # while training
    best: bool  # whether its weights were the best so far
    finished_at: str


@dataclass(frozen=True)
class EpochDone:
    """An epoch of a training is on disk."""

    metrics: EpochMetrics


@dataclass(frozen=True)
class GroupLost:
    """A process of several is gone; all begin again at their last state."""

    reason: str


SearchEvent = Begun | Event | RowWritten | Retried
