"""The columns of a run's log: their types, units and meaning."""

from dataclasses import dataclass

import pyarrow as pa

from trials.log.row_types import AskRow

SCHEMA_VERSION = 1

WORK = ("build", "timing", "train", "evaluate")  # what a trial holds its device for, in its order
WORK_SECONDS = tuple(f"{kind}_seconds" for kind in WORK)  # the columns; waiting for others is in none

_TIME = pa.timestamp("us", tz="UTC")
_FLOAT, _INT, _TEXT = pa.float64(), pa.int64(), pa.string()
_CURVE = pa.list_(pa.float64())


@dataclass(frozen=True)
class Column:
    """One column. Later columns are only appended, so that old rows stay readable.

    `required`: every row has a value. `row_types` has the same columns as Python types.
    """

    name: str
    type: pa.DataType
    meaning: str
    unit: str = ""
    required: bool = False


TRIAL_COLUMNS = (
    Column("trial_id", _INT, "number of the trial in its run, from 0", required=True),
    Column("ask_seq", _INT, "place of its ask in the one order of asks and tells", required=True),
    Column("tell_seq", _INT, "place of this row in that order", required=True),
    Column("purpose", _TEXT, "search, baseline, repeat, finalist (a longer repeat) or audit", required=True),
    Column(
        "continues",
        _INT,
        "the trial whose training it went on with: its epochs count, its seconds do not",
    ),
    Column("status", _TEXT, "completed, stopped, infeasible, crashed or cached", required=True),
    Column("failure_kind", _TEXT, "why it did not complete"),
    Column("reward", _FLOAT, "the objective times the powers of the ratios; 0 if infeasible"),
    Column("accuracy", _FLOAT, "on minival, of the averaged weights where the recipe has them", "0-1"),
    Column("accuracy_raw", _FLOAT, "on minival, of the weights as trained", "0-1"),
    Column("accuracy_top5", _FLOAT, "on minival, label among the first five", "0-1"),
    Column("minival_images", _INT, "images of minival"),
    Column("step_seconds", _FLOAT, "median training step", "s"),
    Column("step_seconds_p10", _FLOAT, "10th percentile", "s"),
    Column("step_seconds_p90", _FLOAT, "90th percentile", "s"),
    Column("step_time_ratio", _FLOAT, "step time over the reference network's, measured alternately"),
    Column("step_time_ratio_spread", _FLOAT, "(p90 - p10) / median of the ratios"),
    Column("reference_step_seconds", _FLOAT, "median step of the reference network", "s"),
    Column("timing_flag", _TEXT, "why a time measured here is uncertain"),
    Column("params", _INT, "trainable parameters, with the classifier"),
    Column("macs", _INT, "multiply-adds of convolutions and linear layers, one image"),
    Column("peak_memory_bytes", _INT, "that the network's training took of the device's memory", "B"),
    Column("architecture_id", _TEXT, "equal if and only if the same network is built", required=True),
    Column(
        "choices",
        pa.list_(pa.int16()),
        "indices of options, one for each decision of the space",
        required=True,
    ),
    Column("architecture", _TEXT, "JSON, the same mapping as the YAML", required=True),
    Column("strategy", _TEXT, "name of the strategy", required=True),
    Column("aux", _TEXT, "JSON, what the strategy keeps of its own proposal", required=True),
    Column("seed", _INT, "of weights, data order and augmentation", required=True),
    Column("epochs", _INT, "trained in all", required=True),
    Column("train_loss", _CURVE, "by epoch"),
    Column("minival_accuracy", _CURVE, "by epoch", "0-1"),
    Column("resolution", _INT, "of the last epoch", "px"),
    Column("batch_size", _INT, "images of a step"),
    Column("micro_batches", _INT, "parts in which a batch was computed"),
    Column("precision", _TEXT, "fp32, tf32, bf16 or fp16"),
    Column("device_name", _TEXT, "where it trained"),
    Column("device_id", _TEXT, "which one of them"),
    Column("host", _TEXT, "of that device"),
    Column("attempts", _INT, "times it was started"),
    Column("asked_at", _TIME, "when it was proposed", required=True),
    Column("started_at", _TIME, "when its last attempt began"),
    Column("finished_at", _TIME, "when that ended"),
    Column("build_seconds", _FLOAT, "building and counting", "s"),
    Column("timing_seconds", _FLOAT, "measuring step time", "s"),
    Column("train_seconds", _FLOAT, "training", "s"),
    Column("evaluate_seconds", _FLOAT, "evaluating on minival", "s"),
    Column("timing_device", _TEXT, "where step time was measured"),
    Column("timing_resolution", _INT, "at which resolution", "px"),
    Column("timing_batch_size", _INT, "at which batch size"),
    Column("timing_precision", _TEXT, "in which precision"),
    Column("timing_source", _TEXT, "measured or predicted"),
    Column("reference_params", _INT, "of the reference network"),
    Column("inference_seconds", _FLOAT, "median forward pass of a batch", "s"),
    Column("environment_id", _TEXT, "versions and devices: see environment/*.json"),
    Column("error", _TEXT, "what a trial that did not complete said"),
    Column("reference_macs", _INT, "of the reference network"),
    Column("schema_version", pa.int16(), "of this row's columns"),
    Column("inference_time_ratio", _FLOAT, "inference time over the reference network's"),
    Column("inference_time_ratio_spread", _FLOAT, "(p90 - p10) / median of the ratios"),
    Column("reference_inference_seconds", _FLOAT, "median forward pass of the reference network", "s"),
    Column("inference_batch_size", _INT, "images of such a pass"),
    Column("waiting_seconds", _FLOAT, "until others had timed, or gave way to being timed", "s"),
    Column("timing_exclusive", pa.bool_(), "whether step time was measured with the device to itself"),
    Column("step_time_ratio_error", _FLOAT, "standard error of that ratio, over the ratio"),
    Column("timing_clock_mhz", _FLOAT, "the GPU's SM clock while step time was measured, median", "MHz"),
    Column("timing_mode", _TEXT, "graph or eager (launched one by one), both networks alike"),
    Column("precision_reason", _TEXT, "why it trained in that precision"),
    Column("training_mode", _TEXT, "graph: each step one CUDA graph; eager: launched one by one"),
    Column("kernels", _TEXT, "fused: our own between convolutions; torch: only torch's"),
    Column("balanced_accuracy", _FLOAT, "on minival, mean of the classes' recalls, else as accuracy", "0-1"),
    Column("minival_balanced_accuracy", _CURVE, "by epoch", "0-1"),
    Column("objective", _TEXT, "the column that is the reward's first factor; missing: accuracy"),
)

