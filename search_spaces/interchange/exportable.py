"""Projects that a space's networks can be exported to, asked of a few of them that hold all its blocks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from search_spaces.choices.block_cover import covering_networks
from search_spaces.choices.space import SearchSpace
from search_spaces.interchange.files import FORMATS
from search_spaces.networks.architecture import Architecture, Padding
from search_spaces.settings.config_error import ConfigError

DRAWS, DRAWS_ALONE = 64, 256
MAX_COVERED = 2_000  # forms of stages, each for each number of input channels, up to which networks cover all
_ORDER = ("all", "some", "none")
PADDINGS: tuple[Padding, ...] = ("symmetric", "same")


@dataclass(frozen=True, kw_only=True)
class Exportable:
    """A project and the networks of a space that it can express.

    Attributes:
        networks: how many of them.
        padding: the option that nas export needs, where it is not the space's own.
        reason: the first refusal, where it is not all.
    """

    project: str
    networks: Literal["all", "some", "none"]
    padding: Padding | None = None
    reason: str | None = None


def exportable(space: SearchSpace) -> tuple[Exportable, ...]:
    """For each project whether the networks of the space can be exported to it.

    Asked are networks that together contain every block of the space, which decides whether all can be; and
    the smallest, the largest and uniform draws, which decide whether some can. Limits are ignored. A space of
    very many blocks is only drawn from, so that this stays a matter of moments.
    """
    rng = np.random.default_rng(0)
    covers = _num_options(space) <= MAX_COVERED
    covering = covering_networks(space, resolution=space.reference.total_stride, rng=rng) if covers else []
    draws = DRAWS if covers else DRAWS_ALONE
    drawn = [tuple(rng.integers(space.num_options).tolist()) for _ in range(draws)]
    choices = dict.fromkeys([space.smallest(), space.largest(), *drawn])
    networks = [*covering, *map(space.decode, choices)]
    return tuple(_asked(project, networks, own=space.padding) for project in FORMATS)


def exportable_words(found: Sequence[Exportable]) -> str:
    """One sentence for the start of a search: to which projects its winner can be exported."""
    # Projects that say the same are named together.
    groups: dict[tuple[str, Padding | None, str], list[Exportable]] = {}
    for each in sorted(found, key=lambda each: (_ORDER.index(each.networks), each.padding is not None)):
        place = (each.reason or "").rpartition(": ")[0]
        groups.setdefault((each.networks, each.padding, place), []).append(each)
    parts = []
    for (networks, padding, place), group in groups.items():
        names = ", ".join(each.project for each in group)
        option = f" with --padding {padding}" if padding else ""
        why = place if len(group) > 1 else group[0].reason
        parts.append(
            {
                "all": f"to {names}{option}",
                "some": f"to {names}{option} unless refused ({why})",
                "none": f"{'to none of' if len(groups) == 1 else 'not to'} {names}: {why}",
            }[networks]
        )
    return f"its winner exports {'; '.join(parts)}"


def _num_options(space: SearchSpace) -> int:
    """At most so many forms of stages, each for each number of input channels."""
    channels = [1, *(len(stage.channels) for stage in space.stages)]
    return sum(rows.count * before for rows, before in zip(space.rows, channels, strict=False))


def _asked(project: str, networks: Sequence[Architecture], *, own: Padding) -> Exportable:
    """Networks that can be exported with the space's padding, or with the other one if that allows more."""
    others = [padding for padding in PADDINGS if padding != own]
    refused = {padding: _refusals(project, networks, padding) for padding in (own, *others)}
    padding = min(refused, key=lambda padding: len(refused[padding]))  # the first of equals: its own
    if not refused[padding]:
        return Exportable(project=project, networks="all", padding=None if padding == own else padding)
    some = len(refused[padding]) < len(networks)
    # Where no padding helps, it is not what has to be said.
    said = refused[padding] if some else [text for texts in refused.values() for text in texts]
    reason = next((text for text in said if not text.startswith("padding")), said[0])
    return Exportable(
        project=project,
        networks="some" if some else "none",
        padding=padding if some and padding != own else None,
        reason=reason,
    )


def _refusals(project: str, networks: Sequence[Architecture], padding: Padding) -> list[str]:
    """The messages for networks that the project cannot express with that padding."""
    found = []
    for network in networks:
        try:
            FORMATS[project].write(replace(network, padding=padding))
        except ConfigError as error:
            found.append(str(error))
    return found
