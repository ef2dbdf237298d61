"""The log's rows: the type, the unit and the meaning of each column; a row is a mapping from their names."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, TypedDict, TypeVar, get_args, get_type_hints

from trials.measurement import Mode
from trials.objective import Objective, in_words, name_of, objective_of
from trials.trial import FailureKind, Kernels, Purpose, Status


@dataclass(frozen=True)
class Meaning:
    """The meaning of a column beside its type. Where the type has no None, every row has a value.

    Attributes:
        measured: the attribute of a Measurement that the column keeps, as in "step_time.device".
        trained: it is known only after training; the bound that a stopped trial has in its place is not kept.
        own: it belongs to the trial itself; a cached row repeats every other column of the equal trial's.
    """

    text: str
    unit: str = ""
    measured: str = ""
    trained: bool = False
    own: bool = False


class AskRow(TypedDict):
    """A proposal, recorded before its trial is dispatched: columns that its trial's row has, too."""

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


class TrialRow(TypedDict):
    """A trial that has ended: the columns of its ask, and those of its end.

    New columns go to the end, so that files of earlier versions keep their order of columns.
    """

    trial_id: Annotated[int, Meaning("number of the trial in its run, from 0")]
    ask_seq: Annotated[int, Meaning("place of its ask in the one order of asks and tells")]
    tell_seq: Annotated[int, Meaning("place of this row in that order", own=True)]
    purpose: Annotated[Purpose, Meaning("search, baseline, repeat, finalist (a longer repeat) or audit")]
    continues: Annotated[
        int | None, Meaning("the trial whose training it went on with: its epochs count, its seconds do not")
    ]
    status: Annotated[Status, Meaning("completed, stopped, infeasible, crashed or cached", own=True)]
    failure_kind: Annotated[FailureKind | None, Meaning("why it did not complete")]
    reward: Annotated[float | None, Meaning("the objective times the powers of the ratios; 0 if infeasible")]
    accuracy: Annotated[
        float | None,
        Meaning(
            "on minival, of the averaged weights where the recipe has them",
            "0-1",
            measured="accuracy",
            trained=True,
        ),
    ]
    accuracy_raw: Annotated[
        float | None,
        Meaning("on minival, of the weights as trained", "0-1", measured="accuracy_raw", trained=True),
    ]
    accuracy_top5: Annotated[
        float | None,
        Meaning("on minival, label among the first five", "0-1", measured="accuracy_top5", trained=True),
    ]
    minival_images: Annotated[int | None, Meaning("images of minival", measured="minival_images")]
    step_seconds: Annotated[
        float | None, Meaning("median training step", "s", measured="step_time.step_seconds")
    ]
    step_seconds_p10: Annotated[
        float | None, Meaning("10th percentile", "s", measured="step_time.step_seconds_p10")
    ]
    step_seconds_p90: Annotated[
        float | None, Meaning("90th percentile", "s", measured="step_time.step_seconds_p90")
    ]
    step_time_ratio: Annotated[
        float | None,
        Meaning(
            "step time over the reference network's, measured alternately",
            measured="step_time.step_time_ratio",
        ),
    ]
    step_time_ratio_spread: Annotated[
        float | None,
        Meaning("(p90 - p10) / median of the ratios", measured="step_time.step_time_ratio_spread"),
    ]
    reference_step_seconds: Annotated[
        float | None,
        Meaning("median step of the reference network", "s", measured="step_time.reference_step_seconds"),
    ]
    timing_flag: Annotated[str | None, Meaning("why a time measured here is uncertain")]
    params: Annotated[int | None, Meaning("trainable parameters, with the classifier", measured="params")]
    macs: Annotated[
        int | None, Meaning("multiply-adds of convolutions and linear layers, one image", measured="macs")
    ]
    peak_memory_bytes: Annotated[
        int | None,
        Meaning(
            "that the network's training took of the device's memory",
            "B",
            measured="peak_memory_bytes",
        ),
    ]
    architecture_id: Annotated[str, Meaning("equal if and only if the same network is built")]
    choices: Annotated[list[int], Meaning("indices of options, one for each decision of the space")]
    architecture: Annotated[str, Meaning("JSON, the same mapping as the YAML")]
    strategy: Annotated[str, Meaning("name of the strategy")]
    aux: Annotated[str, Meaning("JSON, what the strategy keeps of its own proposal")]
    seed: Annotated[int, Meaning("of weights, data order and augmentation")]
    epochs: Annotated[int, Meaning("trained in all")]
    train_loss: Annotated[list[float] | None, Meaning("by epoch")]
    minival_accuracy: Annotated[list[float] | None, Meaning("by epoch", "0-1")]
    resolution: Annotated[int | None, Meaning("of the last epoch", "px")]
    batch_size: Annotated[int | None, Meaning("images of a step")]
    micro_batches: Annotated[int | None, Meaning("parts in which a batch was computed")]
    precision: Annotated[str | None, Meaning("fp32, tf32, bf16 or fp16")]
    device_name: Annotated[str | None, Meaning("where it trained")]
    device_id: Annotated[str | None, Meaning("which one of them")]
    host: Annotated[str | None, Meaning("of that device")]
    attempts: Annotated[int | None, Meaning("times it was started", own=True)]
    asked_at: Annotated[datetime, Meaning("when it was proposed")]
    started_at: Annotated[datetime | None, Meaning("when its last attempt began", own=True)]
    finished_at: Annotated[datetime | None, Meaning("when that ended", own=True)]
    build_seconds: Annotated[float | None, Meaning("building and counting", "s", own=True)]
    timing_seconds: Annotated[float | None, Meaning("measuring step time", "s", own=True)]
    train_seconds: Annotated[float | None, Meaning("training", "s", own=True)]
    evaluate_seconds: Annotated[float | None, Meaning("evaluating on minival", "s", own=True)]
    timing_device: Annotated[str | None, Meaning("where step time was measured", measured="step_time.device")]
    timing_resolution: Annotated[
        int | None, Meaning("at which resolution", "px", measured="step_time.resolution")
    ]
    timing_batch_size: Annotated[int | None, Meaning("at which batch size", measured="step_time.batch_size")]
    timing_precision: Annotated[str | None, Meaning("in which precision", measured="step_time.precision")]
    timing_source: Annotated[
        Literal["measured", "predicted"] | None, Meaning("measured or predicted", measured="step_time.source")
    ]
    reference_params: Annotated[int | None, Meaning("of the reference network", measured="reference_params")]
    inference_seconds: Annotated[
        float | None,
        Meaning("median forward pass of a batch", "s", measured="inference_time.inference_seconds"),
    ]
    environment_id: Annotated[str | None, Meaning("versions and devices: see environment/*.json")]
    error: Annotated[str | None, Meaning("what a trial that did not complete said", own=True)]
    reference_macs: Annotated[int | None, Meaning("of the reference network", measured="reference_macs")]
    schema_version: Annotated[int | None, Meaning("of this row's columns")]
    inference_time_ratio: Annotated[
        float | None,
        Meaning(
            "inference time over the reference network's", measured="inference_time.inference_time_ratio"
        ),
    ]
    inference_time_ratio_spread: Annotated[
        float | None,
        Meaning("(p90 - p10) / median of the ratios", measured="inference_time.inference_time_ratio_spread"),
    ]
    reference_inference_seconds: Annotated[
        float | None,
        Meaning(
            "median forward pass of the reference network",
            "s",
            measured="inference_time.reference_inference_seconds",
        ),
    ]
    inference_batch_size: Annotated[
        int | None, Meaning("images of such a pass", measured="inference_time.batch_size")
    ]
    waiting_seconds: Annotated[
        float | None, Meaning("until others had timed, or gave way to being timed", "s", own=True)
    ]
    timing_exclusive: Annotated[
        bool | None,
        Meaning(
            "whether step time was measured with the device to itself", measured="step_time.is_exclusive"
        ),
    ]
    step_time_ratio_error: Annotated[
        float | None,
        Meaning("standard error of that ratio, over the ratio", measured="step_time.step_time_ratio_error"),
    ]
    timing_clock_mhz: Annotated[
        float | None,
        Meaning(
            "the GPU's SM clock while step time was measured, median", "MHz", measured="step_time.clock_mhz"
        ),
    ]
    timing_mode: Annotated[
        Mode | None,
        Meaning("graph or eager (launched one by one), both networks alike", measured="step_time.mode"),
    ]
    precision_reason: Annotated[str | None, Meaning("why it trained in that precision")]
    training_mode: Annotated[
        Mode | None, Meaning("graph: each step one CUDA graph; eager: launched one by one")
    ]
    kernels: Annotated[Kernels | None, Meaning("fused: our own between convolutions; torch: only torch's")]
    balanced_accuracy: Annotated[
        float | None,
        Meaning(
            "on minival, mean of the classes' recalls, else as accuracy",
            "0-1",
            measured="balanced_accuracy",
            trained=True,
        ),
    ]
    minival_balanced_accuracy: Annotated[list[float] | None, Meaning("by epoch", "0-1")]
    objective: Annotated[
        Objective | None, Meaning("the column that is the reward's first factor; missing: accuracy")
    ]