ASK_NAMES = frozenset(AskRow.__annotations__)  # row_types says which of the columns an ask has
ASK_COLUMNS = tuple(column for column in TRIAL_COLUMNS if column.name in ASK_NAMES)

EPOCH_COLUMNS = (
    Column("trial_id", _INT, "number of the trial", required=True),
    Column("attempt", _INT, "which of its attempts", required=True),
    Column("epoch", _INT, "from 1", required=True),
    Column("train_loss", _FLOAT, "mean over the epoch"),
    Column("train_accuracy", _FLOAT, "mean over the epoch, on augmented images", "0-1"),
    Column("minival_loss", _FLOAT, "of the averaged weights where the recipe has them"),
    Column("minival_accuracy", _FLOAT, "likewise", "0-1"),
    Column("minival_accuracy_raw", _FLOAT, "of the weights as trained", "0-1"),
    Column("learning_rate", _FLOAT, "of the last step"),
    Column("resolution", _INT, "", "px"),
    Column("train_seconds", _FLOAT, "", "s"),
    Column("evaluate_seconds", _FLOAT, "", "s"),
    Column("schema_version", pa.int16(), "of this row's columns"),
    Column("minival_balanced_accuracy", _FLOAT, "mean of the classes' recalls", "0-1"),
)


def schema_of(columns: tuple[Column, ...]) -> pa.Schema:
    """The Arrow schema of columns; units are kept in the fields' metadata."""
    return pa.schema(
        [pa.field(c.name, c.type, metadata={"unit": c.unit} if c.unit else None) for c in columns]
    )


ASK_SCHEMA = schema_of(ASK_COLUMNS)
TRIAL_SCHEMA = schema_of(TRIAL_COLUMNS)
EPOCH_SCHEMA = schema_of(EPOCH_COLUMNS)

DRIVER_SCHEMA = pa.schema(
    [("number", pa.int32()), ("process", pa.int64()), ("host", _TEXT), ("started_at", _TIME)]
)
IDENTITY_SCHEMA = pa.schema([("search", _TEXT), ("files", _TEXT), ("recorded_at", _TIME)])
REPAIR_SCHEMA = pa.schema(
    [
        ("at", _TEXT),
        ("lost_trials", pa.list_(_INT)),
        ("lost_places", pa.list_(_INT)),
        ("in_flight_again", pa.list_(_INT)),
        ("quarantined", pa.list_(_TEXT)),
    ]
)
