"""Block strings of timm and google/automl, split into tokens: letters, each followed by a number."""

import re
from collections.abc import Mapping, Sequence

from search_spaces.networks.architecture import Architecture, Block, Stage
from search_spaces.networks.blocks import own_ops
from search_spaces.networks.rounding import Rule, round_channels
from search_spaces.networks.stage_fields import SILU
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import from_mapping

NUMBER = re.compile(r"([a-z]+)(\d+(?:\.\d+)?(?:e-?\d+)?)")
MAX_LENGTH = 200  # of a string; the longest published one has 33 characters


def tokens_of(text: str, known: Mapping[str, str], *, where: str) -> dict[str, str]:
    """The numbers in a block string, as text, by the letters before them.

    `known` has the permitted letters and their meanings; unlike timm's reader, this one skips nothing.

    Raises:
        ConfigError: a token is not known, or occurs twice.
    """
    found: dict[str, str] = {}
    if len(text) > MAX_LENGTH:
        raise ConfigError(
            f"{where}: a block string of {len(text):,} letters; at most {MAX_LENGTH} are expected"
        )
    for part in text.split("_"):
        match = NUMBER.fullmatch(part)
        letters = match[1] if match else part
        if match is None or letters not in known:
            meanings = ", ".join(f"{name} ({meaning})" for name, meaning in known.items())
            raise ConfigError(f"{where}: '{part}' cannot be read in '{text}'; known are {meanings}")
        if letters in found:
            raise ConfigError(f"{where}: '{letters}' stands twice in '{text}'")
        found[letters] = match[2]
    return found


def expansion(found: Mapping[str, str], *, where: str) -> float:
    """The expansion ratio, which need not be whole.

    Raises:
        ConfigError: the token is missing.
    """
    if "e" not in found:
        return number(found, "e", where=where)
    return float(found["e"])


def number(found: Mapping[str, str], letters: str, *, where: str) -> int:
    """The whole number of one token.

    Raises:
        ConfigError: the token is missing, or its number is not whole.
    """
    if letters not in found:
        raise ConfigError(f"{where}: the token '{letters}' is missing")
    if not found[letters].isdigit():
        raise ConfigError(
            f"{where}: {letters}{found[letters]}: a whole number is expected behind '{letters}'"
        )
    return int(found[letters])


def stage_of(op: str, found: Mapping[str, str], *, channels: str, expands: bool, where: str) -> Stage:
    """The stage that a string's tokens describe.

    Args:
        channels: the letters of the token with the output channels.
        expands: false for block types that have no expansion ratio.

    Raises:
        ConfigError: a token is missing, or its number is out of range for a stage.
    """
    fields = {
        "op": op,
        "kernel_size": number(found, "k", where=where),
        "stride": number(found, "s", where=where),
        "expansion_ratio": expansion(found, where=where) if expands else 1,
        "channels": number(found, channels, where=where),
        "layers": number(found, "r", where=where),
        "se_ratio": float(found.get("se", 0)),
    }
    if not fields["layers"]:
        raise ConfigError(f"{where}: r0: at least one layer is expected")
    return from_mapping(Stage, fields, name=where)


def ratio_text(ratio: float) -> str:
    """A ratio as the shortest text that reads back to the same float."""
    return f"{ratio:g}" if float(f"{ratio:g}") == ratio else repr(ratio)


def stages_there(architecture: Architecture) -> Sequence[tuple[int, Stage, int]]:
    """(number from 1, stage, input channels) of every stage that has layers."""
    found, channels = [], architecture.stem_channels
    for i, stage in enumerate(architecture.stages, start=1):
        if stage.layers:
            found.append((i, stage, channels))
            channels = stage.channels
    return found


def distinct_blocks(stage: Stage, in_channels: int) -> Sequence[Block]:
    """The first block of a stage and, if it has more layers, the block that is repeated after it."""
    first = stage.block(in_channels)
    return [first, stage.block(stage.channels, first=False)] if stage.layers > 1 else [first]


def refuse_other_activation(architecture: Architecture, *, who: str) -> None:
    """Checks that an architecture has no other activation than EfficientNets.

    Raises:
        ConfigError: it has another one somewhere.
    """
    activations = {architecture.activation, *(block.activation for block in architecture.blocks())}
    if others := sorted(activations - {SILU}):
        raise ConfigError(f"activation: {', '.join(others)}: {who}'s EfficientNets have {SILU} everywhere")


def refuse_rounded(channels: int, rule: Rule, *, where: str, who: str) -> None:
    """Checks that the other project's builder leaves the channels as they are.

    Raises:
        ConfigError: its rounding rule gives another number.
    """
    if (rounded := round_channels(channels, rule)) != channels:
        raise ConfigError(f"{where}: {who} rounds {channels} channels to {rounded}")


def refuse_other_kind(architecture: Architecture, *, who: str) -> None:
    """Checks that an architecture is an EfficientNet with the stem stride of all other projects.

    Raises:
        ConfigError: it has other ops than MBConv and Fused-MBConv, or a stem of stride 1.
    """
    ops = {stage.op for stage in architecture.stages}
    if own := own_ops(ops):
        raise ConfigError(f"{', '.join(own)}: an op of your own here, which {who} does not have")
    others = sorted(ops - {"mbconv", "fused_mbconv"})
    if architecture.kind is not None or others:
        found = architecture.kind or ", ".join(others)
        raise ConfigError(f"{found}: of {who}'s networks only EfficientNets can be written and read")
    if architecture.stem_stride != 2:
        raise ConfigError(f"stem_stride: 1: the stem of {who} has stride 2")
