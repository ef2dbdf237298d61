"""What goes to a worker and what comes back: proposals, trials, events and results, as plain data.

Imports neither torch nor ray: a notebook reads these types on a laptop.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as checked_dataclass

from search_spaces.networks.architecture import STRICT, Architecture
from trials.recipe import Recipe

Purpose = Literal["search", "baseline", "repeat", "audit"]
Status = Literal["completed", "stopped", "infeasible", "crashed", "cached"]
FailureKind = Literal[
    "out_of_memory",
    "non_finite_loss",
    "invalid_network",
    "over_limit",
    "timeout",
    "worker_lost",
    "preempted",
    "bug",
]
Phase = Literal["waiting", "building", "timing", "training", "evaluating"]

# What a strategy is told for a quantity that a trial could not measure: finite, and worse than any measured
# value.
UNMEASURED_RATIO = 1000.0


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A strategy's proposal. `epochs` is the total, also of a trial that continues an earlier one.

    `aux` is what the strategy must remember of its own proposal (log-probabilities, say): JSON values only.
    """

    trial_id: int
    choices: tuple[int, ...]
    epochs: int
    continues: int | None = None
    purpose: Purpose = "search"
    aux: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """Seconds of one training step, and their ratio to the reference network's, measured alternately."""

    step_seconds: float  # median
    step_seconds_p10: float
    step_seconds_p90: float
    step_time_ratio: float  # median of the ratios
    step_time_ratio_spread: float  # (p90 - p10) / median of the ratios
    reference_step_seconds: float
    timing_seconds: float  # what the measurement cost
    device: str
    resolution: int
    batch_size: int
    precision: str
    rounds: int = 0  # how many ratios
    flag: str | None = None  # why this value should be doubted; None if it should not
    source: Literal["measured", "predicted"] = "measured"
    step_time_ratio_error: float | None = None  # standard error of the ratio, over the ratio
    clock_mhz: float | None = None  # of a GPU's processors meanwhile, median; None where nobody tells
    is_exclusive: bool = False  # whether no other process could use the device (on CPU: the core) meanwhile


@dataclass(frozen=True, kw_only=True)
class InferenceTime:
    """Seconds of one forward pass of a batch, and their ratio to the reference network's."""

    inference_seconds: float  # median
    inference_seconds_p10: float
    inference_seconds_p90: float
    inference_time_ratio: float  # median of the ratios
    inference_time_ratio_spread: float  # (p90 - p10) / median of the ratios
    reference_inference_seconds: float
    resolution: int
    batch_size: int
    precision: str
    rounds: int
    flag: str | None = None


@checked_dataclass(frozen=True, kw_only=True, config=STRICT)
class Timing:
    """Under which conditions step time and inference time are measured; None takes the trial's own.

    `device`: the model of device on which they count, as `nas measure` names it; trials may train elsewhere.
    """

    device: str | None = Field(default=None, min_length=1, max_length=200)
    batch_size: int | None = Field(default=None, ge=2, le=65_536)
    resolution: int | None = Field(default=None, ge=8, le=2048)  # pixels
    precision: Literal["fp32", "bf16"] | None = None
    inference_batch_size: int = Field(default=1, ge=1, le=65_536)


@dataclass(frozen=True, kw_only=True)
class StopBelow:
    """A trial ends before it trains if even `max_accuracy` would not give it this reward."""

    reward: float
    max_accuracy: float  # 0-1
    terms: Mapping[str, float]  # the reward's


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training to do. `epochs` is the total; the seed decides weights, data order and augmentation."""

    trial_id: int
    choices: tuple[int, ...]
    architecture: Architecture
    recipe: Recipe
    epochs: int
    seed: int
    attempt: int = 1
    continues: int | None = None  # the trial whose training it goes on with, with its seed
    epochs_before: int = 0  # of that one
    timing: Timing = field(default_factory=Timing)
    step_time: StepTime | None = None  # given: not measured again
    inference_time: InferenceTime | None = None  # likewise
    timed: "TrialTimes | None" = None  # where these were measured by a part of this trial of its own
    is_timing_part: bool = False  # ends before it trains, with a TimingPart
    needs_inference_time: bool = False  # for the reward, or for a limit
    limits: Mapping[str, float] = field(default_factory=dict)  # on what is measured before training, by name
    stop_below: StopBelow | None = None
    timeout_seconds: float | None = None  # beyond it the trial is infeasible


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The heartbeat: where a trial stands. Not stored."""

    trial_id: int
    attempt: int
    phase: Phase
    epoch: int = 0  # the one under way, from 1; 0 before training
    epochs: int = 0
    fraction: float = 0.0  # of the phase (training: of the epoch)
    slot: int | None = None


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """One epoch's end. Accuracies are 0-1, on minival; `accuracy_raw` is of the weights without averaging."""

    trial_id: int
    attempt: int
    epoch: int  # from 1
    train_loss: float
    train_accuracy: float
    minival_loss: float
    minival_accuracy: float
    minival_accuracy_raw: float
    learning_rate: float  # at the epoch's last step
    resolution: int
    train_seconds: float
    evaluate_seconds: float


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a trial measured. Ratios are to the space's reference network under the same conditions."""

    accuracy: float  # minival, 0-1, averaged weights where the recipe has them
    accuracy_raw: float
    accuracy_top5: float | None
    minival_images: int
    step_time: StepTime
    inference_time: InferenceTime | None = None  # where it was asked for
    params: int  # trainable, with the classifier
    macs: int  # of one image at the trial's resolution
    reference_params: int
    reference_macs: int
    peak_memory_bytes: int | None  # None where the device does not tell (CPU)

    def ratio_to_reference(self, name: str) -> float:
        """A rewardable quantity over the reference network's (REWARDABLE lists them)."""
        return REWARDABLE[name](self)


