"""The device-seconds of a search by kind, by worker and by purpose, idle time included."""

import numpy as np
import pandas as pd

from analysis.frame import floats
from trials.log.schema import WORK

ALL_KINDS = (*WORK, "other", "idle")  # other: the rest of a trial, as waiting for others to time
LONG_PAUSE = 120.0  # seconds in which nobody works: the search was stopped, and nothing was idle


def work(trials: pd.DataFrame) -> pd.DataFrame:
    """One row per trial that ran: worker, start and end in seconds since the run's first, seconds by kind.

    A worker is a device of a host. Cached trials ran nowhere.
    """
    ran = trials[
        trials.started_at.notna() & trials.finished_at.notna() & (trials.status != "cached")
    ].sort_values("started_at")
    start, end = (_seconds(ran[name]) for name in ("started_at", "finished_at"))
    origin = float(start.min()) if len(start) else 0.0
    host, device = (ran[name].fillna("?").astype(str) for name in ("host", "device_id"))
    frame = pd.DataFrame(
        {
            "trial_id": ran["trial_id"].to_numpy(),
            "purpose": ran["purpose"].to_numpy(),
            "status": ran["status"].to_numpy(),
            "worker": (host + " " + device).to_numpy(),
            "start": start - origin,
            "end": end - origin,
        }
    )
    for kind in WORK:
        frame[kind] = np.nan_to_num(floats(ran, f"{kind}_seconds"))
    known = frame[list(WORK)].sum(axis=1)
    frame["other"] = np.maximum(frame["end"] - frame["start"] - known, 0.0)
    return frame


def ledger(trials: pd.DataFrame) -> pd.DataFrame:
    """Device-seconds by worker (rows) and kind (columns: ALL_KINDS, and total).

    A worker is idle between the run's first start and its last end when it has no trial, but for pauses of
    more than LONG_PAUSE in which nobody works.
    """
    found = work(trials)
    spent = found.groupby("worker")[[*WORK, "other"]].sum()
    busy = spent.sum(axis=1)
    open_seconds = wall_seconds(found)
    spent["idle"] = np.maximum(open_seconds - busy, 0.0)
    spent["total"] = spent[list(ALL_KINDS)].sum(axis=1)
    return spent


def by_purpose(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials and device-seconds by purpose and status (without idle time)."""
    found = work(trials)
    found["seconds"] = found[[*WORK, "other"]].sum(axis=1)
    groups = found.groupby(["purpose", "status"])
    return groups.agg(trials=("trial_id", "size"), seconds=("seconds", "sum")).reset_index()


def wall_seconds(found: pd.DataFrame) -> float:
    """Seconds from the first start to the last end, without long pauses in which nobody works."""
    return float(found["end"].max()) - sum(end - start for start, end in pauses(found)) if len(found) else 0.0


def pauses(found: pd.DataFrame) -> list[tuple[float, float]]:
    """Start and end of the pauses in which the search was stopped, in seconds since the run's first start."""
    rows = found.sort_values("start")
    ends = np.maximum.accumulate(rows["end"].to_numpy())
    starts = rows["start"].to_numpy()
    gaps = zip(ends[:-1].tolist(), starts[1:].tolist(), strict=True)
    return [(end, start) for end, start in gaps if start - end > LONG_PAUSE]


def utilisation(trials: pd.DataFrame) -> float:
    """The share of the workers' time in which they trained, timed or evaluated; NaN without trials."""
    spent = ledger(trials)
    total = float(spent["total"].sum())
    return float(spent[["timing", "train", "evaluate"]].to_numpy().sum()) / total if total else float("nan")


def _seconds(times: pd.Series) -> np.ndarray:
    return times.astype("datetime64[us, UTC]").astype("int64").to_numpy(dtype=np.float64) / 1e6
