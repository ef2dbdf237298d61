"""Figures of strategies side by side: means and intervals over seeds, and which would have done best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from analysis.seed_curves import interval
from nas.simulation.simulate import StrategyCurves

BUDGETS = (20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
MOST_BUDGETS = 4  # columns that fit a screen


@dataclass(frozen=True, kw_only=True)
class TableOutcomes:
    """Outcomes of a table's rows, with its columns by role."""

    kind: Literal["table"] = "table"
    architectures: int
    decisions: int
    columns: dict[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class ModelFigures:
    """Models of a run: trials they are fitted to, Kendall's tau by quantity, noise of one training.

    A tau is None where one of the rankings has no order.
    """

    rows: int
    kendall_tau: dict[str, float | None]
    noise: float


@dataclass(frozen=True, kw_only=True)
class RunOutcomes:
    """Outcomes that a run's models expect."""

    kind: Literal["run"] = "run"
    architectures: int
    decisions: int
    model: ModelFigures


@dataclass(frozen=True, kw_only=True)
class AtBudget:
    """Mean over seeds after so many trials; `half_width` of the 95 % interval is None of one seed."""

    reward: float
    half_width: float | None
    regret: float


@dataclass(frozen=True, kw_only=True)
class StrategyFigures:
    """One strategy: by budget, and means over seeds of its searches."""

    at: dict[int, AtBudget]
    simulated_seconds: float
    cached: float  # asks answered by an earlier trial


@dataclass(frozen=True, kw_only=True)
class Advice:
    """The strategy with the highest mean reward at the end, and its paired difference to another one."""

    best: str
    over: str
    over_is_the_runs: bool  # with which the run was searched
    difference: float
    half_width: float | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Strategies in simulated searches of the same outcomes."""

    source: Path
    outcomes: TableOutcomes | RunOutcomes
    reward: dict[str, float]
    baseline: int
    trials: int
    workers: int
    seeds: int
    best_reward: float
    best_is_known: bool  # it is the best of all; else the best that was found
    strategies: dict[str, StrategyFigures]
    advice: Advice | None
    picture: Path


@dataclass(frozen=True, kw_only=True)
class _Compared:
    """Figures that `nas simulate` prints of any outcomes, with theirs on the same level."""

    source: str
    architectures: int
    decisions: int
    reward: dict[str, float]
    baseline: int
    trials: int
    workers: int
    seeds: int
    best_reward: float
    best_is_known: bool
    strategies: dict[str, StrategyFigures]
    advice: Advice | None
    picture: str


@dataclass(frozen=True, kw_only=True)
class ComparedOnTable(_Compared):
    """Strategies compared on a table of trained networks."""

    kind: Literal["table"]
    columns: dict[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class ComparedOnRun(_Compared):
    """Strategies compared on models of a run."""

    kind: Literal["run"]
    model: ModelFigures


def comparison_json(comparison: Comparison) -> ComparedOnTable | ComparedOnRun:
    """The comparison for --json."""
    figures = dict(vars(comparison))
    outcomes = figures.pop("outcomes")
    figures |= {"source": str(comparison.source), "picture": str(comparison.picture), **vars(outcomes)}
    if isinstance(outcomes, TableOutcomes):
        return ComparedOnTable(**figures)
    return ComparedOnRun(**figures)


def budgets_up_to(trials: int) -> list[int]:
    """Round numbers of trials, and the last."""
    return [*[budget for budget in BUDGETS if budget < trials][-MOST_BUDGETS + 1 :], trials]


def strategy_figures(curves: StrategyCurves, budgets: Sequence[int], best: float) -> StrategyFigures:
    """Means over seeds at budgets; regrets are to `best`."""
    at = {}
    for budget in budgets:
        mean, half_width = interval(curves.expected_rewards[:, budget - 1])
        at[budget] = AtBudget(reward=mean, half_width=half_width, regret=best - mean)
    return StrategyFigures(
        at=at,
        simulated_seconds=float(curves.seconds.mean()),
        cached=float(curves.cached.mean()),
    )


def advice(rewards: Mapping[str, np.ndarray], searched_with: str | None) -> Advice | None:
    """Advice from rewards at the end; None of a strategy alone.

    The other strategy is what the run was searched with, if that was simulated and is not the best, else the
    next.

    Args:
        rewards: (seeds) each, of the same seeds: differences are paired.
    """
    if len(rewards) < 2:
        return None
    best, second, *_ = sorted(rewards, key=lambda name: -float(rewards[name].mean()))
    over = searched_with if searched_with in rewards and searched_with != best else second
    assert over is not None
    difference, half_width = interval(rewards[best] - rewards[over])
    return Advice(
        best=best,
        over=over,
        over_is_the_runs=over == searched_with,
        difference=difference,
        half_width=half_width,
    )
