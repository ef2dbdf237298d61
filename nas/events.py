"""Events of searches and of trainings, for whoever watches."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trials.trial import Event, Trial


@dataclass(frozen=True)
class Begun:
    """The log has been read. What an earlier driver left is in it."""

    rows: list[dict[str, Any]]
    in_flight: int
    quarantined: tuple[Path, ...] = ()  # damaged files, moved aside
    foreign: tuple[Path, ...] = ()  # files in the log that are not ours


@dataclass(frozen=True)
class RowWritten:
    """A row is durable."""

    row: Mapping[str, Any]


@dataclass(frozen=True)
class Retried:
    """A trial's worker was lost, and the trial will run again."""

    trial: Trial


@dataclass(frozen=True)
class EpochDone:
    """News for whoever watches: an epoch is on disk."""

    row: dict[str, Any]


@dataclass(frozen=True)
class GroupLost:
    """News for whoever watches: a process of several is gone; they begin again at their last state."""

    reason: str


SearchEvent = Begun | Event | RowWritten | Retried
