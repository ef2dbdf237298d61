"""Proposals, trials, events and results, plain data between driver and workers; the executors' contract.

Imports neither torch nor ray, so that a notebook can use these types on a laptop.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from search_spaces.networks.architecture import Architecture
from trials.measurement import InferenceTime, Measurement, Mode, StepTime, Timing
from trials.objective import ACCURACY, Objective
from trials.recipe import Recipe

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
Kernels = Literal["fused", "torch"]  # that networks compute with between convolutions
Phase = Literal["waiting", "building", "timing", "training", "evaluating"]

STALL_SECONDS = 300.0  # without an event; building, capturing a graph and decoding images yield none
MAX_TRIALS = 10_000_000  # of a search; a larger number of trials in a setting is a typing error


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
