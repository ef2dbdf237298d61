"""The progress of a search in trials and device-seconds, beside random search; the volume of its front."""

from typing import Any

import numpy as np
import pandas as pd

from analysis.frame import floats, objective_values
from analysis.pareto import COSTS, hypervolume
from analysis.ranking import is_searched, searched
from analysis.trial_rules import COUNTED, SEARCHED
from trials.log.schema import WORK_SECONDS

USED = ("trial_id", "tell_seq", "purpose", "status", "reward", "epochs", *WORK_SECONDS)
BAND = (0.1, 0.5, 0.9)


def device_seconds(trials: pd.DataFrame) -> np.ndarray:
    """Seconds that each trial held its device; 0 of a cached one.

    `trials.log.rows.device_seconds`, of whole columns at once: a frame may have a million rows.
    """
    spent = np.nansum([floats(trials, name) for name in WORK_SECONDS], axis=0)
    return np.where((trials["status"] == "cached").to_numpy(dtype=bool, na_value=False), 0.0, spent)


def progress(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials that the budget counts, in the order in which they were recorded.

    Columns: trials (1, 2, ...), device_seconds (spent up to and with this trial), reward, best (the highest
    reward of a completed trial so far, of the longest where they differ in length; NaN before the first),
    trial_id, purpose.
    """
    narrow = trials[list(USED)]  # sorting would copy all the rest, which is most of a row
    counted = narrow[_is_counted(trials)].sort_values("tell_seq")
    reward = floats(counted, "reward")
    completed = np.where(is_searched(counted), reward, np.nan)
    return pd.DataFrame(
        {
            "trials": np.arange(1, len(counted) + 1),
            "device_seconds": np.cumsum(device_seconds(counted)),
            "reward": reward,
            "best": np.fmax.accumulate(completed) if len(completed) else completed,
            "trial_id": counted["trial_id"].to_numpy(),
            "purpose": counted["purpose"].to_numpy(),
        }
    )


def random_band(trials: pd.DataFrame) -> pd.DataFrame:
    """Best of n uniform trials: its 10 %, 50 % and 90 % quantiles (columns low, median, high).

    By the run's own baseline of m trials, for n of 1 to m: the best of n draws from what they found stays
    below x with probability F(x)^n. Beyond m the baseline says nothing, so the band ends there.
    """
    baseline = trials[list(USED)][_is_counted(trials) & (trials.purpose == "baseline")]
    found = np.sort(np.nan_to_num(floats(baseline, "reward")))
    n = np.arange(1, len(found) + 1)
    columns: dict[str, Any] = {"trials": n}
    for name, quantile in zip(("low", "median", "high"), BAND, strict=True):
        rank = np.ceil(quantile ** (1 / n) * len(found)).astype(int) - 1
        columns[name] = found[np.clip(rank, 0, len(found) - 1)] if len(found) else []
    columns["device_seconds"] = n * float(device_seconds(baseline).mean()) if len(found) else []
    return pd.DataFrame(columns)


def _is_counted(trials: pd.DataFrame) -> pd.Series:
    """Mask of the rows that the budget counts: `trial_rules.is_counted`, of whole columns at once."""
    return trials.status.isin(list(COUNTED)) & trials.purpose.isin(list(SEARCHED))


def front_volume(trials: pd.DataFrame) -> float:
    """Hypervolume of the front in the search's objective and in the logarithms of step time and parameters.

    Above an objective of 0, and below the slowest and the largest of the run's own completed trials: it
    compares strategies within one space only where the corner is the same.
    """
    rows = searched(trials)
    if rows.empty:
        return 0.0
    points = front_points(rows)
    points = points[np.isfinite(points).all(axis=1)]
    corner = np.array([0.0, *points[:, 1:].min(axis=0)]) - 1e-9
    return hypervolume(points, [float(value) for value in corner])


def front_points(rows: pd.DataFrame) -> np.ndarray:
    """(rows, 3), more being better: the search's objective, and minus the logarithms of what it costs."""
    return np.stack([objective_values(rows), *(-np.log(floats(rows, name)) for name in COSTS)], axis=1)
