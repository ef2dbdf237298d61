"""Figures of an audit: how the rankings by short and by long trainings agree."""

import math
from dataclasses import dataclass
from pathlib import Path

from analysis.intervals import Estimate
from analysis.numbers import finite_or_none
from analysis.proxy_audit import ProxyAudit

Interval = tuple[float, float]  # 95 %


@dataclass(frozen=True)
class AuditFigures:
    """Agreement over the architectures that were trained both ways.

    Attributes:
        top: number of architectures that count as the best, for `recall`.
        seed_deviation: of the objective between short trainings of one architecture; None where unknown.
        tau: Kendall's tau of the rankings; None where one of them has no order.
        recall: share of the best by long trainings that is among the best by short ones.
        regret: long reward that is lost by taking the short ranking's first.
    """

    run: str
    architectures: int
    top: int
    seed_deviation: float | None
    tau: float | None
    tau_interval: Interval | None
    recall: float | None
    recall_interval: Interval | None
    regret: float | None
    regret_interval: Interval | None


@dataclass(frozen=True)
class TooFewAudited:
    """An audit with fewer than two architectures trained both ways: nothing to compare."""

    run: str
    architectures: int


def audit_figures(run: Path, found: ProxyAudit | None) -> AuditFigures | TooFewAudited:
    """The figures of a comparison; `found` is None where there is nothing to compare."""
    if found is None:
        return TooFewAudited(str(run), architectures=0)
    return AuditFigures(
        run=str(run),
        architectures=len(found.pairs),
        top=found.top,
        seed_deviation=found.seed_deviation or None,
        tau=finite_or_none(found.tau.value),
        tau_interval=_interval(found.tau),
        recall=finite_or_none(found.recall.value),
        recall_interval=_interval(found.recall),
        regret=finite_or_none(found.regret.value),
        regret_interval=_interval(found.regret),
    )


def _interval(found: Estimate) -> Interval | None:
    return (found.low, found.high) if math.isfinite(found.low) else None
