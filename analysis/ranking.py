"""Trials that may win, in the order of their rewards, and rewards under other exponents."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import pandas as pd

from analysis.frame import floats, objective_values
from analysis.trial_rules import SEARCHED
from trials.log.recorded import ALL_COLUMNS, Recorded
from trials.measurement import Measurement
from trials.reward import REWARDABLE, SHIPPED, WEIGHTED_PRODUCT, Reward, check_names, recorded_ratio


def searched(trials: pd.DataFrame) -> pd.DataFrame:
    """Completed search and baseline trials: those that may win.

    Where a run's trials differ in length, only the longest: shorter ones do not compare with them.
    """
    return trials[is_searched(trials)]


def ranked(trials: pd.DataFrame, count: int | None = None) -> pd.DataFrame:
    """The trials of `searched`, the best reward first; the best `count` of them."""
    # Copies only the wanted ones of perhaps a million rows: most of a row is its architecture.
    eligible = np.flatnonzero(is_searched(trials))
    order = np.argsort(-floats(trials, "reward")[eligible], kind="stable")
    return trials.take(eligible[order][:count]).reset_index(drop=True)


def is_searched(trials: pd.DataFrame) -> np.ndarray:
    """Mask (n) of the rows that `searched` returns.

    `analysis.trial_rules.longest` of each run, of whole columns at once.
    """
    completed = (trials["status"] == "completed") & trials["purpose"].isin(list(SEARCHED))
    found = np.asarray(completed.to_numpy(dtype=bool, na_value=False))
    if "epochs" not in trials or trials["epochs"].nunique() < 2:  # as in nearly every run
        return found
    epochs = pd.Series(np.where(found, floats(trials, "epochs"), -1.0))
    runs = trials["run"].to_numpy() if "run" in trials else np.zeros(len(trials))
    return found & (epochs == epochs.groupby(runs).transform("max")).to_numpy()


def rewards(trials: pd.DataFrame, terms: Mapping[str, float]) -> pd.Series:
    """Rewards of all rows under other exponents, as `trials.reward.Reward` defines them.

    NaN where something was not measured, 0 where the trial was infeasible.

    Raises:
        ValueError: a term is not a measured quantity, or cannot be computed from what rows keep.
    """
    reward = Reward(terms)
    values, ratios = objective_values(trials), {name: ratio(trials, name) for name in terms}
    of: Callable[..., Any] = reward.of
    if Reward.of is WEIGHTED_PRODUCT:  # arithmetic, so it takes whole columns
        value = np.asarray(of(values, ratios.__getitem__))
    else:
        value = np.full(len(trials), np.nan)
        for i in np.flatnonzero(np.isfinite(values)).tolist():
            own = {name: float(column[i]) for name, column in ratios.items()}
            value[i] = of(float(values[i]), own.__getitem__)
    value[(trials["status"] == "infeasible").to_numpy(dtype=bool, na_value=False)] = 0.0
    return pd.Series(value, index=trials.index, name="reward")


def reranked(trials: pd.DataFrame, terms: Mapping[str, float]) -> pd.DataFrame:
    """Copies the rows with their rewards under other exponents.

    Raises:
        ValueError: as in `rewards`.
    """
    return trials.assign(reward=rewards(trials, terms))


def ratio(trials: pd.DataFrame, name: str) -> np.ndarray:
    """A rewardable quantity of each row over the reference network's; NaN where it was not measured.

    Raises:
        ValueError: there is no such quantity, or rows do not keep what it needs.
    """
    check_names([name])
    quantity = REWARDABLE[name]
    if quantity is SHIPPED.get(name):
        columns = Recorded(lambda column: floats(trials, column))
        return np.asarray(quantity(cast(Measurement, columns)), dtype=np.float64)
    # A quantity of the user's own may do more than arithmetic: it sees one row at a time.
    measured = np.flatnonzero(np.isfinite(floats(trials, "accuracy")))
    kept = trials.iloc[measured][[column for column in ("trial_id", *ALL_COLUMNS) if column in trials]]
    kept = kept.astype(object).where(kept.notna(), None)
    found = np.full(len(trials), np.nan)
    for i, values in zip(measured, kept.itertuples(index=False, name=None), strict=True):
        row = dict(zip(kept.columns, values, strict=True))
        found[i] = recorded_ratio(name, row.get, where=f"trial {row.get('trial_id')}")
    return found
