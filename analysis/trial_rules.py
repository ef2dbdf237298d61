"""Rules by which trials count, win and compare: by their ends, their purposes and their lengths."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from search_spaces.choices.choice_space import Choices
from trials.log.row_types import TrialRow
from trials.log.rows import device_seconds
from trials.trial import Purpose, Status

COUNTED = frozenset({"completed", "stopped", "infeasible"})  # statuses, by the budget
SEARCHED = frozenset({"search", "baseline"})  # purposes; all others come after the search
RETRAINED = frozenset({"repeat", "finalist"})  # purposes of finalists' trainings: as long as a trial, longer

Unit = Literal["trials", "epochs", "device_seconds"]  # of a budget


@dataclass
class Spending:
    """Trials that count in a budget, added up in each of its units."""

    trials: int = 0
    epochs: int = 0
    device_seconds: float = 0.0

    def add(self, *, own_epochs: int, seconds: float = 0.0) -> None:
        """Adds a trial, with its epochs beyond those of the trial that it continues."""
        self.trials += 1
        self.epochs += own_epochs
        self.device_seconds += seconds

    def of(self, unit: Unit) -> float:
        """The sum in this unit."""
        return {"trials": self.trials, "epochs": self.epochs, "device_seconds": self.device_seconds}[unit]


class BestArchitectures:
    """Architectures by their best completed training: the longest, of equal lengths the best reward."""

    def __init__(self) -> None:
        self._best: dict[Choices, tuple[int, float]] = {}  # (epochs, reward)

    def __contains__(self, choices: object) -> bool:
        return choices in self._best

    def add(self, choices: Choices, *, epochs: int, reward: float) -> None:
        """Adds a completed training."""
        found = (epochs, reward)
        self._best[choices] = max(found, self._best.get(choices, found))

    def ranked(self) -> list[Choices]:
        """The best of the longest training, by reward; of equal rewards the smaller choices come first."""
        longest = max((epochs for epochs, _ in self._best.values()), default=0)
        found = [(-reward, choices) for choices, (epochs, reward) in self._best.items() if epochs == longest]
        return [choices for _, choices in sorted(found)]


def is_counted(row: TrialRow) -> bool:
    """True of a row that counts in the budget."""
    return counts(row["status"], row["purpose"])


def counts(status: Status, purpose: Purpose) -> bool:
    """True of a trial that counts in the budget."""
    return status in COUNTED and purpose in SEARCHED


def spent(rows: Iterable[TrialRow], unit: Unit, by_id: Mapping[int, TrialRow]) -> float:
    """The part of a budget that these rows used; `by_id` has the trials that they continue."""
    used = Spending()
    for row in filter(is_counted, rows):
        used.add(own_epochs=own_epochs_of(row, by_id), seconds=device_seconds(row))
    return used.of(unit)


def may_win(row: TrialRow) -> bool:
    """True of a row that may be the best of a search: completed, and asked for by the search itself."""
    return row["status"] == "completed" and row["purpose"] in SEARCHED


def standing(row: TrialRow) -> tuple[int, float]:
    """Sort key of the best trial: longer trainings first, because only those of one length compare."""
    reward = row["reward"]
    if reward is None or reward != reward:  # a frame's missing reward is NaN
        reward = 0.0
    return int(row.get("epochs") or 0), float(reward)


def beats(row: TrialRow, best: TrialRow | None) -> bool:
    """True of a row that is better than the best one before it, if any; of equals the first stays."""
    return may_win(row) and (best is None or standing(row) > standing(best))


def baseline_rewards(rows: Iterable[TrialRow]) -> list[float]:
    """Rewards of a run's own uniform trials: what random search found."""
    return [row["reward"] or 0.0 for row in rows if row["purpose"] == "baseline" and is_counted(row)]


def longest(rows: Iterable[TrialRow]) -> list[TrialRow]:
    """The completed search and baseline trials of the longest training among them."""
    searched = list(filter(may_win, rows))
    epochs = max((row.get("epochs") or 0 for row in searched), default=0)
    return [row for row in searched if (row.get("epochs") or 0) == epochs]


def own_epochs_of(row: TrialRow, rows: Mapping[int, TrialRow]) -> int:
    """The `own_epochs` of a row; `rows` are all rows by trial."""
    before = row.get("continues")
    lengths = {before: rows[before]["epochs"]} if before is not None and before in rows else {}
    return own_epochs(row["epochs"], before, lengths)


def own_epochs(epochs: int, continues: int | None, lengths: Mapping[int, int]) -> int:
    """The epochs of a trial without those of the trial that it continues.

    `lengths`: epochs by trial. Where that one is in none of them, all epochs are its own.
    """
    return int(epochs) - (0 if continues is None else int(lengths.get(continues, 0)))
