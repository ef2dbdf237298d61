"""Results of several runs at equal budgets, and tests of the differences between them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from analysis.intervals import Estimate, Interval, difference, interval_of, welch_p_value
from analysis.numbers import duration, finite_or_none
from analysis.paired import SURE, holm
from analysis.run_comparison import best_at
from nas.report.side_by_side.cautions import cautions
from nas.report.side_by_side.figures import (
    DifferenceFigures,
    RunFigures,
    SideBySideFigures,
    WinnerFigures,
)
from nas.report.side_by_side.settings import different_settings
from nas.report.side_by_side.sides import Side, Sides

AT_TRIALS = "best reward at equal trials"
AT_SECONDS = "best reward at equal device time"
WINNERS = "winner's reward in its finalist trainings"
ONE_RUN = "not tested: one run alone does not tell how runs vary; repeat with other seeds"
OTHER_NUMBERS = (
    "not tested: the best of more finalists is higher by luck; give all an equal `finalists.count`"
)
CHOSEN = (
    "each winner is the best of {0} finalists by these same trainings, so that its mean is too high: of "
    "equal numbers on both sides, and still not exactly what Welch's test supposes"
)
OF_NETWORKS = "of these two networks; one run of each says nothing about its strategy"
ALIKE = "not tested: the values do not vary"


def side_by_side_figures(found: Sides, report: Path) -> SideBySideFigures:
    """All figures of the page."""
    return SideBySideFigures(
        report=str(report),
        objective=found.objective,
        reward=dict(found.terms),
        device=found.device,
        at_trials=found.at_trials,
        at_seconds=found.at_seconds,
        significance=SURE,
        runs=tuple(run_figures(side, found) for side in found.sides),
        differences=differences(found),
        cautions=cautions(found),
        settings=tuple(different_settings([side.config for side in found.sides])),
    )


def run_figures(side: Side, found: Sides) -> RunFigures:
    """The figures of one run; at equal budgets only where it compares."""
    facts, curve = side.facts, side.curve
    return RunFigures(
        label=side.label,
        run=side.typed,
        strategy=facts.config.strategy.name,
        seed=facts.config.seed,
        apart=side.apart,
        rescored=side.own_reward is not None and not side.apart,
        trials=len(curve),
        device_seconds=side.device_seconds,
        best=finite_or_none(float(curve["best"].iloc[-1])) if len(curve) else None,
        best_at_trials=None if side.apart else finite_or_none(_best_at(side, found.at_trials, "trials")),
        best_at_seconds=None
        if side.apart
        else finite_or_none(_best_at(side, found.at_seconds, "device_seconds")),
        winner=_winner(side),
    )


def _best_at(side: Side, at: float | None, by: Literal["trials", "device_seconds"]) -> float:
    """The best reward that a run had found at a budget; NaN where there is none, or nothing was found."""
    return math.nan if at is None else float(best_at(side.curve, np.array([at]), by=by)[0])


def _winner(side: Side) -> WinnerFigures | None:
    row, found = side.facts.winner, side.facts.headline
    if row is None or found is None:
        return None
    low, high = found.reward_interval or (None, None)
    return WinnerFigures(
        trial_id=found.trial_id,
        reward=Interval(value=found.reward, low=low, high=high),
        objective_value=found.objective_value,
        step_time_ratio=found.step_time_ratio,
        params=row.params,
        macs=row.macs,
        trainings=found.trainings,
        is_repeated=found.is_repeated,
        is_longer=found.is_longer,
        epochs=found.epochs,
    )


# ---------------------------------------------------------------------- differences


def differences(found: Sides) -> tuple[DifferenceFigures, ...]:
    """Differences of all other settings to the first run's, which of them are sure by Holm's correction."""
    if not found.groups:
        return ()
    (first, runs), *others = found.groups.items()
    lines = [
        line
        for group, own in others
        for line in (
            *_over_runs(group, first, AT_TRIALS, own, runs, found),
            *_over_runs(group, first, AT_SECONDS, own, runs, found),
            *_of_winners(group, first, own, runs),
        )
    ]
    # A comparison of which nothing was tested cannot be sure by chance: it counts in no correction.
    tested = [i for i, line in enumerate(lines) if line.p_value is not None]
    for i, is_sure in zip(tested, holm([lines[i].p_value for i in tested]), strict=True):
        lines[i] = replace(lines[i], is_sure=is_sure)
    return tuple(lines)


def _over_runs(
    group: str, first: str, measure: str, own: Sequence[Side], others: Sequence[Side], found: Sides
) -> Iterator[DifferenceFigures]:
    """The best rewards at the budget that these runs have; nothing where no trial of a side completed."""
    by: Literal["trials", "device_seconds"] = "trials" if measure == AT_TRIALS else "device_seconds"
    both = [*own, *others]
    at = found.trials_of(both) if measure == AT_TRIALS else found.seconds_of(both)
    if at is None:
        return
    values = [np.array([_best_at(side, at, by) for side in sides]) for sides in (own, others)]
    known = [each[np.isfinite(each)] for each in values]
    if all(map(len, known)):
        words = f"{at:,}" if measure == AT_TRIALS else duration(at)
        yield _difference(group, first, f"{measure} ({words})", known[0], known[1])


def _of_winners(
    group: str, first: str, own: Sequence[Side], others: Sequence[Side]
) -> Iterator[DifferenceFigures]:
    """The winners by their trainings as finalists: over runs, where both have several, or of two networks."""
    trained = [[side for side in sides if side.facts.standings] for sides in (own, others)]
    epochs = {side.facts.standings[0].finalist.epochs for sides in trained for side in sides}
    if not all(trained) or len(epochs) > 1:
        return
    firsts = [[side.facts.standings[0].finalist for side in sides] for sides in trained]
    # The best of more finalists is higher by luck alone, so that only equal numbers of them are tested.
    counts = {len(side.facts.standings) for sides in trained for side in sides}
    note = CHOSEN.format(max(counts)) if max(counts) > 1 else ""
    if all(len(each) > 1 for each in firsts):
        means = [np.array([finalist.mean for finalist in each]) for each in firsts]
        line = _difference(group, first, f"{WINNERS}, over runs", means[0], means[1], note=note)
    elif all(len(sides) == 1 for sides in (own, others)):
        of_each = [np.array(each[0].rewards) for each in firsts]
        line = _difference(group, first, WINNERS, of_each[0], of_each[1],
                           note="; ".join(filter(None, (OF_NETWORKS, note))),
                           lacking="not tested: one training does not tell how trainings vary")  # fmt: skip
    else:
        return
    is_fair = len(counts) == 1
    yield line if is_fair or line.p_value is None else replace(line, p_value=None, note=OTHER_NUMBERS)


def _difference(
    group: str,
    first: str,
    measure: str,
    own: np.ndarray,
    others: np.ndarray,
    *,
    note: str = "",
    lacking: str = ONE_RUN,
) -> DifferenceFigures:
    p_value, estimate = welch_p_value(own, others), difference(own, others)
    if p_value is None:  # two groups that do not vary would have an interval of no width
        estimate = Estimate(estimate.value, math.nan, math.nan)
        note = ALIKE if min(len(own), len(others)) > 1 else lacking
    return DifferenceFigures(
        label=group,
        against=first,
        measure=measure,
        difference=interval_of(estimate),
        counts=(len(own), len(others)),
        p_value=p_value,
        is_sure=False,
        note=note,
    )
