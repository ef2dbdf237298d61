"""Architectures in timm's notation: block strings, stem, head, padding and batch norm's constant.

A string such as `er_r4_k3_s2_e4_c48` gives the block type (see TYPES), layers (r), kernel size (k), stride
(s), expansion ratio (e), output channels (c), squeeze ratio (se) and, in words such as `nre` (WORDS), an
activation other than `act_layer`, the network's. When timm builds a network, it rounds
channels to multiples of 8 and squeeze widths to the nearest whole number, and dilates convolutions beyond a
total stride of 32. Networks that it would change in this way are refused.
"""

from dataclasses import replace
from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from search_spaces.interchange.block_tokens import (
    distinct_blocks,
    ratio_text,
    refuse_other_kind,
    refuse_rounded,
    stage_of,
    stages_there,
    tokens_of,
)
from search_spaces.networks.architecture import Architecture, Block, Stage
from search_spaces.networks.bounds import MAX_CHANNELS
from search_spaces.networks.parts import expands
from search_spaces.networks.stage_fields import SILU, Activation
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.strict import STRICT

# Normalisation of input images: (x - 128) / 128, as here; (x - 127.5) / 127.5; ImageNet's mean and deviation.
Pixels = Literal["ours", "half", "imagenet"]
KNOWN = {
    "r": "layers",
    "k": "kernel",
    "s": "stride",
    "e": "expansion",
    "c": "channels",
    "se": "squeeze ratio",
}
TYPES = {
    "ir": "MBConv with expansion",
    "ds": "MBConv without expansion",
    "er": "Fused-MBConv with expansion",
    "cn": "Fused-MBConv without expansion",
}
MAX_TOTAL_STRIDE = 32
WORDS: dict[str, Activation] = {"nre": "relu", "nr6": "relu6", "nhs": "hard_swish", "nsw": "silu"}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TimmNetwork:
    """The arguments of timm's EfficientNet; `arch_def` has for each stage a list with one block string."""

    arch_def: tuple[tuple[str, ...], ...] = Field(min_length=1, max_length=64)
    stem_size: int = Field(ge=1, le=MAX_CHANNELS)
    num_features: int = Field(ge=1, le=MAX_CHANNELS)
    pad_type: Literal["", "same"] = ""
    act_layer: Literal[Activation, "swish"] = SILU  # of stem, head, and of blocks without one of WORDS
    bn_eps: float = Field(default=1e-5, ge=1e-8, le=1)
    pixels: Pixels | None = None  # normalisation that the weights expect; not one of timm's arguments


def to_timm(architecture: Architecture, *, epsilon: float) -> TimmNetwork:
    """The same network in timm's notation.

    Raises:
        ConfigError: timm cannot express it; the message names the stage and the reason.
    """
    refuse_other_kind(architecture, who="timm")
    if architecture.total_stride > MAX_TOTAL_STRIDE:
        raise ConfigError(
            f"timm dilates its convolutions beyond a total stride of {MAX_TOTAL_STRIDE}; this network's is "
            f"{architecture.total_stride}"
        )
    strings = []
    for i, stage, in_channels in stages_there(architecture):
        for block in distinct_blocks(stage, in_channels):
            _refuse_other_block(block, stage, where=f"stage {i}")
        strings.append(
            (_string(stage) + _activation_word(stage, architecture.activation, where=f"stage {i}"),)
        )
    return TimmNetwork(
        arch_def=tuple(strings),
        stem_size=architecture.stem_channels,
        num_features=architecture.head_channels,
        pad_type="same" if architecture.padding == "same" else "",
        act_layer=architecture.activation,
        bn_eps=epsilon,
    )


def from_timm(network: TimmNetwork) -> Architecture:
    """The same network as an Architecture.

    Raises:
        ConfigError: a string cannot be read, or describes what an Architecture cannot express.
    """
    stages = tuple(_stage(strings, where=f"arch_def[{i}]") for i, strings in enumerate(network.arch_def))
    architecture = Architecture(
        stem_channels=network.stem_size,
        stages=stages,
        head_channels=network.num_features,
        padding="same" if network.pad_type == "same" else "symmetric",
        activation=SILU if network.act_layer == "swish" else network.act_layer,
    )
    # Refuses strings from which timm itself would build another network than they say.
    to_timm(architecture, epsilon=network.bn_eps)
    return architecture


