"""Proposals, trials, events and results, plain data between driver and workers; the executors' contract.

Imports neither torch nor ray, so that a notebook can use these types on a laptop.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Self

from pydantic import Field
from pydantic.dataclasses import dataclass as checked_dataclass

from search_spaces.networks.architecture import Architecture
from search_spaces.networks.bounds import LARGEST_BATCH, SMALLEST_RESOLUTION
from search_spaces.settings.strict import STRICT
from trials.objective import ACCURACY, Objective, value_of
from trials.recipe import LARGEST, Precision, Recipe

# repeat, finalist: trainings of the best architectures, as long as a trial or longer.
Purpose = Literal["search", "baseline", "repeat", "finalist", "audit"]
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
Mode = Literal["graph", "eager"]  # how work is launched: as one CUDA graph, or kernel by kernel
Kernels = Literal["fused", "torch"]  # that networks compute with between convolutions
Phase = Literal["waiting", "building", "timing", "training", "evaluating"]

STALL_SECONDS = 300.0  # without an event; building, capturing a graph and decoding images yield none
MAX_TRIALS = 10_000_000  # of a search; a larger number of trials in a setting is a typing error

# The ratio that a strategy is told for a quantity that a trial could not measure: finite, and worse than any
# measured value.
UNMEASURED_RATIO = 1000.0
INFERENCE: Final = "inference_time_ratio"  # measured only where the reward or a limit needs it


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A strategy's proposal of a trial.

    `epochs` is the total, even if the trial continues an earlier one. `aux` holds what the strategy needs to
    remember about the proposal (log-probabilities, say) as JSON values, which are recorded with it.
    """

    trial_id: int
    choices: tuple[int, ...]
    epochs: int
    continues: int | None = None
    purpose: Purpose = "search"
    aux: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """Seconds of one training step, and their ratio to the reference network's, measured in turn."""

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
    rounds: int = 0  # of chunks, from which the ratios come
    flag: str | None = None  # the reason why this value is uncertain; None if it is not
    source: Literal["measured", "predicted"] = "measured"
    step_time_ratio_error: float | None = None  # standard error of the ratio, over the ratio
    clock_mhz: float | None = None  # median of a GPU's clock meanwhile; None where it is unknown
    is_exclusive: bool = False  # true if no other process could use the device (on CPU: the core) meanwhile
    mode: Mode | None = None  # in which both were timed; None if the time is predicted or unknown


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
    """The conditions under which step time and inference time are measured; None takes the trial's own.

    `device` is the model of device on which they count, as `nas measure` names it; trials may train
    elsewhere.
    """

    device: str | None = Field(default=None, min_length=1, max_length=200)
    batch_size: int | None = Field(default=None, ge=2, le=LARGEST_BATCH)
    resolution: int | None = Field(default=None, ge=SMALLEST_RESOLUTION, le=LARGEST)  # pixels
    precision: Literal["fp32", "tf32", "bf16", "fp16"] | None = None
    inference_batch_size: int = Field(default=1, ge=1, le=LARGEST_BATCH)

    def resolution_for(self, recipe: Recipe) -> int:
        """Pixels at which the trials of a recipe are timed: by default those of its last training stage."""
        return self.resolution or recipe.last_resolution

    def batch_size_for(self, recipe: Recipe) -> int:
        """Images of a batch with which the trials of a recipe are timed: by default its own."""
        return self.batch_size or recipe.batch_size

    def precision_for(self, recipe: Recipe) -> Precision:
        """Precision in which the trials of a recipe are timed: by default its own, which may be "auto"."""
        return self.precision or recipe.precision