class EpochRow(TypedDict):
    """One epoch of a trial. Rebuilt from its trial's row it holds the loss and the accuracy alone."""

    trial_id: Annotated[int, Meaning("number of the trial")]
    attempt: Annotated[int, Meaning("which of its attempts")]
    epoch: Annotated[int, Meaning("from 1")]
    train_loss: Annotated[float | None, Meaning("mean over the epoch")]
    train_accuracy: Annotated[float | None, Meaning("mean over the epoch, on augmented images", "0-1")]
    minival_loss: Annotated[float | None, Meaning("of the averaged weights where the recipe has them")]
    minival_accuracy: Annotated[float | None, Meaning("likewise", "0-1")]
    minival_accuracy_raw: Annotated[float | None, Meaning("of the weights as trained", "0-1")]
    learning_rate: Annotated[float | None, Meaning("of the last step")]
    resolution: Annotated[int | None, Meaning("", "px")]
    train_seconds: Annotated[float | None, Meaning("", "s")]
    evaluate_seconds: Annotated[float | None, Meaning("", "s")]
    schema_version: Annotated[int | None, Meaning("of this row's columns")]
    minival_balanced_accuracy: Annotated[float | None, Meaning("mean of the classes' recalls", "0-1")]


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


def annotations_of(row: type) -> dict[str, tuple[Any, Meaning]]:
    """The type and the meaning of each column of a type of rows that has meanings, in their order."""
    hints = get_type_hints(row, include_extras=True)
    return {name: get_args(hint) for name, hint in hints.items()}


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
