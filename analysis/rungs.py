"""Rules by which trials count, win and compare: their ends, their purposes and their lengths."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from analysis.choice_model import kendall_tau
from analysis.intervals import Estimate, resampled
from search_spaces.choices.choice_space import Choices
from trials.log.row_types import TrialRow
from trials.log.rows import device_seconds
from trials.trial import Purpose, Status

COUNTED = frozenset({"completed", "stopped", "infeasible"})  # statuses, by the budget
SEARCHED = frozenset({"search", "baseline"})  # purposes; repeats and audits come after the search

Unit = Literal["trials", "epochs", "device_seconds"]  # of a budget


@dataclass(frozen=True)
class RungAgreement:
    """Agreement of the ranking after fewer epochs with that after all epochs.

    Attributes:
        tau: Kendall's tau-b over `count` trials that went through both.
        chosen: whether these were promoted for being good, which lowers tau; else they are the baseline's.
    """

    epochs: int
    of: int
    tau: Estimate
    count: int
    chosen: bool


@dataclass(frozen=True)
class Savings:
    """The epochs trained, and those that whole trainings of as many architectures would have taken."""

    architectures: int
    epochs: int
    whole: int


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
        """Those of the longest training, the best reward first; of equal rewards the smaller choices."""
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
        used.add(own_epochs=own_epochs(row, by_id), seconds=device_seconds(row))
    return used.of(unit)


def may_win(row: TrialRow) -> bool:
    """True of a row that may be the best of a search: completed, and neither a repeat nor an audit."""
    return row["status"] == "completed" and row["purpose"] in SEARCHED


def standing(row: TrialRow) -> tuple[int, float]:
    """The sort key of the best trial: longer trainings first, for only those of one length compare."""
    reward = row["reward"]
    if reward is None or reward != reward:  # a frame's missing reward is NaN
        reward = 0.0
    return int(row.get("epochs") or 0), float(reward)


def longest(rows: Iterable[TrialRow]) -> list[TrialRow]:
    """The completed search and baseline trials of the longest training among them."""
    searched = list(filter(may_win, rows))
    epochs = max((row.get("epochs") or 0 for row in searched), default=0)
    return [row for row in searched if (row.get("epochs") or 0) == epochs]


def own_epochs(row: TrialRow, rows: Mapping[int, TrialRow]) -> int:
    """The epochs of a trial without those of the trial that it continues; `rows` by trial."""
    before = row.get("continues")
    continued = None if before is None else rows.get(before)
    return int(row["epochs"]) - (int(continued["epochs"]) if continued else 0)


def rung_epochs(rows: Iterable[TrialRow]) -> list[int]:
    """Lengths of completed search and baseline trials in epochs, ascending."""
    return sorted({int(row["epochs"]) for row in filter(may_win, rows)})


def rung_agreement(rows: Iterable[TrialRow], *, fewest: int = 3) -> list[RungAgreement]:
    """Agreement of each rung below the highest, by the curves of trials that were trained in full.

    The baseline's trials are a fair sample; where there are fewer than `fewest`, promoted ones are used too.
    """
    rows = list(filter(may_win, rows))
    *shorter, longest = rung_epochs(rows) or [0]
    # 1. Trials that went through all rungs, the baseline's where they are enough.
    whole = [row for row in rows if row["epochs"] == len(row["minival_accuracy"] or ()) == longest]
    fair = [row for row in whole if row["purpose"] == "baseline"]
    used = fair if len(fair) >= fewest else whole
    if len(used) < fewest:
        return []
    # 2. Their rewards at the end, and at each rung by the accuracy that they had there.
    last = np.array([row["reward"] for row in used])
    found = []
    for epochs in shorter:
        curves = [((row["minival_accuracy"] or ())[epochs - 1], row["accuracy"] or 0.0) for row in used]
        early = last * np.array([then / max(now, 1e-12) for then, now in curves])
        tau = resampled(lambda i, early=early: kendall_tau(early[i].tolist(), last[i].tolist()), len(used))  # type: ignore[misc]
        found.append(RungAgreement(epochs, longest, tau, len(used), chosen=used is not fair))
    return found


def savings(rows: Iterable[TrialRow]) -> Savings | None:
    """Epochs that short trials saved; None where all trials had one length."""
    rows = list(rows)
    lengths = rung_epochs(rows)
    if len(lengths) < 2:
        return None
    by_id = {int(row["trial_id"]): row for row in rows}
    counted = list(filter(may_win, rows))
    begun = sum(row.get("continues") is None for row in counted)
    spent = sum(own_epochs(row, by_id) for row in counted)
    return Savings(begun, spent, begun * lengths[-1])


def rung_sentences(rows: Iterable[TrialRow]) -> list[str]:
    """Sentences about the savings of short trials and about their ranking; none where all had one length."""
    rows = list(rows)
    saved = savings(rows)
    if saved is None:
        return []
    sentences = [
        f"{saved.architectures} architectures took {saved.epochs:,} epochs, "
        f"{1 - saved.epochs / saved.whole:.0%} fewer than in whole trainings"
    ]
    for rung in rung_agreement(rows):
        interval = "" if np.isnan(rung.tau.low) else f" ({rung.tau.low:.2f} to {rung.tau.high:.2f})"
        sentences.append(
            f"ranks after {rung.epochs} and {rung.of} epochs: Kendall's tau {rung.tau.value:.2f}{interval}, "
            f"{rung.count} {'promoted' if rung.chosen else 'baseline'} trials"
        )
    return sentences
