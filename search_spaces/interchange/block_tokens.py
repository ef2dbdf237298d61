"""One block string of timm or google/automl as its tokens: letters and the number behind them."""

import re
from collections.abc import Mapping, Sequence

from search_spaces.networks.architecture import Architecture, Block, Stage
from search_spaces.networks.blocks import own_ops
from search_spaces.networks.rounding import Rule, round_channels
from search_spaces.settings.yaml_files import ConfigError, from_mapping

NUMBER = re.compile(r"([a-z]+)(\d+(?:\.\d+)?(?:e-?\d+)?)")
MAX_LENGTH = 200  # of a string; the longest published one has 33 characters


def tokens_of(text: str, known: Mapping[str, str], *, where: str) -> dict[str, str]:
    """The numbers of a block string's tokens, by their letters.

    Raises:
        ConfigError: a token that is not `known` (letters and what they mean), or one that stands there twice.
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


def number(found: Mapping[str, str], letters: str, *, where: str) -> int:
    """A token's whole number.

    Raises:
        ConfigError: the token is missing, or its number is no whole one.
    """
    if letters not in found:
        raise ConfigError(f"{where}: the token '{letters}' is missing")
    if not found[letters].isdigit():
        raise ConfigError(
            f"{where}: {letters}{found[letters]}: a whole number is expected behind '{letters}'"
        )
    return int(found[letters])


def stage_of(op: str, found: Mapping[str, str], *, channels: str, expands: bool, where: str) -> Stage:
    """The stage of a string's tokens; `channels` are the letters of its channels out.

    Raises:
        ConfigError: a token is missing, or its number is beyond what a stage may have.
    """
    fields = {
        "op": op,
        "kernel_size": number(found, "k", where=where),
        "stride": number(found, "s", where=where),
        "expansion_ratio": number(found, "e", where=where) if expands else 1,
        "channels": number(found, channels, where=where),
        "layers": number(found, "r", where=where),
        "se_ratio": float(found.get("se", 0)),
    }
    if not fields["layers"]:
        raise ConfigError(f"{where}: r0: at least one layer is expected")
    return from_mapping(Stage, fields, name=where)


def ratio_text(ratio: float) -> str:
    """A ratio as a token's number: the shortest text that reads back to it."""
    return f"{ratio:g}" if float(f"{ratio:g}") == ratio else repr(ratio)


def stages_there(architecture: Architecture) -> Sequence[tuple[int, Stage, int]]:
    """The stages that have layers: their number from 1, themselves, and the channels that they are given."""
    found, channels = [], architecture.stem_channels
    for i, stage in enumerate(architecture.stages, start=1):
        if stage.layers:
            found.append((i, stage, channels))
            channels = stage.channels
    return found


def distinct_blocks(stage: Stage, in_channels: int) -> Sequence[Block]:
    """The first block of a stage, and the one that is repeated behind it."""
    first = stage.block(in_channels)
    return [first, stage.block(stage.channels, first=False)] if stage.layers > 1 else [first]


def refuse_rounded(channels: int, rule: Rule, *, where: str, who: str) -> None:
    """Refuses channels that the other project's builder would change.

    Raises:
        ConfigError: the builder rounds them to another number.
    """
    if (rounded := round_channels(channels, rule)) != channels:
        raise ConfigError(f"{where}: {who} rounds {channels} channels to {rounded}")


def refuse_other_kind(architecture: Architecture, *, who: str) -> None:
    """Refuses what is no EfficientNet, and the stem that no other project has.

    Raises:
        ConfigError: it has other blocks than MBConv and Fused-MBConv, or a stem of stride 1.
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
