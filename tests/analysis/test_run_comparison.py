"""Best rewards of runs at a place of their budgets, their mean, and Welch's test."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from analysis.intervals import difference, welch_p_value
from analysis.run_comparison import best_at, mean_curve


def curve(*best: float, seconds: float = 10.0) -> pd.DataFrame:
    numbers = np.arange(1, len(best) + 1)
    return pd.DataFrame({"trials": numbers, "device_seconds": numbers * seconds, "best": best})


def test_best_at_a_place_is_that_of_the_last_trial_which_had_ended_by_then() -> None:
    found = best_at(
        curve(np.nan, 0.5, 0.7), np.array([0.0, 10.0, 20.0, 29.9, 30.0, 99.0]), by="device_seconds"
    )
    np.testing.assert_array_equal(found, [np.nan, np.nan, 0.5, 0.5, 0.7, 0.7])
    assert np.isnan(best_at(curve(), np.array([1.0]), by="trials")).all()


def test_a_mean_curve_has_student_s_interval_over_runs_and_none_of_one() -> None:
    two = mean_curve([curve(0.4, 0.6), curve(0.6, 0.6)], np.array([1, 2]), by="trials")
    assert two["mean"].tolist() == pytest.approx([0.5, 0.6])
    assert (two["high"] - two["mean"]).tolist() == pytest.approx([12.706 * 0.1, 0.0], abs=1e-3)
    assert mean_curve([curve(0.4)], np.array([1]), by="trials")["low"].isna().all()


def test_welch_s_p_value_is_scipy_s_and_agrees_with_the_interval() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(0.0, 1.0, 5), rng.normal(1.5, 3.0, 9)
    p_value = welch_p_value(one, other)
    assert p_value == pytest.approx(scipy.stats.ttest_ind(one, other, equal_var=False).pvalue)
    low, high = difference(one, other)[1:]
    assert (p_value < 0.05) is not (low < 0 < high)


@pytest.mark.parametrize("values", [([0.5], [0.4, 0.6]), ([0.5, 0.5], [0.4, 0.4]), ([0.1] * 3, [0.7] * 3)])
def test_nothing_is_tested_where_nothing_tells_how_values_vary(
    values: tuple[list[float], list[float]],
) -> None:
    one, other = (np.array(each) for each in values)
    assert welch_p_value(one, other) is None
    assert np.isnan(difference(one, other)[1:]).all()
