"""Architectures that no other one beats in everything."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

# By column, and whether more of it is better.
OBJECTIVES = {"accuracy": True, "step_time_ratio": False, "params": False}


def pareto_front(
    rows: Iterable[Mapping[str, Any]], *, objectives: Mapping[str, bool] = OBJECTIVES
) -> list[Mapping[str, Any]]:
    """The completed search and baseline rows that no other is at least as good as in all objectives.

    The best in the first objective comes first. Of rows that are equal in all objectives the first is kept.
    """
    eligible = [
        row
        for row in rows
        if row["status"] == "completed"
        and row["purpose"] in ("search", "baseline")
        and all(row[name] is not None for name in objectives)
    ]
    signs = [1.0 if more else -1.0 for more in objectives.values()]
    points = np.array([[row[name] for name in objectives] for row in eligible], dtype=float).reshape(
        -1, len(signs)
    ) * np.array(signs)
    kept = non_dominated(points)
    first = next(iter(objectives))
    return sorted((eligible[i] for i in kept), key=lambda row: -signs[0] * row[first])


def non_dominated(points: np.ndarray) -> Sequence[int]:
    """The indices of points (n, k), more being better, that no other point dominates; equals count once."""
    kept = []
    for i, point in enumerate(points):
        at_least = (points >= point).all(axis=1)
        better = at_least & (points > point).any(axis=1)
        earlier_equal = at_least[:i] & (points[:i] == point).all(axis=1)
        if not better.any() and not earlier_equal.any():
            kept.append(i)
    return kept
