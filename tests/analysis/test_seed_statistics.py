"""The model of choices, intervals over seeds, and their picture."""

from pathlib import Path

import numpy as np
import pytest
from pictures import PNG
from saved_figures import labelled_lines, saved_figures

from analysis.choice_model import accuracy_logit, fit_choice_model, spread_out
from analysis.intervals import mean, student_t
from analysis.rank_correlation import kendall_tau
from analysis.seed_curves import draw_curves, interval


def test_choice_model_learns_sums_and_pairs_of_effects() -> None:
    rng = np.random.default_rng(0)
    effects = [rng.normal(size=4) for _ in range(8)]
    pair = rng.normal(size=(4, 4))

    def value(choices: np.ndarray) -> float:
        return float(sum(e[c] for e, c in zip(effects, choices, strict=True)) + pair[choices[0], choices[1]])

    rows = rng.integers(4, size=(250, 8))
    model = fit_choice_model(rows.tolist(), [value(row) + 0.1 * rng.normal() for row in rows])
    fresh = rng.integers(4, size=(200, 8))
    tau = kendall_tau([model(row) for row in fresh], [value(row) for row in fresh])
    assert tau > 0.8
    assert kendall_tau(model.left_out.tolist(), [value(row) for row in rows]) == pytest.approx(tau, abs=0.08)


def test_left_out_prediction_of_a_choice_model_is_that_of_a_fit_without_the_row() -> None:
    rng = np.random.default_rng(1)
    rows = rng.integers(3, size=(30, 5)).tolist()
    values = [sum(row) + rng.normal() for row in rows]
    whole = fit_choice_model(rows, values)
    without = fit_choice_model(rows[1:], values[1:])
    assert whole.left_out[0] == pytest.approx(without(rows[0]), abs=0.5)


@pytest.mark.parametrize("rows", [[[]] * 15, [[0]] * 15, [[i % 2] for i in range(15)]])
def test_choice_model_of_one_decision_or_none_predicts_the_mean(rows: list[list[int]]) -> None:
    model = fit_choice_model(rows, [0.1 * i for i in range(15)])
    assert model(rows[0]) == pytest.approx(0.7, abs=0.3)
    assert fit_choice_model(rows, [0.5] * 15)(rows[0]) == 0.5


def test_a_model_of_many_rows_is_fitted_to_some_at_equal_distances() -> None:
    assert spread_out(5, most=10).tolist() == [0, 1, 2, 3, 4]
    assert spread_out(101, most=6).tolist() == [0, 20, 40, 60, 80, 100]


def test_the_logit_of_an_accuracy_is_finite_and_grows_with_it() -> None:
    logits = accuracy_logit(np.array([0.0, 0.25, 0.5, 0.75, 1.0]))
    assert np.isfinite(logits).all()
    assert (np.diff(logits) > 0).all()
    assert logits[1:4] == pytest.approx([-np.log(3), 0.0, np.log(3)])


def test_kendall_tau_of_known_rankings_is_exact() -> None:
    assert kendall_tau([1, 2, 3], [1, 2, 3]) == 1
    assert kendall_tau([1, 2, 3], [3, 2, 1]) == -1
    assert kendall_tau([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(2 / 3)
    assert kendall_tau([1, 1, 2], [1, 2, 3]) == pytest.approx(2 / 6**0.5)
    assert np.isnan(kendall_tau([1, 1], [1, 2]))


def test_intervals_over_seeds_are_students() -> None:
    assert student_t(1) == pytest.approx(12.7062, abs=1e-4)
    assert student_t(11) == pytest.approx(2.20099, abs=1e-5)
    assert student_t(199) == pytest.approx(1.97196, abs=1e-5)
    values = np.array([1.0, 2.0, 3.0])
    assert interval(values) == (2.0, pytest.approx(4.302653 / 3**0.5, rel=1e-6))
    # The interval of a figure of several seeds is the same wherever it is shown.
    assert mean(values) == pytest.approx((2.0, 2.0 - 4.302653 / 3**0.5, 2.0 + 4.302653 / 3**0.5), rel=1e-6)
    assert interval(np.array([1.0])) == (1.0, None)


@pytest.mark.parametrize("seeds", [1, 3])
def test_picture_of_curves_has_their_means_and_with_several_seeds_their_intervals(
    seeds: int, tmp_path: Path
) -> None:
    falling = np.linspace(1, 0.1, 20)
    curves = {f"strategy {i}": np.stack([falling + i + j / 9 for j in range(seeds)]) for i in range(10)}
    with saved_figures() as figures:
        draw_curves(tmp_path / "a.png", curves, title="ten", y_label="regret", logarithmic=True)
    assert (tmp_path / "a.png").read_bytes()[:8] == PNG
    (axes,) = figures[0].axes
    drawn = labelled_lines(axes)
    assert drawn.keys() == curves.keys()
    for name, values in curves.items():
        np.testing.assert_allclose(drawn[name], np.column_stack([np.arange(1, 21), values.mean(axis=0)]))
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 10
    assert axes.get_yscale() == "log"
    assert len(axes.collections) == (10 if seeds > 1 else 0)
    for band, values in zip(axes.collections, curves.values(), strict=False):
        heights = band.get_paths()[0].vertices[:, 1]
        mean, half_width = interval(values[:, 0])
        assert half_width is not None
        assert heights.max() == pytest.approx(mean + half_width)
