"""Figures of an estimate: conditions, cost of a trial by parts, cost of the search, time by devices."""

from dataclasses import dataclass
from typing import Literal

BUSY = 1.3  # times as long as alone: caches are shared, and a step's own time grows, too


@dataclass(frozen=True, kw_only=True)
class SecondsRange:
    """Seconds of a trial, or of a part of it, over networks."""

    reference: float
    mean: float
    smallest: float
    largest: float


@dataclass(frozen=True, kw_only=True)
class TrialSeconds:
    """Parts of a trial, and the whole."""

    build_seconds: SecondsRange
    timing_seconds: SecondsRange
    train_seconds: SecondsRange
    evaluate_seconds: SecondsRange
    seconds: SecondsRange


@dataclass(frozen=True, kw_only=True)
class HoursOnDevices:
    """Time of the whole search on so many devices."""

    devices: int
    here: bool  # those of this machine
    hours: float
    half_width: float  # of the 95 % interval


@dataclass(frozen=True, kw_only=True)
class SearchEstimate:
    """The cost of a search before it starts."""

    file: str
    device_name: str
    precision: str
    resolution: int
    batch_size: int
    timed_batch_size: int  # a part of a batch that is slow on a CPU
    epochs_per_trial: int
    train_images: int
    minival_images: int
    num_classes: int
    images_assumed: bool
    networks: int  # that were drawn
    slowed_down: float  # 1: nobody else worked meanwhile
    step_times: Literal["a table of block times", "timed here"]
    step_seconds: float
    trial: TrialSeconds
    strategy: str
    bound_stopping: bool
    rungs: tuple[int, ...]
    trials: float
    epochs: float
    repeats: int  # trainings of finalists
    repeat_epochs: int  # of each; 0 without finalists
    search_device_hours: float
    repeats_device_hours: float
    device_hours: float
    device_hours_half_width: float  # of the 95 % interval; 0 where the budget is a time
    devices: tuple[HoursOnDevices, ...]
    estimated_in_seconds: float
