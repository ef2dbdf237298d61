"""Differences of paired measurements, such as accuracies of the same seeds, and which of them are sure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # its parts load at their first use

from analysis.intervals import Estimate, mean, vary

SURE = 0.05  # probability of one false "sure" or more among all comparisons, where nothing differs


@dataclass(frozen=True)
class PairedDifference:
    """Mean difference of pairs, with Student's 95 % interval of it alone.

    Attributes:
        p_value: two-sided, of Student's paired test; None where the pairs' spread is unknown: then there is
            no interval either (NaN).
        is_sure: by Holm's correction over all the comparisons that were made together.
    """

    difference: Estimate
    pairs: int
    p_value: float | None
    is_sure: bool


def paired_differences(
    first: Mapping[int, float], others: Sequence[Mapping[int, float]]
) -> list[PairedDifference]:
    """Each of the others minus the first, over the keys (seeds) that both have.

    With many comparisons one of them is soon "significant" by chance. Holm's step-down correction bounds the
    probability of that by SURE for all together (S. Holm, A Simple Sequentially Rejective Multiple Test
    Procedure, 1979); unlike Bonferroni's it tests the strongest difference alone at SURE / n.
    """
    values = [np.array([own[key] - first[key] for key in first if key in own]) for own in others]
    p_values = [_p_value(each) for each in values]
    sure = holm(p_values)
    return [
        PairedDifference(mean_of_seeds(each), len(each), p_value, is_sure)
        for each, p_value, is_sure in zip(values, p_values, sure, strict=True)
    ]


def mean_of_seeds(values: np.ndarray) -> Estimate:
    """Mean of shares, such as accuracies of one network, or of their differences, with Student's interval.

    The interval is NaN where the seeds' spread is unknown: of fewer than two values, and of values that are
    all alike. Accuracies are counts of images, and equal counts say that images are few, not that seeds do
    not matter.
    """
    found = mean(values)
    return found if vary(values) else Estimate(found.value, np.nan, np.nan)


def _p_value(differences: np.ndarray) -> float | None:
    """Probability of a mean so far from 0, or farther, where there is no difference; None: no interval."""
    count = len(differences)
    if not vary(differences):
        return None
    error = float(differences.std(ddof=1)) / np.sqrt(count)
    return float(2 * scipy.special.stdtr(count - 1, -abs(float(differences.mean())) / error))


def holm(p_values: Sequence[float | None]) -> list[bool]:
    """Rejected hypotheses: ascending p-values, each at SURE over the number left, until one is kept.

    None is a comparison that nothing was tested of; it is not rejected, and counts among all of them.
    """
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    rejected = [False] * len(p_values)
    for rank, (p, i) in enumerate(known):
        if p > SURE / (len(p_values) - rank):
            break
        rejected[i] = True
    return rejected
