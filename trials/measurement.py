"""The quantities that a trial measures, and the conditions of its timing; light, as trials/trial.py is."""

from dataclasses import dataclass
from typing import Final, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as checked_dataclass

from search_spaces.networks.bounds import LARGEST_BATCH, SMALLEST_RESOLUTION
from search_spaces.settings.strict import STRICT
from trials.objective import ACCURACY, Objective, value_of
from trials.recipe import LARGEST, Precision, Recipe

Mode = Literal["graph", "eager"]  # how work is launched: as one CUDA graph, or kernel by kernel

# The ratio that a strategy is told for a quantity that a trial could not measure: finite, and worse than any
# measured value.
UNMEASURED_RATIO = 1000.0
INFERENCE: Final = "inference_time_ratio"  # measured only where the reward or a limit needs it


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