@dataclass(frozen=True, kw_only=True)
class StopBelow:
    """A bound on a trial's reward: it is stopped before it trains if even `max_accuracy` gives less."""

    reward: float
    max_accuracy: float  # 0-1, of the search's objective
    terms: Mapping[str, float]  # the reward's exponents, by quantity


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training to do, as a worker gets it.

    `epochs` is the total. The seed determines initial weights, order of images and augmentation.
    """

    trial_id: int
    choices: tuple[int, ...]
    architecture: Architecture
    recipe: Recipe
    epochs: int
    seed: int
    attempt: int = 1
    continues: int | None = None  # the id of the trial whose training it continues, with the same seed
    epochs_before: int = 0  # epochs of that trial
    timing: Timing = field(default_factory=Timing)
    step_time: StepTime | None = None  # if it is known already, it is not measured
    inference_time: InferenceTime | None = None  # likewise
    timed: "TrialTimes | None" = None  # times of this trial's timing part, if it had one
    is_timing_part: bool = False  # end with a TimingPart instead of training
    needs_inference_time: bool = False  # for the reward or a limit
    limits: Mapping[str, float] = field(default_factory=dict)  # on what is measured before training, by name
    stop_below: StopBelow | None = None
    objective: Objective = ACCURACY  # what the search rewards
    timeout_seconds: float | None = None  # after which the trial is infeasible
    cuda_graphs: bool = True  # on CUDA; False after its work could not be captured

    @property
    def measures_inference_time(self) -> bool:
        """True if inference time is needed and not known."""
        return self.needs_inference_time and self.inference_time is None

    @property
    def needs_timing(self) -> bool:
        """True if step time or inference time is to be measured."""
        return self.step_time is None or self.measures_inference_time


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A heartbeat of a trial: its phase, and how far it is. Not stored."""

    trial_id: int
    attempt: int
    phase: Phase
    epoch: int = 0  # the current one, from 1; 0 before training
    epochs: int = 0
    fraction: float = 0.0  # of the phase (training: of the epoch)
    slot: int | None = None


@dataclass(frozen=True, kw_only=True)
class EpochFigures:
    """The figures of one epoch. Accuracies are 0-1; `_raw` is without weight averaging."""

    epoch: int  # from 1
    train_loss: float
    train_accuracy: float
    minival_loss: float
    minival_accuracy: float
    minival_accuracy_raw: float
    minival_balanced_accuracy: float | None = (
        None  # mean of the classes' recalls; None: by an earlier version
    )
    learning_rate: float  # at the epoch's last step
    resolution: int
    train_seconds: float
    evaluate_seconds: float


@dataclass(frozen=True, kw_only=True)
class EpochResult(EpochFigures):
    """The figures of one epoch of a trial, an event."""

    trial_id: int
    attempt: int


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The quantities that a trial measured. Ratios are to the space's reference network, same conditions.

    `objective` names the one that is the first factor of the reward.
    """

    accuracy: float  # on minival, 0-1, of the averaged weights if the recipe has them
    accuracy_raw: float
    accuracy_top5: float | None
    balanced_accuracy: float | None = None  # mean of the classes' recalls, of the same weights as `accuracy`
    minival_images: int
    step_time: StepTime
    inference_time: InferenceTime | None = None  # None unless the trial needs it
    params: int  # trainable, with the classifier
    macs: int  # per image, at the trial's resolution
    reference_params: int
    reference_macs: int
    peak_memory_bytes: int | None  # None on a CPU, which has no such record
    objective: Objective = ACCURACY

    @property
    def objective_value(self) -> float:
        """The value of the objective, 0-1."""
        return value_of(self, self.objective)


def size_ratio(measured: Measurement) -> float:
    """Parameters over the reference network's."""
    return measured.params / measured.reference_params


@dataclass(frozen=True, kw_only=True)
class DeviceInfo:
    """The device that a trial ran on."""

    device_name: str
    device_id: str
    host: str


