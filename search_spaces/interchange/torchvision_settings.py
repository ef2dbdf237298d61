"""Architectures in torchvision's notation: a list of MBConvConfig and FusedMBConvConfig settings.

When torchvision builds a network, every MBConv squeezes to a quarter of its input and no Fused-MBConv
squeezes; the channels of an MBConv and all expanded channels become multiples of 8; padding is symmetric.
Networks that would come out differently are refused.
"""

from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from search_spaces.interchange.block_tokens import (
    distinct_blocks,
    refuse_other_activation,
    refuse_other_kind,
    refuse_rounded,
    stages_there,
)
from search_spaces.interchange.timm_strings import Pixels
from search_spaces.networks.architecture import Architecture, Block, Stage
from search_spaces.networks.bounds import MAX_CHANNELS, MAX_LAYERS
from search_spaces.networks.stage_fields import ExpansionRatio
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.strict import STRICT
from search_spaces.settings.yaml_files import from_mapping

Kind = Literal["MBConvConfig", "FusedMBConvConfig"]
KINDS: dict[str, Kind] = {"mbconv": "MBConvConfig", "fused_mbconv": "FusedMBConvConfig"}
QUARTER = 0.25


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Setting:
    """One stage: the name of torchvision's configuration class, and that class's arguments."""

    config: Kind
    expand_ratio: ExpansionRatio
    kernel: int
    stride: int
    input_channels: int = Field(ge=1, le=MAX_CHANNELS)
    out_channels: int = Field(ge=1, le=MAX_CHANNELS)
    num_layers: int = Field(ge=1, le=MAX_LAYERS)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TorchvisionNetwork:
    """The arguments of torchvision's EfficientNet; the stem has the first setting's `input_channels`."""

    inverted_residual_setting: tuple[Setting, ...] = Field(min_length=1, max_length=64)
    last_channel: int = Field(ge=1, le=MAX_CHANNELS)
    norm_eps: float = Field(default=1e-5, ge=1e-8, le=1)
    pixels: Pixels | None = None  # normalisation that the weights expect; not one of torchvision's arguments


def to_torchvision(architecture: Architecture, *, epsilon: float) -> TorchvisionNetwork:
    """The same network in torchvision's notation.

    Raises:
        ConfigError: torchvision cannot express it; the message names the stage and the reason.
    """
    refuse_other_kind(architecture, who="torchvision")
    refuse_other_activation(architecture, who="torchvision")
    if architecture.padding != "symmetric":
        raise ConfigError(
            f"padding: {architecture.padding}: torchvision pads symmetrically, where the same parameters "
            "give other outputs; timm and automl can pad so. If the network is to be trained there, "
            "nas export --padding symmetric writes it so"
        )
    settings = []
    for i, stage, in_channels in stages_there(architecture):
        for block in distinct_blocks(stage, in_channels):
            _refuse_other_block(block, where=f"stage {i}")
        settings.append(_setting(stage, in_channels))
    return TorchvisionNetwork(
        inverted_residual_setting=tuple(settings), last_channel=architecture.head_channels, norm_eps=epsilon
    )


def from_torchvision(network: TorchvisionNetwork) -> Architecture:
    """The same network as an Architecture.

    Raises:
        ConfigError: an Architecture cannot express a setting, or its input channels are not the previous
            setting's output.
    """
    stages = []
    stem = channels = network.inverted_residual_setting[0].input_channels
    for i, setting in enumerate(network.inverted_residual_setting):
        where = f"inverted_residual_setting[{i}]"
        if setting.input_channels != channels:
            raise ConfigError(
                f"{where}: input_channels: {setting.input_channels}, but what is before it has {channels}"
            )
        stages.append(_stage(setting, where=where))
        channels = setting.out_channels
    architecture = Architecture(
        stem_channels=stem, stages=tuple(stages), head_channels=network.last_channel, padding="symmetric"
    )
    # Refuses settings from which torchvision itself would build another network than they say.
    to_torchvision(architecture, epsilon=network.norm_eps)
    return architecture


def _setting(stage: Stage, in_channels: int) -> Setting:
    return Setting(
        config=KINDS[stage.op],
        expand_ratio=stage.expansion_ratio,
        kernel=stage.kernel_size,
        stride=stage.stride,
        input_channels=in_channels,
        out_channels=stage.channels,
        num_layers=stage.layers,
    )


def _stage(setting: Setting, *, where: str) -> Stage:
    fused = setting.config == "FusedMBConvConfig"
    fields = {
        "op": "fused_mbconv" if fused else "mbconv",
        "kernel_size": setting.kernel,
        "stride": setting.stride,
        "expansion_ratio": setting.expand_ratio,
        "channels": setting.out_channels,
        "layers": setting.num_layers,
        "se_ratio": 0.0 if fused else QUARTER,
    }
    return from_mapping(Stage, fields, name=where)


def _refuse_other_block(block: Block, *, where: str) -> None:
    """Refuses a block that torchvision's builder would change."""
    refuse_rounded(block.expanded_channels, "v1", where=f"{where}: expansion", who="torchvision")
    if block.op == "fused_mbconv":
        if block.squeeze_channels:
            raise ConfigError(
                f"{where}: torchvision has no squeeze-excite in a Fused-MBConv; se_ratio: 0 is expected there"
            )
        return
    for channels in (block.in_channels, block.out_channels):
        refuse_rounded(channels, "v1", where=where, who="torchvision")
    quarter = max(1, block.in_channels // 4)
    if block.squeeze_channels != quarter:
        found = f"to {block.squeeze_channels}" if block.squeeze_channels else "nothing"
        raise ConfigError(
            f"{where}: torchvision's MBConv squeezes {block.in_channels} channels to {quarter}, a quarter; "
            f"the network squeezes {found}; se_ratio: 0.25 is expected there"
        )
