"""A run's trials as a pandas frame."""

import io
from pathlib import Path

import pandas as pd


def read_trials(run: str | Path) -> pd.DataFrame:
    """One row per finished trial of a run, also while it goes on.

    Raises:
        FileNotFoundError: the folder is no run, or has no finished trial.
    """
    path = Path(run) / "trials.parquet"
    if not path.is_file():
        raise FileNotFoundError(
            f"{run}: no trials.parquet; a run directory with a finished trial is expected"
        )
    # Read at once: pandas opens a path twice, and a driver may replace the file in between.
    return pd.read_parquet(io.BytesIO(path.read_bytes()))


def ranked(trials: pd.DataFrame) -> pd.DataFrame:
    """Completed search and baseline trials, the best reward first."""
    counted = trials[(trials.status == "completed") & trials.purpose.isin(["search", "baseline"])]
    return counted.sort_values("reward", ascending=False, ignore_index=True)
