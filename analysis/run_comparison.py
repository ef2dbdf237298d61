"""Several runs side by side: strategies or spaces at equal budgets, with intervals over runs."""

import pandas as pd

from analysis.intervals import Estimate, difference, mean
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
