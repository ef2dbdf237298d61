"""The floor under rewards and accuracies: three standard deviations, whatever the outliers."""

import numpy as np
import pytest

from nas.strategies.robust_floor import robust_floor


def test_the_floor_of_normal_values_is_three_standard_deviations_below_their_mean() -> None:
    values = np.random.default_rng(0).normal(5.0, 2.0, 100_000)
    assert robust_floor(values) == pytest.approx(5.0 - 3 * 2.0, abs=0.05)


def test_a_few_failures_hardly_move_the_floor() -> None:
    values = np.random.default_rng(0).normal(5.0, 2.0, 1_000)
    values[:50] = -1e6
    assert robust_floor(values) == pytest.approx(5.0 - 3 * 2.0, abs=1.0)


def test_the_floor_of_values_of_which_most_are_equal_is_their_median() -> None:
    assert robust_floor(np.array([0.1, 0.5, 0.5, 0.5, 0.9])) == 0.5
