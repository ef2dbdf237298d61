"""Compound scaling: members of a family by the formula or by coefficients."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import ValidationError

from nas.scaling.factors import UNSCALED, Coefficients, Formula
from search_spaces.networks.architecture import Architecture, Stage
from search_spaces.networks.bounds import LARGEST_RESOLUTION, MAX_CHANNELS, MAX_LAYERS
from search_spaces.networks.counting import count
from search_spaces.networks.resolutions import check_resolution
from search_spaces.networks.rounding import Rule, round_channels, round_layers, scaled
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.setting_errors import refused_as
from trials.pictures import LARGEST_EVALUATION, TRAINING_SHARE

Heuristics = Literal["v1", "v2"]
Ends = Literal["scaled", "fixed", "stem_as_first_stage"]

LATE_LAYERS = 1.2  # V2-M and V2-L: 6 layers for V2-S's 5 in stage 5, before compound depth
NEW_STAGE_LAYERS = 1 / 4  # their stage 7 has 2 layers to stage 6's 8,
NEW_STAGE_CHANNELS = 5 / 3  # and 320 channels to its 192


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Rules by which factors become a network.

    `heuristics` decide the sizes at which networks are trained and used. `v2`: inference at 480 px at most,
    training at about 20 % less. `v1`: at any size, and training at inference's. `ends`: stem and head are
    scaled as the stages (V1, V2-B1 to B3), keep the base's channels, or the stem has the first stage's and
    the head the base's (V2-S, M, L). `late_layers`: the last stages grow more, as in V2-M and V2-L
    (`with_late_layers`).
    """

    rounding: Rule = "v2"
    heuristics: Heuristics = "v2"
    ends: Ends = "scaled"
    late_layers: bool = False


@dataclass(frozen=True, kw_only=True)
class Member:
    """A network of a family, and the sizes in pixels at which it is trained and used.

    `name` is what follows the base's in its file's; the base's own is `base`.
    """

    name: str
    architecture: Architecture
    num_classes: int
    training_resolution: int
    inference_resolution: int
    coefficients: Coefficients | None = UNSCALED  # None: each stage has its own
    rules: Rules = Rules()
    phi: float | None = None
    formula: Formula | None = None
    like: str | None = None  # a published network,
    like_from: str | None = None  # and the published one whose place the base takes
    notes: tuple[str, ...] = ()  # on how it was scaled
    is_capped: bool = False  # whether V2's bound on the inference resolution holds it back

    @property
    def params(self) -> int:
        """Trainable parameters."""
        return self._count(self.inference_resolution)[0]

    @property
    def macs(self) -> int:
        """Multiply-adds of one image at the inference resolution, as published networks are counted."""
        return self._count(self.inference_resolution)[1]

    @property
    def training_macs(self) -> int:
        """Multiply-adds of one image's forward pass at the training resolution."""
        return self._count(self.training_resolution)[1]

    @property
    def layers(self) -> int:
        """Blocks of all stages."""
        return sum(stage.layers for stage in self.architecture.stages)

    def builds_the_same(self, other: "Member") -> bool:
        """True if both are the same network at the same sizes."""
        return (
            self.architecture.architecture_id == other.architecture.architecture_id
            and self.training_resolution == other.training_resolution
            and self.inference_resolution == other.inference_resolution
        )

    def _count(self, resolution: int) -> tuple[int, int]:
        counts = count(self.architecture, num_classes=self.num_classes, resolution=resolution)
        return counts.params, counts.macs


def by_formula(base: Member, phi: float, formula: Formula, rules: Rules) -> Member:
    """The base scaled by the formula; at phi 0 the base itself, but for `rules.late_layers`.

    Raises:
        ConfigError: the images would be smaller than the network's total stride or larger than 4,096 px, a
            factor above 16, or the network wider or deeper than an architecture may be.
    """
    if not math.isfinite(phi):
        raise ConfigError(f"--phi: {phi} is no finite number")
    member = by_coefficients(base, formula.at(phi), rules, name=f"phi{phi:.6g}", where=f"phi {phi:.6g}")
    return replace(member, phi=phi, formula=formula)


def by_coefficients(
    base: Member, coefficients: Coefficients, rules: Rules, *, name: str | None = None, where: str = ""
) -> Member:
    """The base with its layers, channels and pixels multiplied.

    Raises:
        ConfigError: as `by_formula`.
    """
    factors = f"d{coefficients.depth:.6g}-w{coefficients.width:.6g}-r{coefficients.resolution:.6g}"
    wanted = round(base.inference_resolution * coefficients.resolution)
    inference = wanted
    if rules.heuristics == "v2":
        inference = min(wanted, max(LARGEST_EVALUATION, base.inference_resolution))
    sizes = (training_resolution(base, inference, rules.heuristics), inference)
    member = build_member(
        base,
        lambda: scale_architecture(base.architecture, coefficients, rules),
        name=name or factors,
        where=where or factors,
        sizes=sizes,
    )
    return replace(member, coefficients=coefficients, rules=rules, is_capped=inference < wanted)


