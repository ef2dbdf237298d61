"""Architectures that no other one beats in everything, and how much such a front covers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from analysis.rungs import longest

# By column, and whether more of it is better.
OBJECTIVES = {"accuracy": True, "step_time_ratio": False, "params": False}


def pareto_front(
    rows: Iterable[Mapping[str, Any]], *, objectives: Mapping[str, bool] = OBJECTIVES
) -> list[Mapping[str, Any]]:
    """The completed search and baseline rows that no other is at least as good as in all objectives.

    Where trials differ in length, the longest alone: a short one's accuracy does not compare.
    The best in the first objective comes first. Of rows that are equal in all objectives the first is kept.
    """
    eligible = [row for row in longest(rows) if all(row[name] is not None for name in objectives)]
    signs = [1.0 if more else -1.0 for more in objectives.values()]
    points = np.array([[row[name] for name in objectives] for row in eligible], dtype=float).reshape(
        -1, len(signs)
    ) * np.array(signs)
    kept = non_dominated(points)
    first = next(iter(objectives))
    return sorted((eligible[i] for i in kept), key=lambda row: -signs[0] * row[first])


def non_dominated(points: np.ndarray) -> Sequence[int]:
    """The indices of points (n, k), more being better, that no other point dominates; equals count once."""
    # The greatest in lexicographic order is dominated by none, and removes all that it dominates: one pass
    # over what is left for each point of the front. lexsort is stable, so of equals the first comes first.
    left = np.lexsort(tuple(-points[:, i] for i in range(points.shape[1] - 1, -1, -1)))
    kept = []
    while len(left):
        first, left = left[0], left[1:]
        kept.append(int(first))
        left = left[~(points[left] <= points[first]).all(axis=1)]
    return sorted(kept)


def hypervolume(points: np.ndarray, worst: Sequence[float]) -> float:
    """The volume that points (n, k), more being better, cover above the corner `worst`; k is 1 to 3.

    Points that are not above the corner in everything cover nothing.
    """
    corner = np.asarray(worst, dtype=float)
    inside = points[(points > corner).all(axis=1)] - corner
    if not len(inside):
        return 0.0
    return _volume(inside[list(non_dominated(inside))])


def _volume(points: np.ndarray) -> float:
    """Of a front above 0, slice by slice along its last objective."""
    if points.shape[1] == 1:
        return float(points.max())
    assert points.shape[1] <= 3, "slices of slices are slow beyond three objectives"
    points = points[np.argsort(-points[:, -1])]
    if points.shape[1] == 2:
        tops = np.maximum.accumulate(points[:, 0])
        steps = points[:, 1] - np.append(points[1:, 1], 0.0)
        return float((tops * steps).sum())
    heights = points[:, -1] - np.append(points[1:, -1], 0.0)
    areas = (_volume(points[: i + 1, :-1]) for i in range(len(points)))
    return float(sum(height * area for height, area in zip(heights, areas, strict=True)))
