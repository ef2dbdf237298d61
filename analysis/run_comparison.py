"""Several runs side by side: strategies or spaces at equal budgets, with intervals over runs."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from analysis.frame import floats
from analysis.intervals import Estimate, difference, half_width, mean
from analysis.progress import front_volume, progress


def compare_runs(trials: pd.DataFrame, *, at: int | None = None) -> pd.DataFrame:
    """A row for each run in the frame (`read_trials("runs/*")`): what it had found after `at` counted trials.

    `at`: default the length of the shortest, so that budgets are equal.
    Columns: run, strategy, trials, at, best (reward), best_trial_id, device_seconds (spent by then),
    hypervolume (of the whole run, `front_volume`).
    """
    curves = {str(run): (progress(rows), rows) for run, rows in trials.groupby("run", observed=True)}
    curves = {run: (curve, rows) for run, (curve, rows) in curves.items() if len(curve)}
    length = at or min((len(curve) for curve, _ in curves.values()), default=0)
    lines = []
    for run, (curve, rows) in curves.items():
        reached = curve.iloc[min(length, len(curve)) - 1]
        known = curve[: int(reached["trials"])]
        best = known.loc[known["reward"] == reached["best"], "trial_id"]
        lines.append(
            {
                "run": run,
                "strategy": str(rows["strategy"].dropna().iloc[0]),
                "trials": len(curve),
                "at": int(reached["trials"]),
                "best": float(reached["best"]),
                "best_trial_id": int(best.iloc[0]) if len(best) else None,
                "device_seconds": float(reached["device_seconds"]),
                "hypervolume": front_volume(rows),
            }
        )
    return pd.DataFrame(lines)


def compare_groups(compared: pd.DataFrame, *, by: str = "strategy", of: str = "best") -> pd.DataFrame:
    """A row for each group of `compare_runs`: mean of a column with its 95 % interval over runs, best first.

    `lead` is the difference to the best group's mean, with Welch's interval (lead_low, lead_high): the
    groups differ where it does not hold 0.
    """
    groups = {str(name): rows[of].to_numpy(dtype=float) for name, rows in compared.groupby(by)}
    order = sorted(groups, key=lambda name: -groups[name].mean())
    lines = []
    for name in order:
        found = mean(groups[name])
        lead = difference(groups[name], groups[order[0]]) if name != order[0] else Estimate(0.0, 0.0, 0.0)
        lines.append((name, len(groups[name]), *found, *lead))
    names = [by, "runs", "mean", "low", "high", "lead", "lead_low", "lead_high"]
    return pd.DataFrame(lines, columns=names)


def best_at(
    curve: pd.DataFrame, places: np.ndarray, *, by: Literal["trials", "device_seconds"]
) -> np.ndarray:
    """The best reward that a run had found at each place, (n); NaN before the first completed trial.

    Args:
        curve: of `progress`.
        places: (n) numbers of trials, or device-seconds; beyond the run's end its last value holds.
    """
    if curve.empty:
        return np.full(len(places), np.nan)
    # The last trial that had ended by then: the best so far is a step function.
    ended = np.searchsorted(floats(curve, by), places, side="right") - 1
    return np.where(ended >= 0, floats(curve, "best")[np.maximum(ended, 0)], np.nan)


def mean_curve(
    curves: Sequence[pd.DataFrame], places: np.ndarray, *, by: Literal["trials", "device_seconds"]
) -> pd.DataFrame:
    """The mean over runs of the best reward so far, with Student's 95 % interval over runs.

    Columns: place, mean, low, high (the interval is NaN of one run; all are NaN where a run has none yet).
    """
    values = np.stack([best_at(curve, places, by=by) for curve in curves])  # (runs, places)
    middle, half = values.mean(axis=0), half_width(values)
    return pd.DataFrame({"place": places, "mean": middle, "low": middle - half, "high": middle + half})
