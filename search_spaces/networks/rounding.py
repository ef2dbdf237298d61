"""Compound scaling of one network's width and depth, with the rounding rules of EfficientNet V1 and V2."""

import math
from dataclasses import replace
from typing import Literal, get_args

from search_spaces.networks.architecture import Architecture

Rule = Literal["v1", "v2"]

DIVISOR = 8


def round_channels(channels: float, rule: Rule) -> int:
    """The nearest multiple of 8 (halves up, at least 8); rule `v1` never loses more than a tenth.

    `v1` is EfficientNet's rule (tensorflow/tpu): it takes the next multiple of 8 where the nearest one is
    below 0.9 of the channels. `v2` is EfficientNetV2's code, without that step. Among published networks the
    rules differ once: 19.2 = 16 * 1.2 channels become 24 in B3 and 16 in V2-B3. `channels` is the plain
    float product, as in the official code.

    Raises:
        ValueError: another rule, or channels that are not finite and above 0.
    """
    if rule not in get_args(Rule):
        raise ValueError(f"rounding rule {rule!r} is not known; rules are {', '.join(get_args(Rule))}")
    _check_positive("channels", channels)
    rounded = max(DIVISOR, int(channels + DIVISOR / 2) // DIVISOR * DIVISOR)
    if rule == "v1" and rounded < 0.9 * channels:
        rounded += DIVISOR
    return rounded


def round_layers(layers: float) -> int:
    """The number of layers rounded up, at least 1.

    Excesses below half a millionth are floating-point error and do not add a layer: 2.2 * 25 is
    55.00000000000001 and gives 55. The official code's plain ceiling gives 56 there; for the published
    networks the two agree.

    Raises:
        ValueError: layers that are not finite and above 0.
    """
    _check_positive("layers", layers)
    return max(1, math.ceil(round(layers, 6)))


def scaled(architecture: Architecture, *, width: float, depth: float, rule: Rule) -> Architecture:
    """The architecture with `width` times the channels and `depth` times the layers, both rounded.

    Width scales stem, stages and head; depth scales every stage. Channels become multiples of 8 even at a
    width of 1. Stages of 0 layers stay absent; expanded channels follow from the rounded channels.

    Raises:
        ValueError: a factor that is not finite and above 0, or a result with more channels or layers than an
            architecture may have.
    """
    _check_positive("width", width)
    _check_positive("depth", depth)
    stages = (
        replace(
            stage,
            channels=round_channels(stage.channels * width, rule),
            layers=round_layers(stage.layers * depth) if stage.layers else 0,
        )
        for stage in architecture.stages
    )
    return replace(
        architecture.without_provenance(),
        stem_channels=round_channels(architecture.stem_channels * width, rule),
        stages=tuple(stages),
        head_channels=round_channels(architecture.head_channels * width, rule),
    )


def _check_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} is {value}; a finite number above 0 is expected")
