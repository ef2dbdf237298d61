"""Losses of a log: found by its numbering, declared once, and known ever after."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.json_text import json_value
from search_spaces.settings.sentences import numbers
from trials.log.reading import LogContents
from trials.log.row_types import RepairRow

FILE = "log/repairs.json"  # in which versions before this one kept the entries


class LostTrialsError(ConfigError):
    """Asks are gone together with their rows: the log cannot be continued without saying so."""


@dataclass(frozen=True)
class Losses:
    """Numbers of trials, and places in the order of asks and rows, that nothing in the log has any more."""

    trials: frozenset[int] = frozenset()
    places: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.trials or self.places)

    def __or__(self, other: "Losses") -> "Losses":
        return Losses(self.trials | other.trials, self.places | other.places)


@dataclass
class Declared:
    """The losses that earlier repairs have declared, and the entries that say so."""

    losses: Losses = Losses()
    entries: list[RepairRow] = field(default_factory=list)

    @classmethod
    def of(cls, entries: list[RepairRow]) -> "Declared":
        """The losses that these entries declare."""
        trials = frozenset(int(i) for entry in entries for i in entry["lost_trials"])
        places = frozenset(int(i) for entry in entries for i in entry["lost_places"])
        return cls(Losses(trials, places), entries)


def repair_of(losses: Losses, *, run_again: Iterable[int], moved: Iterable[Path]) -> RepairRow:
    """The entry that declares these losses."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "lost_trials": sorted(losses.trials),
        "lost_places": sorted(losses.places),
        "in_flight_again": sorted(run_again),
        "quarantined": sorted(path.name for path in moved),
    }


def earlier_repairs(text: bytes) -> list[RepairRow]:
    """The entries of the file in which earlier versions kept them.

    Raises:
        ValueError: it is not what was written.
    """
    entries: list[RepairRow] = json_value(text)
    try:
        Declared.of(entries)
    except (TypeError, KeyError) as error:
        raise ValueError(f"no list of repairs: {error}") from None
    return entries


def new_losses(contents: LogContents, declared: Losses, *, viewed: Iterable[int]) -> Losses:
    """Losses that are not declared. `viewed`: trials that the run's view knows to have ended.

    Trials are numbered from 0, and so are places: what is missing below the highest is gone.
    """
    known = contents.asks.keys() | contents.trials.keys()
    seen = known | contents.epochs.keys() | set(viewed)
    trials = frozenset(range(max(seen, default=-1) + 1)) - known - declared.trials
    places = contents.places()
    return Losses(trials, frozenset(range(max(places, default=-1) + 1)) - places - declared.places)


def are_explained(losses: Losses, contents: LogContents) -> bool:
    """True if only rows of trials were lost: these run again, and nothing else is missing.

    A trial in flight has an ask and no row, so each one may account for one missing place after its ask.
    """
    # Each missing place is matched with the earliest ask in flight that is left and came before it.
    asks = sorted(
        row["ask_seq"] for trial_id, row in contents.asks.items() if trial_id not in contents.trials
    )
    matched = 0
    for place in sorted(losses.places):
        if matched < len(asks) and asks[matched] < place:
            matched += 1
        else:
            return False
    return not losses.trials


def refusal(folder: Path, losses: Losses) -> str:
    """The message that a log with these losses is not continued, and what to do."""
    what = f"nothing is left at the places {numbers(losses.places)} in the order of asks and rows"
    if losses.trials:
        what = f"both ask and row are gone of these trials: {numbers(losses.trials)}"
    return (
        f"{folder}: {what}. Put the files back into {folder}/log (from log/quarantine, or a copy of the "
        f"run); or accept the loss with\n  nas verify {folder} --repair\nand then continue the search"
    )
