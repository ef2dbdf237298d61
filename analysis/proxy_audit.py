"""Audit of short trials: their ranking of architectures against that of longer trainings."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.frame import floats, objective_values
from analysis.intervals import Estimate, resampled
from analysis.rank_correlation import kendall_tau
from analysis.ranking import searched
from analysis.reward_map import seed_deviation


@dataclass(frozen=True)
class ProxyAudit:
    """Short and long trainings of the same architectures, and how far they agree.

    Attributes:
        pairs: a row for each architecture: trial_id (the short one), short, long (rewards), short_objective,
            long_objective, epochs (of the long one).
        tau: Kendall's tau-b of the two rankings by reward, -1 to 1.
        recall: the share of the best `top` by long training that is among the best `top` by short.
        regret: how much long reward is lost by taking the short ranking's first.
        seed_deviation: of the objective between short trainings of one architecture; 0 where unknown.
    """

    pairs: pd.DataFrame
    top: int
    tau: Estimate
    recall: Estimate
    regret: Estimate
    seed_deviation: float


def proxy_audit(trials: pd.DataFrame, audits: pd.DataFrame) -> ProxyAudit | None:
    """Compares a run's trials with its longer trainings (`audits`); None where fewer than two are paired.

    The sizes and the step time of a pair are the short trial's, so that the two rewards differ by the
    objective alone. Where an architecture was trained longer several times, the mean counts.
    """
    pairs = paired(trials, audits)
    if len(pairs) < 2:
        return None
    short, long = pairs["short"].to_numpy(), pairs["long"].to_numpy()
    top = max(len(pairs) // 5, 1)
    return ProxyAudit(
        pairs=pairs,
        top=top,
        tau=resampled(lambda i: kendall_tau(short[i].tolist(), long[i].tolist()), len(pairs)),
        recall=resampled(lambda i: top_recall(short[i], long[i], top), len(pairs)),
        regret=resampled(lambda i: float(long[i].max() - long[i][short[i].argmax()]), len(pairs)),
        seed_deviation=seed_deviation(trials),
    )


def paired(trials: pd.DataFrame, audits: pd.DataFrame) -> pd.DataFrame:
    """A row for each architecture that was trained both ways; `ProxyAudit.pairs` has the columns."""
    longer = audits[(audits.status == "completed") & (audits.purpose == "audit")]
    groups = (
        longer.assign(value=objective_values(longer))
        .groupby("architecture_id")
        .agg(long_objective=("value", "mean"), epochs=("epochs", "max"))
    )
    rows = searched(trials)
    rows = rows[rows.architecture_id.isin(groups.index) & (rows.reward > 0)]
    rows = rows.drop_duplicates("architecture_id")
    value, short = objective_values(rows), floats(rows, "reward")
    cost = short / value  # by the rows' own reward, so also of terms that only the search could compute
    long = groups.loc[rows["architecture_id"], "long_objective"].to_numpy(dtype=np.float64)
    return pd.DataFrame(
        {
            "trial_id": rows["trial_id"].to_numpy(dtype=np.int64),
            "short": short,
            "long": long * cost,
            "short_objective": value,
            "long_objective": long,
            "epochs": groups.loc[rows["architecture_id"], "epochs"].to_numpy(dtype=np.int64),
        }
    )


def top_recall(short: np.ndarray, long: np.ndarray, top: int) -> float:
    """Share of the best `top` by the second figure that is among the best `top` by the first."""
    chosen, best = (set(np.argsort(-x, kind="stable")[:top].tolist()) for x in (short, long))
    return len(chosen & best) / top
