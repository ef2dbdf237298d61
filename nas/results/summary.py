"""What is said of a run when its search ends."""

import statistics
from typing import Any

from analysis.finalists import Standing
from analysis.rungs import RungAgreement, is_counted, rung_agreement, savings
from nas.search.search import SearchResult


def summary_figures(result: SearchResult) -> dict[str, Any]:
    """The end of a search as one mapping, keys named as the columns."""
    baseline = baseline_rewards(result)
    best, error = result.best, result.prediction_error
    return {
        "run": str(result.folder),
        "trials": sum(map(is_counted, result.rows)),
        "best_trial_id": best["trial_id"] if best else None,
        **{
            name: best[name] if best else None
            for name in ("reward", "accuracy", "step_time_ratio", "params", "macs", "architecture_id")
        },
        "baseline_trials": len(baseline),
        "baseline_median_reward": statistics.median(baseline) if baseline else None,
        "baseline_best_reward": max(baseline, default=None),
        "exhausted": result.exhausted,
        "predicted_networks": error.networks if error else 0,
        "predicted_step_time_error": error.mean if error else None,
        "predicted_step_time_tau": error.tau if error else None,
        "finalists": [_finalist_figures(standing) for standing in result.standings],
        "rungs": [_rung_figures(rung) for rung in rung_agreement(result.rows)],
        "epochs_saved": _saved(result.rows),
    }


def _rung_figures(rung: RungAgreement) -> dict[str, Any]:
    return {
        "epochs": rung.epochs,
        "of": rung.of,
        "kendall_tau": rung.tau.value,
        "low": rung.tau.low,
        "high": rung.tau.high,
        "trials": rung.count,
        "promoted": rung.chosen,
    }


def _saved(rows: list[dict[str, Any]]) -> dict[str, int] | None:
    """Against whole trainings of all architectures; None where all trials were of one length."""
    found = savings(rows)
    return None if found is None else vars(found)


def _finalist_figures(standing: Standing) -> dict[str, Any]:
    finalist = standing.finalist
    return {
        "trial_id": finalist.trial_id,
        "selected_reward": finalist.selected_reward,
        "repeats": len(finalist.rewards),
        "mean_reward": finalist.mean,
        "mean_accuracy": statistics.mean(finalist.accuracies),
        "low": standing.low,
        "high": standing.high,
        "better_than_next": standing.better_than_next,
    }


def baseline_rewards(result: SearchResult) -> list[float]:
    """Rewards of the run's own uniform trials: what random search found."""
    return [row["reward"] or 0.0 for row in result.rows if row["purpose"] == "baseline" and is_counted(row)]