def _string(stage: Stage) -> str:
    squeeze = f"_se{ratio_text(stage.se_ratio)}" if stage.se_ratio else ""
    expansion = ratio_text(stage.expansion_ratio)
    shape = f"r{stage.layers}_k{stage.kernel_size}_s{stage.stride}_e{expansion}_c{stage.channels}"
    plain = stage.expansion_ratio == 1
    if stage.op == "mbconv":
        return f"{'ds' if plain else 'ir'}_{shape}{squeeze}"
    return f"cn_{shape}_skip" if plain else f"er_{shape}{squeeze}"


def _activation_word(stage: Stage, usual: Activation, *, where: str) -> str:
    """The word of a stage's activation; nothing for the network's."""
    activation = stage.activation or SILU
    if activation == usual:
        return ""
    words = [word for word, meaning in WORDS.items() if meaning == activation]
    if not words:
        raise ConfigError(
            f"{where}: activation: {activation}: timm has no word for it in one stage; it is expected in all "
            "of the network, or in none"
        )
    return f"_{words[0]}"


def _refuse_other_block(block: Block, stage: Stage, *, where: str) -> None:
    """Refuses a block that timm's builder would change."""
    plain = stage.expansion_ratio == 1
    refuse_rounded(block.out_channels, "v1", where=where, who="timm")
    if not plain and not expands(block):
        raise ConfigError(
            f"{where}: an expansion of {stage.expansion_ratio} from {block.in_channels} to "
            f"{block.expanded_channels} channels is none here, and a convolution in timm; give 1, or more"
        )
    if not plain:
        refuse_rounded(block.expanded_channels, "v1", where=f"{where}: expansion", who="timm")
    if not block.squeeze_channels:
        return
    if stage.op == "fused_mbconv" and plain:
        raise ConfigError(
            f"{where}: timm has no squeeze-excite in a Fused-MBConv of expansion 1 (its cn); "
            "se_ratio: 0 is expected there"
        )
    # timm divides the ratio by the expansion first, and squeezes the expanded channels: the order matters,
    # because floats round.
    squeezed = round(block.expanded_channels * (stage.se_ratio / stage.expansion_ratio))
    if squeezed != block.squeeze_channels:
        raise ConfigError(
            f"{where}: timm squeezes {block.in_channels} channels at {stage.se_ratio:g} to {squeezed}, the "
            f"network to {block.squeeze_channels}"
        )


def _stage(strings: tuple[str, ...], *, where: str) -> Stage:
    if len(strings) != 1:
        raise ConfigError(
            f"{where}: {len(strings)} strings for one stage; one is expected. Give each a stage of its own"
        )
    # The first token is the block type, without a number.
    kind, _, rest = strings[0].partition("_")
    if kind not in TYPES:
        kinds = ", ".join(f"{name} ({meaning})" for name, meaning in TYPES.items())
        raise ConfigError(f"{where}: '{kind[:20]}' is not a block that we have; blocks are {kinds}")
    # `skip` and activations have no number that counts; all others are letters with one.
    words = rest.split("_")
    skips = words.count("skip")
    activations = [WORDS[word] for word in words if word in WORDS]
    if len(activations) > 1:
        raise ConfigError(f"{where}: several activations in '{strings[0]}'; one is expected at most")
    text = "_".join(word for word in words if word != "skip" and word not in WORDS)
    found = tokens_of(text, KNOWN, where=where)
    op = "mbconv" if kind in ("ir", "ds") else "fused_mbconv"
    stage = stage_of(op, found, channels="c", expands=kind in ("ir", "er"), where=where)
    if activations:
        stage = replace(stage, activation=activations[0])
    _refuse_other_string(kind, stage, found, skips=bool(skips), where=where)
    return stage


def _refuse_other_string(kind: str, stage: Stage, found: dict[str, str], *, skips: bool, where: str) -> None:
    """Refuses strings from which timm and this project would build different blocks."""
    if kind in ("ir", "er") and stage.expansion_ratio == 1:
        raise ConfigError(
            f"{where}: timm's {kind} with e1 has a convolution that expands nothing; ours has none there. "
            f"Is {'ds' if kind == 'ir' else 'cn'} meant?"
        )
    if kind in ("ds", "cn") and found.get("e", "1") not in ("1", "1.0"):
        raise ConfigError(f"{where}: e{found['e']}: timm does not expand in {kind}; e1 is expected")
    if kind == "cn" and "se" in found:
        raise ConfigError(f"{where}: timm ignores se in cn; leave it out")
    if kind == "cn" and not skips:
        raise ConfigError(f"{where}: without 'skip' timm's cn adds no input; ours does where shapes allow it")
