"""Training recipes, for ten-epoch trials and for full progressive training alike."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator
from pydantic.dataclasses import dataclass

from search_spaces.networks.bounds import LARGEST_BATCH, LARGEST_EPOCHS, SMALLEST_RESOLUTION
from search_spaces.settings.faults import refuse
from search_spaces.settings.messages import RECORDED
from search_spaces.settings.strict import STRICT
from search_spaces.settings.yaml_files import to_mapping
from trials.pictures import (
    SQUASHED,
    EvaluationCrop,
    PictureView,
    default_evaluation_size,
    divisible,
    evaluation_view,
)
from trials.recipe_optimizer import OptimizerName, faults_of_optimizer, optimizer_notes, with_usual_settings
from trials.recipe_stages import stage_bounds, stage_notes

Precision = Literal["auto", "fp32", "tf32", "bf16", "fp16"]  # see trials/devices/arithmetic.py
# The paper's Algorithm 1; a random resolution for each batch, or for eight epochs at a time; the last one.
ResolutionSchedule = Literal["progressive", "random_batch", "random_epochs", "constant"]
RANDOM = ("random_batch", "random_epochs")
LARGEST = 2048  # pixels of a side
# Keys that came later, and the values with which trainings of before agree.
LATER_KEYS = {
    "final_share": 0.0, "optimizer": "rmsprop", "decay_share": 1.0, "class_weights": "none",
    "batch_norm_batches": 0, "stored_resolution": "stage", "randaugment_pixels": "scaled",
}  # fmt: skip
FARTHEST_EVALUATION = 1.5  # times the size of training; the published networks have 1.17 to 1.28
LARGEST_ALPHA = 4  # of mixup and CutMix, up to which the table of their draws is exact enough


@dataclass(frozen=True, config=STRICT)
class Ramp:
    """A value that changes linearly from `start` in the first training stage to `end` in the last one.

    (EfficientNetV2, Algorithm 1.)
    """

    EXPECTED: ClassVar[str] = "a number, or a mapping with the keys start and end"

    start: float = Field(ge=0)
    end: float = Field(ge=0)

    def at(self, index: int, stages: int) -> float:
        """The value in training stage `index` of `stages`: start + (end - start) * i / (M - 1)."""
        if stages == 1:
            return self.end
        return self.start + (self.end - self.start) * index / (stages - 1)

    def between(self, share: float) -> float:
        """The value at a share (0-1) of the way from start to end."""
        return self.start + (self.end - self.start) * share


def _ramp_from_number(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return {"start": value, "end": value}
    return value


RampOrNumber = Annotated[Ramp, BeforeValidator(_ramp_from_number)]  # YAML: 32, or {start: 128, end: 300}


@dataclass(frozen=True)
class TrainingStage:
    """A part of a training with one resolution and constant strengths of regularisation (Algorithm 1)."""

    index: int
    first_epoch: int  # from 0
    epochs: int
    resolution: int  # pixels
    dropout: float
    randaugment: float = 0.0  # magnitude on the official scale, mostly 0 to 10; 0: none
    mixup: float = 0.0  # alpha of the Beta distribution; 0: none
    cutmix: float = 0.0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Recipe:
    """The settings of a training: epochs, batch, optimizer, schedule, regularisation and precision.

    The optimizer is RMSProp as in TensorFlow, or another one, with its own defaults for the keys of `USUAL`
    (trials/recipe_optimizer.py). The learning rate is that of 256 images and scales with the batch: peak =
    learning_rate * batch_size / 256 (official code: 0.016). Defaults are the paper's where it states them
    (section 5.1). Batch-norm momentum is torch's (1 - TensorFlow's): 0.1 for short trials, 0.01 for the
    paper's full training.
    """

    SHIPPED: ClassVar[Path] = Path(__file__).parent / "recipes"

    epochs: int = Field(ge=1, le=LARGEST_EPOCHS)
    batch_size: int = Field(ge=2, le=LARGEST_BATCH)
    resolution: RampOrNumber
    min_steps: int = Field(default=0, ge=0)  # full training has as many epochs as these steps need, if more
    num_training_stages: int = Field(default=1, ge=1, le=64)
    final_share: float = Field(default=0.0, ge=0, lt=1)  # of the epochs, in the last stage; 0: all are equal
    resolution_schedule: ResolutionSchedule = "progressive"
    resolutions: tuple[int, ...] = ()  # to draw from; (): those of Algorithm 1's stages
    regularization: Literal["adaptive", "fixed"] = "adaptive"  # fixed: every ramp but resolution's at its end
    optimizer: OptimizerName = "rmsprop"
    learning_rate: float = Field(default=0.016, gt=0, le=100)  # per 256 images
    schedule: Literal["cosine", "exponential_staircase", "constant"] = "cosine"
    decay_share: float = Field(default=1.0, gt=0, le=1)  # of the steps, at the end, over which a cosine falls
    warmup_epochs: float = Field(default=1.0, ge=0)
    rms_decay: float = Field(default=0.9, ge=0, lt=1)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    epsilon: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-5, ge=0, le=1)
    averaging_decay: float = Field(default=0.0, ge=0, lt=1)  # exponential moving average of weights; 0: none
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    class_weights: Literal["none", "balanced"] = "none"  # of losses: by the inverse of a class's frequency
    dropout: RampOrNumber = Ramp(0.0, 0.0)
    stochastic_depth: float = Field(default=0.0, ge=0, lt=1)  # drop rate; block i of N has i / N of it
    batch_norm_momentum: float = Field(default=0.1, gt=0, le=1)
    # Of an epoch: on these the evaluated weights' statistics are estimated anew; 0: the running ones stay.
    batch_norm_batches: int = Field(default=0, ge=0, le=1000)
    sync_batch_norm: bool = False  # on several devices: statistics over all their images, not each one's own
    # pad: a random crop after padding every edge by this share of the side; resized: a random part of 5 to
    # 100 % of the area, resized to the full side.
    crop_padding: float = Field(default=0.125, ge=0, le=0.5)
    crop: Literal["pad", "resized"] = "pad"
    # Pixels of a side of the pictures that resized crops are cut from; auto: see trials.pictures.stored_side;
    # stage: of pictures already reduced to the stage's size, as by earlier versions. None becomes auto.
    stored_resolution: Literal["auto", "stage"] | Annotated[int, Field(ge=8, le=LARGEST)] | None = None
    evaluation_resolution: int | None = Field(default=None, le=LARGEST)  # None: see default_evaluation_size
    evaluation_crop: EvaluationCrop | None = None  # official: center below 320 px; None: squash
    evaluation_interpolation: Literal["bilinear", "bicubic"] | None = None  # None: bilinear
    flip: bool = True
    randaugment: RampOrNumber = Ramp(0.0, 0.0)  # magnitude of two layers, mostly 0 to 10; 0: none
    randaugment_pixels: Literal["scaled", "official"] = "scaled"  # Translate, Cutout: see randaugment.py
    mixup: RampOrNumber = Ramp(0.0, 0.0)  # alpha; together with cutmix each gets half of a batch
    cutmix: RampOrNumber = Ramp(0.0, 0.0)  # alpha
    cutout: float = Field(default=0.0, ge=0, le=1)  # side of the grey square, as share of the image's
    precision: Precision = "auto"
    # given: for weights of --init; given_size: also for images of the size that these were evaluated at.
    initial_weights: Literal["none", "given", "given_size"] = "none"

    @model_validator(mode="before")
    @classmethod
    def _with_usual_settings(cls, given: Any) -> Any:
        return with_usual_settings(given)

    def __post_init__(self) -> None:
        refuse(self._faults())

    def _faults(self) -> Iterator[str]:
        yield from faults_of_optimizer(self)
        if self.num_training_stages > self.epochs:
            yield (
                f"num_training_stages: {self.num_training_stages}, but epochs is only {self.epochs}; every "
                "training stage needs at least one"
            )
        sides = {
            "resolution": dict.fromkeys((self.resolution.start, self.resolution.end)),
            "resolutions": self.resolutions,
            "evaluation_resolution": [size] if (size := self.evaluation_resolution) is not None else [],
        }
        for name, side in ((name, side) for name, several in sides.items() for side in several):
            if not SMALLEST_RESOLUTION <= side <= LARGEST:
                yield (
                    f"{name}: {side:g} is out of range; it must be between {SMALLEST_RESOLUTION} and "
                    f"{LARGEST} pixels"
                )
        yield from self._faults_of_sizes()
        for rate in dict.fromkeys((self.dropout.start, self.dropout.end)):
            if not 0 <= rate < 1:
                yield f"dropout: {rate:g} is out of range; it must be at least 0 and below 1"
        for name, most in (("randaugment", 40), ("mixup", LARGEST_ALPHA), ("cutmix", LARGEST_ALPHA)):
            strongest = max(getattr(self, name).start, getattr(self, name).end)
            if strongest > most:
                yield f"{name}: {strongest:g} is out of range; it must be from 0 to {most}"

    @model_validator(mode="after")
    def _check_warm_up(self, info: ValidationInfo) -> Self:
        # Runs of earlier versions can be read, and reported on, without it.
        if (info.context or {}).get(RECORDED):
            return self
        # As many as there are is allowed: the rate rises to the end, the usual case of a single epoch.
        if self.warmup_epochs > self.epochs:
            raise ValueError(
                f"warmup_epochs: {self.warmup_epochs:g}, but epochs is only {self.epochs}, so the learning "
                "rate would never reach its peak; lower warmup_epochs, or raise epochs"
            )
        return self

    @model_validator(mode="after")
    def _set_stored_resolution(self, info: ValidationInfo) -> Self:
        # Runs of earlier versions, which have recorded none, go on as they were begun.
        stored = self.stored_resolution
        if self.crop == "resized":
            stored = stored or ("stage" if (info.context or {}).get(RECORDED) else "auto")
        elif isinstance(stored, int):
            raise ValueError(
                f"stored_resolution: {stored}, but crop is {self.crop}, which cuts nothing from larger "
                "pictures; leave it out, or use crop: resized"
            )
        else:
            stored = None
        object.__setattr__(self, "stored_resolution", stored)
        return self

    def _faults_of_sizes(self) -> Iterator[str]:
        if self.resolutions and not self.draws_sizes:
            yield (
                f"resolutions: given, but resolution_schedule {self.resolution_schedule} draws none; use "
                f"{' or '.join(RANDOM)}, or resolution: {{start: …, end: …}}"
            )
        if self.draws_sizes and len(self._sizes()) < 2:
            yield (
                f"resolution_schedule: {self.resolution_schedule} needs several sizes to draw from; list "
                "them in resolutions, or let resolution grow over num_training_stages"
            )

    @property
    def draws_sizes(self) -> bool:
        """True if resolutions are drawn at random instead of following from the epoch."""
        return self.resolution_schedule in RANDOM

    def _sizes(self) -> list[int]:
        """The resolution of each training stage, in pixels."""
        count = self.num_training_stages
        if self.resolution_schedule == "constant":
            return [int(self.resolution.end)] * count
        grown = [int(self.resolution.at(i, count)) for i in range(count)]
        return sorted(set(self.resolutions or grown)) if self.draws_sizes else grown

    def notes(self) -> tuple[str, ...]:
        """Sentences about settings that are likely not what was meant."""
        return (
            *optimizer_notes(self),
            *stage_notes(self),
            *self._notes_on_evaluation(),
            *self._notes_on_ramps(),
        )

    def _notes_on_evaluation(self) -> Iterator[str]:
        """A sentence where a size of evaluation was kept while the sizes of training were changed."""
        final, evaluated = self.last_resolution, self.evaluation_resolution
        if evaluated is not None and not 1 <= evaluated / final <= FARTHEST_EVALUATION:
            yield (
                f"images are evaluated at {evaluated} px, {evaluated / final:.2g} times the {final} px of "
                "training, as evaluation_resolution says; 1 to 1.3 times is usual"
            )

    def _notes_on_ramps(self) -> tuple[str, ...]:
        """Sentences about what the recipe says and no training does: where ramps begin in a single stage."""
        if self.num_training_stages > 1 or self.draws_sizes:
            return ()
        names = ["resolution"] if self.resolution_schedule != "constant" else []
        names += ["dropout", "randaugment", "mixup", "cutmix"] if self.regularization == "adaptive" else []
        ramps = {name: getattr(self, name) for name in names}
        return tuple(
            f"{name} is {ramp.end:g} from the beginning and never {ramp.start:g}: it would grow over the "
            "stages of num_training_stages, and there is 1"
            for name, ramp in ramps.items()
            if ramp.start != ramp.end
        )

    def peak_learning_rate(self) -> float:
        """The learning rate after warm-up, which scales linearly with the batch."""
        return self.learning_rate * self.batch_size / 256

    @property
    def is_extensible(self) -> bool:
        """True if a short training equals the beginning of a longer one: nothing depends on its length."""
        return self.schedule != "cosine" and self.num_training_stages == 1

    def pairing(self) -> int:
        """The number that a device's share of a batch must be divisible by to contain all images' partners.

        1 without mixing, 2 with mixup or CutMix, 4 with both (`share_of_batch`).
        """
        kinds = sum(max(ramp.start, ramp.end) > 0 for ramp in (self.mixup, self.cutmix))
        return 2 * kinds or 1

    def batch_of(self, images: int) -> int:
        """Images of a step of a training on so many."""
        return min(self.batch_size, images)

    def epochs_for(self, steps_per_epoch: int) -> int:
        """The epochs of a full training: `epochs`, or as many as `min_steps` steps need, if that is more."""
        return max(self.epochs, -(-self.min_steps // max(steps_per_epoch, 1)))

    def identity(self) -> dict[str, Any]:
        """The settings as plain values, equal to those of earlier versions where the training is the same."""
        settings: dict[str, Any] = to_mapping(self)
        del settings["initial_weights"]  # says what begins it, and is no part of how it goes
        return {
            key: value for key, value in settings.items() if key not in LATER_KEYS or value != LATER_KEYS[key]
        }

    def as_begun(self, recorded: Mapping[str, Any]) -> "Recipe":
        """This recipe for a run that goes on, of whose recipe these keys are recorded.

        Earlier versions recorded no initial weights, and no pictures that crops are cut from: crops and
        evaluation stay as they were, also when a run has gone on since, and has recorded that.
        """
        same = replace(self, initial_weights=recorded.get("initial_weights", "none"))
        begun = recorded.get("stored_resolution", "stage")
        if not self.crop == recorded.get("crop") == "resized" or begun != "stage":
            return same
        return replace(
            same,
            stored_resolution="stage",
            evaluation_resolution=recorded.get("evaluation_resolution"),
            evaluation_crop=recorded.get("evaluation_crop"),
            evaluation_interpolation=recorded.get("evaluation_interpolation"),
        )

    @property
    def cuts_from_larger(self) -> bool:
        """True if random crops are cut from one stored picture larger than the training stages'."""
        return self.stored_resolution not in (None, "stage")

    def evaluation_size(self, stage: TrainingStage) -> int:
        """The resolution that a stage's network is evaluated at: in the last one's proportion to training."""
        final = self.last_resolution
        default = default_evaluation_size(final, cut_from_larger=self.cuts_from_larger)
        evaluated = self.evaluation_resolution or default
        if stage.resolution == final or evaluated == final:
            return evaluated if stage.resolution == final else stage.resolution
        return divisible(stage.resolution * evaluated / final)

    @property
    def evaluates_apart(self) -> bool:
        """True if images that are evaluated on are made otherwise than those that are trained on."""
        sizes = [(stage.resolution, self.evaluation_size(stage)) for stage in self._evaluated_stages()]
        is_other = any(at != size or self.evaluation_view(at) != SQUASHED for size, at in sizes)
        return self.cuts_from_larger or is_other

    def _evaluated_stages(self) -> tuple[TrainingStage, ...]:
        """The stages with whose size the network is evaluated: the last one's where sizes are drawn."""
        stages = self.training_stages()
        return stages[-1:] if self.draws_sizes else stages

    @property
    def evaluation_sizes(self) -> tuple[int, ...]:
        """The resolutions of images that are evaluated apart from those of training, ascending."""
        if not self.evaluates_apart:
            return ()
        return tuple(sorted({self.evaluation_size(stage) for stage in self._evaluated_stages()}))

    def evaluation_view(self, resolution: int) -> PictureView:
        """The way in which pictures become squares that are evaluated at this resolution."""
        return evaluation_view(self.evaluation_crop, self.evaluation_interpolation, resolution=resolution)

    @property
    def image_sizes(self) -> tuple[int, ...]:
        """Sizes of the images that trainings with this recipe need, in pixels, ascending."""
        return tuple(sorted({stage.resolution for stage in self.training_stages()}))

    @property
    def last_resolution(self) -> int:
        """Resolution of the last training stage, in pixels."""
        return self._sizes()[-1]

    def training_stages(self, epochs: int | None = None) -> tuple[TrainingStage, ...]:
        """The training stages of progressive learning (EfficientNetV2, Algorithm 1).

        They are as equal as whole epochs allow, but for the last one where there is a `final_share`. Of
        resolutions drawn at random each has one, from the smallest, with the epochs that it gets on average.
        """
        sizes = self._sizes()
        count, total = len(sizes), epochs or self.epochs
        bounds = stage_bounds(total, count, final_share=0.0 if self.draws_sizes else self.final_share)
        return tuple(
            TrainingStage(
                index=i,
                first_epoch=bounds[i],
                epochs=bounds[i + 1] - bounds[i],
                resolution=sizes[i],
                dropout=self._strength(self.dropout, sizes, i),
                randaugment=self._strength(self.randaugment, sizes, i),
                mixup=self._strength(self.mixup, sizes, i),
                cutmix=self._strength(self.cutmix, sizes, i),
            )
            for i in range(count)
        )

    def _strength(self, ramp: Ramp, sizes: list[int], index: int) -> float:
        """The strength of a regularisation in a stage.

        If adaptive, it follows the stage's number as in Algorithm 1 or, where resolutions are drawn at
        random, the stage's resolution.
        """
        if self.regularization == "fixed":
            return ramp.end
        if self.draws_sizes:
            return ramp.between((sizes[index] - sizes[0]) / (sizes[-1] - sizes[0]))
        return ramp.at(index, len(sizes))
