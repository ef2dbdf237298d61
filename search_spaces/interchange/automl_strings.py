"""Architectures in google/automl's EfficientNetV2 notation: one block string per stage, and the head's width.

A string such as `r4_k3_s2_e4_i24_o48_c1` gives layers (r), kernel size (k), stride (s), expansion ratio (e),
input (i) and output channels (o), squeeze ratio (se), and c1 for Fused-MBConv. The stem is as wide as the
first string's `i`. Padding is always TensorFlow's.
"""

from pydantic import Field
from pydantic.dataclasses import dataclass

from search_spaces.interchange.block_tokens import (
    number,
    ratio_text,
    refuse_other_activation,
    refuse_other_kind,
    refuse_rounded,
    stage_of,
    stages_there,
    tokens_of,
)
from search_spaces.networks.architecture import Architecture, Stage
from search_spaces.networks.bounds import MAX_CHANNELS
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.strict import STRICT

KNOWN = {
    "r": "layers",
    "k": "kernel",
    "s": "stride",
    "e": "expansion",
    "i": "channels in",
    "o": "channels out",
    "se": "squeeze ratio",
    "c": "0 MBConv, 1 Fused-MBConv",
}
OPS = {"0": "mbconv", "1": "fused_mbconv"}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AutomlNetwork:
    """The settings of a google/automl EfficientNetV2 model with width and depth coefficients of 1."""

    blocks_args: tuple[str, ...] = Field(min_length=1, max_length=64)
    feature_size: int = Field(ge=1, le=MAX_CHANNELS)


def to_automl(architecture: Architecture) -> AutomlNetwork:
    """The same network in google/automl's notation.

    Raises:
        ConfigError: google/automl cannot express it; the message names the stage and the reason.
    """
    refuse_other_kind(architecture, who="google/automl")
    refuse_other_activation(architecture, who="google/automl")
    if architecture.padding != "same":
        raise ConfigError(
            "padding: symmetric: google/automl pads as TensorFlow does, where the same parameters give other "
            "outputs. If the network is to be trained there, nas export --padding same writes it so"
        )
    refuse_rounded(architecture.stem_channels, "v2", where="stem_channels", who="google/automl")
    refuse_rounded(architecture.head_channels, "v2", where="head_channels", who="google/automl")
    strings = []
    for i, stage, in_channels in stages_there(architecture):
        refuse_rounded(stage.channels, "v2", where=f"stage {i}", who="google/automl")
        if stage.expansion_ratio != int(stage.expansion_ratio):
            raise ConfigError(
                f"stage {i}: expansion_ratio: {stage.expansion_ratio}: google/automl reads whole ones alone"
            )
        strings.append(_string(stage, in_channels))
    return AutomlNetwork(blocks_args=tuple(strings), feature_size=architecture.head_channels)


def from_automl(network: AutomlNetwork) -> Architecture:
    """The same network as an Architecture.

    Raises:
        ConfigError: a string cannot be read, or its input channels are not the previous string's output.
    """
    stages = []
    stem = channels = _in_channels(network.blocks_args[0], where="blocks_args[0]")
    for i, text in enumerate(network.blocks_args):
        where = f"blocks_args[{i}]"
        if (given := _in_channels(text, where=where)) != channels:
            raise ConfigError(f"{where}: i{given}, but what is before it has {channels} channels")
        stage = _stage(text, where=where)
        stages.append(stage)
        channels = stage.channels
    architecture = Architecture(
        stem_channels=stem, stages=tuple(stages), head_channels=network.feature_size, padding="same"
    )
    to_automl(architecture)  # refuses strings from which google/automl itself would build another network
    return architecture


def _string(stage: Stage, in_channels: int) -> str:
    squeeze = f"_se{ratio_text(stage.se_ratio)}" if stage.se_ratio else ""
    fused = "_c1" if stage.op == "fused_mbconv" else ""
    return (
        f"r{stage.layers}_k{stage.kernel_size}_s{stage.stride}_e{stage.expansion_ratio}"
        f"_i{in_channels}_o{stage.channels}{squeeze}{fused}"
    )


def _in_channels(text: str, *, where: str) -> int:
    return number(tokens_of(text, KNOWN, where=where), "i", where=where)


def _stage(text: str, *, where: str) -> Stage:
    found = tokens_of(text, KNOWN, where=where)
    kind = found.get("c", "0")
    if kind not in OPS:
        raise ConfigError(f"{where}: c{kind}: c0 (MBConv) or c1 (Fused-MBConv) is expected")
    if len(found.get("s", "")) > 1:
        raise ConfigError(f"{where}: s{found['s']}: a stride of one digit is expected; V1's code writes two")
    return stage_of(OPS[kind], found, channels="o", expands=True, where=where)