@dataclass(frozen=True, kw_only=True)
class TrialTimes:
    """The wall-clock seconds that a trial spent in each phase; its start and end in UTC (ISO 8601)."""

    started_at: str
    finished_at: str
    build_seconds: float = 0.0
    timing_seconds: float = 0.0
    train_seconds: float = 0.0
    evaluate_seconds: float = 0.0
    waiting_seconds: float = 0.0  # for a device that others used; not part of the above

    def after(self, earlier: Self) -> Self:
        """The times of a whole trial whose timing part took `earlier`."""
        return replace(
            self,
            started_at=earlier.started_at,
            build_seconds=earlier.build_seconds + self.build_seconds,
            timing_seconds=earlier.timing_seconds + self.timing_seconds,
            waiting_seconds=earlier.waiting_seconds + self.waiting_seconds,
        )


@dataclass(frozen=True, kw_only=True)
class TimingPart:
    """The result of a trial's timing part, whose training runs on another worker.

    Only executors see it: they start the rest of the trial with it.
    """

    trial: Trial
    step_time: StepTime
    inference_time: InferenceTime | None
    times: TrialTimes

    @property
    def rest(self) -> Trial:
        """The trial without its timing part: the same with its times given."""
        return replace(
            self.trial,
            is_timing_part=False,
            step_time=self.step_time,
            inference_time=self.inference_time,
            timed=self.times,
        )


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """The end of a trial, and all that is known of it; `measurement` is None if it failed before."""

    trial: Trial
    status: Status
    failure_kind: FailureKind | None = None
    measurement: Measurement | None = None
    params: int | None = None  # known once the network is counted, even if the trial is infeasible
    macs: int | None = None
    step_time: StepTime | None = None
    inference_time: InferenceTime | None = None
    epochs: tuple[EpochResult, ...] = ()
    device: DeviceInfo | None = None
    times: TrialTimes | None = None
    precision: str | None = None
    precision_reason: str | None = None  # why in this one
    training_mode: Mode | None = None
    kernels: Kernels | None = None
    micro_batches: int = 1
    error: str | None = None  # one line for a user, or the traceback of a bug
    capture_failed: bool = False  # its worker was lost because its work cannot be a CUDA graph

    @property
    def trial_id(self) -> int:
        """The id of the trial."""
        return self.trial.trial_id

    @property
    def attempt(self) -> int:
        """The attempt at the trial, from 1."""
        return self.trial.attempt


@dataclass(frozen=True, kw_only=True)
class WorkerInfo:
    """The device, process and package versions of a worker."""

    device_name: str | None  # model; None where it is unknown
    host: str
    pid: int
    node_id: str
    device_id: str | None = None  # of its device on this host
    precision: str | None = None  # in which its GPU trains; None of a CPU, where a probe has to decide
    versions: Mapping[str, str | None]


@dataclass(frozen=True, kw_only=True)
class WorkerJoined:
    """The event that a worker can run trials; belongs to no trial."""

    slot: int
    info: WorkerInfo


@dataclass(frozen=True)
class Notice:
    """A message about the workers for the user; belongs to no trial."""

    text: str


Event = Progress | EpochResult | TrialResult | WorkerJoined | Notice
# Runs a trial and yields its events; the last one is its TrialResult, or the TimingPart of a timing part. A
# callable may have a `device_name`, the model of its device.
RunTrial = Callable[[Trial], Iterator[Event | TimingPart]]


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A place to run one trial at a time: a device (`cpu`, `cuda:0`) and, on a CPU, one of its cores."""

    index: int
    device: str = "cpu"
    core: int | None = None


StartWorker = Callable[[Slot], RunTrial]
# An executor: runs trials on its workers and yields their events as they come. A None among the trials means
# that no trial may start until another event has been handled. Executors never retry a trial.
Execute = Callable[[StartWorker, Iterable[Trial | None]], Iterator[Event]]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a trial as strategies are told it; every number is finite."""

    status: Status
    reward: float
    accuracy: float  # or the search's other objective, as is the curve
    step_time_ratio: float
    params: float  # ratio to the reference
    curve: tuple[float, ...] = ()  # accuracy after each epoch; empty if unknown