def trained_at(inference: int) -> int:
    """The training resolution by V2's heuristics: 0.8 of inference's, down to a multiple of 16.

    This is google/automl's rule. Small images keep a finer step, at most a tenth of them: 32 px give 24,
    where a multiple of 16 would be half.
    """
    target = TRAINING_SHARE * inference
    step = next(step for step in (16, 8, 4, 2, 1) if step <= target / 10 or step == 1)
    return max(1, int(target) // step * step)


def training_resolution(base: Member, inference: int, heuristics: Heuristics) -> int:
    """Pixels in training by the heuristics; larger members have no fewer than the base, smaller no more."""
    if inference == base.inference_resolution:
        return base.training_resolution
    if heuristics == "v1":
        return inference
    training = max(base.architecture.total_stride, trained_at(inference))
    larger = inference > base.inference_resolution
    return max(training, base.training_resolution) if larger else min(training, base.training_resolution)


def build_member(
    base: Member, build: Callable[[], Architecture], *, name: str, where: str, sizes: tuple[int, int]
) -> Member:
    """A member of what `build` returns, at sizes in pixels of training and inference.

    Raises:
        ConfigError: the network is wider or deeper than an architecture may be, its channels are not what an
            op needs, or its images are too small or too large.
    """
    try:
        architecture = build()
    except ConfigError:
        raise
    except ValidationError as error:
        faults = error.errors()
        if any(fault["type"] == "less_than_equal" for fault in faults):
            raise ConfigError(
                f"{where}: more than {MAX_CHANNELS:,} channels, or {MAX_LAYERS} layers of a stage; take "
                "smaller factors"
            ) from None
        reasons = "; ".join(fault["msg"].removeprefix("Value error, ") for fault in faults)
        raise ConfigError(f"{where}: {reasons}, or other factors") from None
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None
    training, inference = sizes
    if inference > LARGEST_RESOLUTION:
        raise ConfigError(f"{where}: images of {inference:,} px; {LARGEST_RESOLUTION:,} px is the most")
    with refused_as(where):
        check_resolution(architecture, min(training, inference))
    return replace(
        base,
        name=name,
        architecture=architecture,
        training_resolution=training,
        inference_resolution=inference,
    )


def scale_architecture(architecture: Architecture, coefficients: Coefficients, rules: Rules) -> Architecture:
    """The scaled network, rounded; at width 1 channels stay as they are, multiples of 8 or not.

    Raises:
        ValueError: channels or layers beyond an architecture's.
    """
    width, depth = coefficients.width, coefficients.depth
    result = scaled(architecture, width=width, depth=depth, rule=rules.rounding)
    # At width 1 nothing is rounded: channels that are no multiples of 8 stay.
    if width == 1:
        kept = zip(result.stages, architecture.stages, strict=True)
        result = replace(
            result,
            stem_channels=architecture.stem_channels,
            stages=tuple(replace(stage, channels=own.channels) for stage, own in kept),
            head_channels=architecture.head_channels,
        )
    if rules.late_layers:
        result = with_late_layers(result, architecture, coefficients, rules.rounding)
    # Stem and head that do not grow with the stages.
    if rules.ends == "scaled":
        return result
    first = next(stage for stage in result.stages if stage.layers)
    stem = architecture.stem_channels if rules.ends == "fixed" else first.channels
    return replace(result, stem_channels=stem, head_channels=architecture.head_channels)


def with_late_layers(
    result: Architecture, base: Architecture, coefficients: Coefficients, rounding: Rule
) -> Architecture:
    """The scaled network with more layers in its late stages, as V2-M and V2-L have.

    Where these two differ from V2-S, before compound depth: 6 layers for 5 in the stage before the last one
    of stride 2, and a new stage at the end, of a quarter of the last one's layers and 5/3 of its channels.
    Of other bases the same shares are taken. A last stage of stride 1 that a base has already gets no fewer
    than that quarter.
    """
    # The last stage of stride 2, and the present one before it, in the base.
    depth = coefficients.depth
    present = [i for i, stage in enumerate(base.stages) if stage.layers]
    last = max((i for i in present if base.stages[i].stride == 2), default=present[-1])
    stages = list(result.stages)
    before = [i for i in present if i < last]
    # The stage before grows to 6 layers for 5.
    if before:
        stages[before[-1]] = _with_layers(
            stages[before[-1]], LATE_LAYERS * base.stages[before[-1]].layers * depth
        )
    # A last stage of stride 1 with a quarter of the layers: the base's own, or a new one that is wider.
    quarter = NEW_STAGE_LAYERS * base.stages[last].layers * depth
    if present[-1] > last:
        stages[present[-1]] = _with_layers(stages[present[-1]], quarter)
    else:
        channels = base.stages[last].channels * NEW_STAGE_CHANNELS * coefficients.width
        new = replace(stages[last], stride=1, channels=round_channels(channels, rounding), layers=1)
        stages.insert(last + 1, _with_layers(new, quarter))
    return replace(result, stages=tuple(stages))


def _with_layers(stage: Stage, layers: float) -> Stage:
    return replace(stage, layers=max(stage.layers, round_layers(layers)))
