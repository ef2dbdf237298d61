"""Wider and deeper networks from one: V1's and V2's rounding of scaled channels and layers."""

import math
from dataclasses import replace
from typing import Literal, get_args

from search_spaces.networks.architecture import Architecture

Rule = Literal["v1", "v2"]

DIVISOR = 8


def round_channels(channels: float, rule: Rule) -> int:
    """The nearest multiple of 8, halves up, at least 8; by `v1` the next one where that loses over a tenth.

    `v1` is EfficientNet's rule (tensorflow/tpu), `v2` that of EfficientNetV2's code. Published networks show
    the difference once: 16 * 1.2 = 19.2 channels are 24 in B3 and 16 in V2-B3. Products are taken as the
    official code takes them, in floats and without a correction.

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
    """The next whole number, at least 1.

    What is less than half a millionth above a whole number is a float's error, not a layer: 2.2 * 25 is
    55.00000000000001 and gives 55. The official code's plain ceiling gives 56 there; for the published
    networks the two agree.

    Raises:
        ValueError: layers that are not finite and above 0.
    """
    _check_positive("layers", layers)
    return max(1, math.ceil(round(layers, 6)))


def scaled(architecture: Architecture, *, width: float, depth: float, rule: Rule) -> Architecture:
    """`width` times the channels of stem, stages and head, `depth` times the layers of each stage, rounded.

    Channels become multiples of 8 at a width of 1, too. Stages of 0 layers stay absent; expanded channels
    follow from the rounded ones and are not rounded themselves.

    Raises:
        ValueError: a factor that is not finite and above 0, or channels or layers beyond an architecture's.
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
