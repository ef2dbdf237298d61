"""Trials of several lengths: which of them compare, and whether short ones rank as long ones do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from analysis.choice_model import kendall_tau
from analysis.intervals import Estimate, resampled
from trials.log.row_types import TrialRow

COUNTED = frozenset({"completed", "stopped", "infeasible"})  # statuses, by the budget
SEARCHED = frozenset({"search", "baseline"})  # purposes; repeats and audits come after the search


@dataclass(frozen=True)
class RungAgreement:
    """How far the rewards after fewer epochs rank architectures as those after all epochs do.

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
    """The epochs that were trained, and what as many architectures would have taken in whole trainings."""

    architectures: int
    epochs: int
    whole: int


def may_win(row: TrialRow) -> bool:
    """Whether the best of a search may be this trial: a completed one that neither repeats nor audits."""
    return row["status"] == "completed" and row["purpose"] in SEARCHED


def standing(row: TrialRow) -> tuple[int, float]:
    """What the best trial is sought by: only trainings of the same length compare, and longer ones count."""
    return int(row.get("epochs") or 0), float(row["reward"] or 0.0)


def longest(rows: Iterable[TrialRow]) -> list[TrialRow]:
    """Completed search and baseline trials, of the longest training that one of them had."""
    searched = list(filter(may_win, rows))
    epochs = max((row.get("epochs") or 0 for row in searched), default=0)
    return [row for row in searched if (row.get("epochs") or 0) == epochs]


def own_epochs(row: TrialRow, rows: Mapping[int, TrialRow]) -> int:
    """The epochs of a trial without those of the one that it continues; `rows` by trial."""
    before = row.get("continues")
    continued = None if before is None else rows.get(before)
    return int(row["epochs"]) - (int(continued["epochs"]) if continued else 0)


def rung_epochs(rows: Iterable[TrialRow]) -> list[int]:
    """How long completed search and baseline trials trained, ascending."""
    return sorted({int(row["epochs"]) for row in filter(may_win, rows)})


def rung_agreement(rows: Iterable[TrialRow], *, fewest: int = 3) -> list[RungAgreement]:
    """For each rung below the highest, of its trials that were trained in full, by their curves.

    The baseline's trials are a fair sample; where there are fewer than `fewest`, promoted ones are taken too.
    """
    rows = list(filter(may_win, rows))
    *shorter, longest = rung_epochs(rows) or [0]
    whole = [row for row in rows if row["epochs"] == len(row["minival_accuracy"] or ()) == longest]
    fair = [row for row in whole if row["purpose"] == "baseline"]
    used = fair if len(fair) >= fewest else whole
    if len(used) < fewest:
        return []
    last = np.array([row["reward"] for row in used])
    found = []
    for epochs in shorter:
        curves = [((row["minival_accuracy"] or ())[epochs - 1], row["accuracy"] or 0.0) for row in used]
        early = last * np.array([then / max(now, 1e-12) for then, now in curves])
        tau = resampled(lambda i, early=early: kendall_tau(early[i].tolist(), last[i].tolist()), len(used))  # type: ignore[misc]
        found.append(RungAgreement(epochs, longest, tau, len(used), chosen=used is not fair))
    return found


def savings(rows: Iterable[TrialRow]) -> Savings | None:
    """What short trials saved; None where all were of one length."""
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
    """What short trials saved, and how far their ranking can be trusted; nothing where there were none."""
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
