"""Rungs, the lengths of trials where they differ: epochs saved, and agreement of their rankings."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from analysis.intervals import Estimate, resampled
from analysis.numbers import percent
from analysis.rank_correlation import kendall_tau
from analysis.trial_rules import may_win, own_epochs_of
from trials.log.row_types import TrialRow
from trials.objective import curve_of, objective_of

FEWEST = 3  # trials whose ranking says anything


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


def rung_epochs(rows: Iterable[TrialRow]) -> list[int]:
    """Lengths of completed search and baseline trials in epochs, ascending."""
    return sorted({int(row["epochs"]) for row in filter(may_win, rows)})


def rung_agreement(rows: Iterable[TrialRow]) -> list[RungAgreement]:
    """Agreement of each rung below the highest, by the curves of trials that were trained in full.

    The baseline's trials are a fair sample; where there are fewer than FEWEST, promoted ones are used too.
    """
    rows = list(filter(may_win, rows))
    *shorter, longest = rung_epochs(rows) or [0]
    # 1. Trials that went through all rungs, the baseline's where they are enough.
    whole = [row for row in rows if row["epochs"] == len(curve_of(row)) == longest]
    fair = [row for row in whole if row["purpose"] == "baseline"]
    used = fair if len(fair) >= FEWEST else whole
    if len(used) < FEWEST:
        return []
    # 2. Their rewards at the end, and at each rung by the objective that they had there.
    last = np.array([row["reward"] for row in used])
    found = []
    for epochs in shorter:
        curves = [(curve_of(row)[epochs - 1], objective_of(row) or 0.0) for row in used]
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
    spent = sum(own_epochs_of(row, by_id) for row in counted)
    return Savings(begun, spent, begun * lengths[-1])


def rung_sentences(rows: Iterable[TrialRow]) -> list[str]:
    """Sentences about the savings of short trials and about their ranking; none where all had one length."""
    rows = list(rows)
    saved = savings(rows)
    if saved is None:
        return []
    sentences = [
        f"{saved.architectures} architectures took {saved.epochs:,} epochs, "
        f"{percent(1 - saved.epochs / saved.whole)} fewer than in whole trainings"
    ]
    for rung in rung_agreement(rows):
        interval = "" if np.isnan(rung.tau.low) else f" ({rung.tau.low:.2f} to {rung.tau.high:.2f})"
        sentences.append(
            f"ranks after {rung.epochs} and {rung.of} epochs: Kendall's tau {rung.tau.value:.2f}{interval}, "
            f"{rung.count} {'promoted' if rung.chosen else 'baseline'} trials"
        )
    return sentences
