"""The Pareto front of architectures, and the volume that a front covers."""

from collections.abc import Iterable, Sequence

import numpy as np

from analysis.trial_rules import longest
from trials.log.row_types import TrialRow, number_of
from trials.objective import objective_of

COSTS = ("step_time_ratio", "params")  # columns, of which less is better; more of the search's objective is


def pareto_front(rows: Iterable[TrialRow]) -> list[TrialRow]:
    """The Pareto front of completed search and baseline rows, the best by the search's objective first.

    Where trials differ in length, the longest alone: a short one's accuracy does not compare. Of rows that
    are equal in everything the first is kept.
    """
    eligible, values = [], []
    for row in longest(rows):
        value, costs = objective_of(row), [number_of(row, name) for name in COSTS]
        if value is not None and None not in costs:
            eligible.append(row)
            values.append([value, *(-cost for cost in costs if cost is not None)])
    points = np.array(values, dtype=float).reshape(-1, 1 + len(COSTS))
    kept = sorted(non_dominated(points), key=lambda i: -points[i, 0])
    return [eligible[i] for i in kept]


def non_dominated(points: np.ndarray) -> Sequence[int]:
    """Indices of the Pareto front of points (n, k), more being better; equal points count once."""
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
    """Volume of a front above 0, slice by slice along its last objective."""
    if points.shape[1] == 1:
        return float(points.max())
    assert points.shape[1] <= 3, "slices of slices are slow beyond three objectives"
    points = points[np.argsort(-points[:, -1])]
    if points.shape[1] == 2:
        # Strips along the second objective, each as wide as the best first objective above it.
        tops = np.maximum.accumulate(points[:, 0])
        steps = points[:, 1] - np.append(points[1:, 1], 0.0)
        return float((tops * steps).sum())
    # Slabs along the third objective, each with the area of all points above it.
    heights = points[:, -1] - np.append(points[1:, -1], 0.0)
    areas = (_volume(points[: i + 1, :-1]) for i in range(len(points)))
    return float(sum(height * area for height, area in zip(heights, areas, strict=True)))
