"""Differences of pairs against values computed by hand, and Holm's correction."""

import math

import numpy as np
import pytest

from analysis.paired import mean_of_seeds, paired_differences


def with_t(t: float) -> dict[int, float]:
    """Two differences whose Student's t is this: their sum over their distance."""
    return {0: 0.01 * (t + 1), 1: 0.01 * (t - 1)}


ZERO = {0: 0.0, 1: 0.0}


def p_of(t: float) -> float:
    """Two-sided p-value with one degree of freedom, where Student's distribution is Cauchy's."""
    return 1 - 2 / math.pi * math.atan(t)


def test_a_difference_is_the_mean_over_common_seeds_with_student_s_interval() -> None:
    first = {0: 0.90, 1: 0.91, 2: 0.92, 7: 0.1}
    second = {2: 0.94, 1: 0.94, 0: 0.91, 8: 0.9}  # differences 0.01, 0.03, 0.02: deviation 0.01
    (found,) = paired_differences(first, [second])
    half = 4.302653 * 0.01 / math.sqrt(3)  # the table's 97.5 % quantile of two degrees of freedom
    assert found.pairs == 3
    assert found.difference == pytest.approx((0.02, 0.02 - half, 0.02 + half), abs=1e-7)
    assert found.p_value == pytest.approx(0.0741799, abs=1e-6)  # t = 2 * sqrt(3)
    assert not found.is_sure


def test_pairs_remove_what_is_common_to_a_seed() -> None:
    seeds = {0: 0.5, 1: 0.9, 2: 0.7}
    better = {seed: value + 0.01 + 0.001 * seed for seed, value in seeds.items()}
    (found,) = paired_differences(seeds, [better])
    assert found.is_sure
    assert found.difference.low == pytest.approx(0.011 - 4.302653 * 0.001 / math.sqrt(3), abs=1e-7)


@pytest.mark.parametrize("own", [{0: 0.3}, {0: 0.3, 1: 0.3}, {}], ids=["one pair", "all alike", "none"])
def test_nothing_is_sure_where_nothing_tells_how_pairs_vary(own: dict[int, float]) -> None:
    (found,) = paired_differences(ZERO, [own])
    assert (found.p_value, found.is_sure) == (None, False)
    assert np.isnan(found.difference.low)
    assert np.isnan(found.difference.high)


def test_a_mean_of_seeds_has_student_s_interval_unless_all_are_alike() -> None:
    half = 12.706205 * 0.01  # the table's quantile of one degree of freedom, and the standard error
    found = mean_of_seeds(np.array([0.90, 0.92]))
    assert found == pytest.approx((0.91, 0.91 - half, 0.91 + half), abs=1e-6)
    for values in ([0.9], [0.9, 0.9, 0.9], [0.9, 0.9 + 1e-9]):
        value, low, high = mean_of_seeds(np.array(values))
        assert value == pytest.approx(0.9)
        assert np.isnan(low)
        assert np.isnan(high)


def test_holm_s_correction_tests_each_p_against_those_that_are_left() -> None:
    found = paired_differences(ZERO, [with_t(15), with_t(-50), with_t(30)])
    assert [each.p_value for each in found] == pytest.approx([p_of(15), p_of(50), p_of(30)])
    assert 0.05 / 3 < p_of(30) < 0.05 / 2  # Bonferroni's correction would not be sure of it
    assert [each.is_sure for each in found] == [True, True, True]


def test_what_holm_s_correction_rejects_no_weaker_difference_passes() -> None:
    first, second = paired_differences(ZERO, [with_t(15), with_t(20)])
    assert 0.05 / 2 < p_of(20) < p_of(15) < 0.05  # each alone would be sure
    assert not first.is_sure
    assert not second.is_sure


def test_a_comparison_without_p_value_counts_among_the_comparisons() -> None:
    alone, _ = paired_differences(ZERO, [with_t(20), {0: 0.1}])
    assert not alone.is_sure
    (alone,) = paired_differences(ZERO, [with_t(20)])
    assert alone.is_sure
