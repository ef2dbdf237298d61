"""Kendall's tau-b of two rankings."""

from collections.abc import Sequence

import numpy as np


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float:
    """Kendall's tau-b of two rankings, -1 to 1; NaN where one of them has no order at all."""
    # The order of each pair by each ranking: 1, -1, or 0 where it ties.
    signs = [
        np.sign(np.subtract.outer(x, x))[np.triu_indices(len(x), 1)] for x in map(np.asarray, (first, second))
    ]
    # Concordant minus discordant pairs, over the geometric mean of the numbers of pairs without ties.
    norm = float(np.sqrt((signs[0] ** 2).sum() * (signs[1] ** 2).sum()))
    return float((signs[0] * signs[1]).sum()) / norm if norm else float("nan")
