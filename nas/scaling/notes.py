"""Notes on a family: published channels set by hand, and members that go beyond published networks."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from nas.scaling.compound import Member, scale_architecture
from nas.scaling.factors import PAPER
from nas.scaling.published import (
    B0,
    LARGEST,
    b0_of,
    generation_of,
    published_architecture,
    published_name,
)
from search_spaces.networks.counting import count
from search_spaces.settings.config_error import ConfigError


def family_notes(base: Member, members: Sequence[Member]) -> list[str]:
    """The notes on all members, each once."""
    own = published_name(base.architecture)
    notes: dict[str, None] = {}
    for member in members:
        notes |= dict.fromkeys(f"{member.name}: {note}" for note in member.notes)
        notes |= dict.fromkeys(_set_by_hand(own, member))
        notes |= dict.fromkeys(_extrapolated(own, member))
    notes |= dict.fromkeys(_beyond(own, members))
    return list(notes)


def late_layers_notes(base: Member, members: Sequence[Member]) -> list[str]:
    """Members on whose layers `--late-layers` has no effect.

    Raises:
        ConfigError: it has one on none of the members.
    """
    unchanged = [member.name for member in members if not _has_late_layers(base, member)]
    if unchanged == [member.name for member in members]:
        raise ConfigError(
            f"--late-layers changes nothing of {', '.join(unchanged)}: rounded, the late stages have these "
            "layers without it; leave it out, or scale further"
        )
    return [f"{name}: --late-layers changes nothing, since layers are rounded" for name in unchanged]


def _has_late_layers(base: Member, member: Member) -> bool:
    assert member.coefficients is not None
    plain = replace(member.rules, late_layers=False)
    without = scale_architecture(base.architecture, member.coefficients, plain)
    return without.architecture_id != member.architecture.architecture_id


def _set_by_hand(own: str | None, member: Member) -> Iterator[str]:
    """The published channels that differ from the rule's, for a member like it from its own B0."""
    if member.like is None or own != member.like_from or own != b0_of(member.like):
        return
    stages = zip(member.architecture.stages, published_architecture(member.like).stages, strict=False)
    differing = [
        f"stage {number}: {real.channels}, not {scaled.channels}"
        for number, (scaled, real) in enumerate(stages, start=1)
        if scaled.channels != real.channels
    ]
    if differing:
        yield (
            f"{member.like} as published has channels set by hand ({'; '.join(differing)}): "
            f"nas describe {member.like}"
        )


def _extrapolated(own: str | None, member: Member) -> Iterator[str]:
    """Rules that were published for another base than this one."""
    if member.like is not None and own != member.like_from:
        yield (
            f"{member.name} extrapolates: it grows as {member.like_from} does to {member.like}, and this "
            "network is not that one"
        )
    if member.phi and member.formula == PAPER and own != B0:
        yield f"phi extrapolates: alpha, beta and gamma were found on {B0}, and this network is not that one"


def _beyond(own: str | None, members: Sequence[Member]) -> Iterator[str]:
    """Members with more parameters than the largest published network of the base's generation."""
    if own is None:
        return
    largest = LARGEST[generation_of(own)]
    for member in members:
        most = count(
            published_architecture(largest),
            num_classes=member.num_classes,
            resolution=member.inference_resolution,
        ).params
        if member.params > most:
            yield (
                f"{member.name} extrapolates: it has more parameters than {largest}, the largest published "
                "network of its generation"
            )