INFERENCE = "inference_time_ratio"
# What a reward may be made of, by name. A step-time term is named by the ratio itself.
REWARDABLE: dict[str, Callable[[Measurement], float]] = {
    "step_time_ratio": lambda m: m.step_time.step_time_ratio,
    "params": lambda m: m.params / m.reference_params,
    "macs": lambda m: m.macs / m.reference_macs,
    INFERENCE: lambda m: m.inference_time.inference_time_ratio if m.inference_time else math.nan,
}


@dataclass(frozen=True, kw_only=True)
class DeviceInfo:
    """Where a trial ran."""

    device_name: str
    device_id: str
    host: str


@dataclass(frozen=True, kw_only=True)
class TrialTimes:
    """Where a trial's time went, in seconds; wall clock, started and finished in UTC (ISO 8601)."""

    started_at: str
    finished_at: str
    build_seconds: float = 0.0
    timing_seconds: float = 0.0
    train_seconds: float = 0.0
    evaluate_seconds: float = 0.0
    waiting_seconds: float = 0.0  # for a device that others used; in none of the above


@dataclass(frozen=True, kw_only=True)
class TimingPart:
    """The times of a trial that trains elsewhere. Of executors alone: they start the trial again with it."""

    trial: Trial
    step_time: StepTime
    inference_time: InferenceTime | None
    times: TrialTimes

    @property
    def trial_id(self) -> int:
        """The timed trial's."""
        return self.trial.trial_id

    @property
    def attempt(self) -> int:
        """The timed trial's."""
        return self.trial.attempt

    @property
    def rest(self) -> Trial:
        """What is left of the trial."""
        return replace(
            self.trial,
            is_timing_part=False,
            step_time=self.step_time,
            inference_time=self.inference_time,
            timed=self.times,
        )


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """How a trial ended. `measurement` is None unless it got far enough to have one."""

    trial: Trial
    status: Status
    failure_kind: FailureKind | None = None
    measurement: Measurement | None = None
    params: int | None = None  # known as soon as the network is counted, also of an infeasible trial
    macs: int | None = None
    step_time: StepTime | None = None
    inference_time: InferenceTime | None = None
    epochs: tuple[EpochResult, ...] = ()
    device: DeviceInfo | None = None
    times: TrialTimes | None = None
    precision: str | None = None
    micro_batches: int = 1
    error: str | None = None  # one line for a user; a bug's traceback

    @property
    def trial_id(self) -> int:
        """The trial's."""
        return self.trial.trial_id

    @property
    def attempt(self) -> int:
        """Which attempt at the trial this is."""
        return self.trial.attempt


@dataclass(frozen=True, kw_only=True)
class WorkerInfo:
    """Where a worker runs and with what."""

    device_name: str | None  # model; None where it does not tell
    host: str
    pid: int
    node_id: str
    versions: Mapping[str, str | None]


@dataclass(frozen=True, kw_only=True)
class WorkerJoined:
    """A worker can run trials. Of no trial."""

    slot: int
    info: WorkerInfo


@dataclass(frozen=True)
class Notice:
    """What whoever watches should know of the workers. Of no trial."""

    text: str


Event = Progress | EpochResult | TrialResult | WorkerJoined | Notice
# Of a timing part the last event is a TimingPart, unless it ended the trial. A callable that has a
# `device_name` says on which model of device it runs.
RunTrial = Callable[[Trial], Iterator[Event | TimingPart]]


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One place that runs one trial at a time: a device (`cpu`, `cuda:0`), on CPU with a core of its own."""

    index: int
    device: str = "cpu"
    core: int | None = None


StartWorker = Callable[[Slot], RunTrial]
# Runs trials wherever it runs them and yields their events as they come. A None among the trials means that
# nothing is to be run until another event has been handled. Executors never retry.
Execute = Callable[[StartWorker, Iterable[Trial | None]], Iterator[Event]]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a strategy is told of a trial; every number is finite."""

    status: Status
    reward: float
    accuracy: float
    step_time_ratio: float
    params: float  # ratio to the reference
    curve: tuple[float, ...] = ()  # accuracies after each epoch; empty where they are not known
