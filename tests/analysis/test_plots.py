"""Pictures of a run hold the run's numbers, and every axis is labelled."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from saved_figures import centres_and_ends, labelled_lines, labelled_points, points
from synthetic_run import write_audited_run

from analysis import plots
from analysis.choice_effects import choice_frequencies, decisions, marginal_effects
from analysis.finalists import finalists, standings
from analysis.frame import read_trials
from analysis.ledger import ALL_KINDS, ledger
from analysis.pareto import non_dominated
from analysis.progress import front_points, progress, random_band
from analysis.proxy_audit import proxy_audit
from analysis.ranking import ranked, searched
from analysis.reward_map import candidates, reward_map

TERMS = {"step_time_ratio": -0.07, "params": -0.05}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_audited_run(tmp_path_factory.mktemp("runs") / "flowers")


@pytest.fixture(scope="module")
def trials(run: Path) -> pd.DataFrame:
    return read_trials(run)


@pytest.fixture
def axes() -> Axes:
    return Figure().subplots()


def check_labels(axes: Axes) -> None:
    assert axes.get_xlabel()
    assert axes.get_ylabel() or [label.get_text() for label in axes.get_yticklabels()]


def pairs(rows: pd.DataFrame, x: str, y: str, *, factor: float = 1.0) -> list[tuple[float, float]]:
    return sorted(zip(rows[x].astype(float) * factor, rows[y].astype(float), strict=True))


@pytest.mark.parametrize(("against", "factor"), [("step_time_ratio", 1.0), ("params", 1e-6)])
def test_front_has_a_point_for_every_completed_trial_and_rings_around_the_front(
    trials: pd.DataFrame, axes: Axes, against: str, factor: float
) -> None:
    plots.draw_front(axes, trials, against=against)
    rows = searched(trials)
    drawn = labelled_points(axes)
    for purpose, name in (("baseline", "uniform"), ("search", "proposed")):
        expected = pairs(rows[rows.purpose == purpose], against, "accuracy", factor=factor)
        np.testing.assert_allclose(sorted(map(tuple, drawn[name])), expected)
    front = rows.iloc[list(non_dominated(front_points(rows)))]
    np.testing.assert_allclose(
        sorted(map(tuple, drawn["front"])), pairs(front, against, "accuracy", factor=factor)
    )
    np.testing.assert_allclose(drawn["best"], pairs(ranked(trials, 1), against, "accuracy", factor=factor))
    check_labels(axes)


def test_progress_has_the_best_reward_so_far_and_the_band_of_random_search(
    trials: pd.DataFrame, axes: Axes
) -> None:
    plots.draw_progress(axes, trials, against="device_seconds")
    curve, band = progress(trials), random_band(trials)
    lines = labelled_lines(axes)
    np.testing.assert_allclose(lines["best so far"], curve[["device_seconds", "best"]])
    np.testing.assert_allclose(lines["random, median"], band[["device_seconds", "median"]])
    completed = curve[curve["reward"] > 0]
    shown = labelled_points(axes)["trials"]
    assert np.isfinite(shown[:, 1]).sum() == len(completed)
    (filled,) = (each for each in axes.collections if each.get_label() == "random, 80 %")
    outline = filled.get_paths()[0].vertices
    assert outline[:, 1].min() == pytest.approx(band["low"].min())
    assert outline[:, 1].max() == pytest.approx(band["high"].max())
    check_labels(axes)


def test_shares_of_fused_blocks_are_drawn_for_each_stage_with_their_intervals(
    trials: pd.DataFrame, axes: Axes
) -> None:
    plots.draw_fused(axes, trials)
    table = choice_frequencies(decisions(trials))
    rows = table[(table["field"] == "op") & (table["option"] == "fused_mbconv")]
    assert len(rows) >= 3
    centres, ends = centres_and_ends(axes)
    np.testing.assert_allclose(centres[:, 0], rows["top_share"])
    np.testing.assert_allclose(ends, rows[["top_low", "top_high"]], atol=1e-12)
    np.testing.assert_allclose(labelled_points(axes)["all trials"][:, 0], rows["share"])
    assert [label.get_text() for label in axes.get_yticklabels()] == [f"stage {i}" for i in rows["stage"]]
    check_labels(axes)


def test_effects_are_the_largest_of_all_options_with_their_intervals(
    trials: pd.DataFrame, axes: Axes
) -> None:
    plots.draw_effects(axes, trials, count=6)
    effects = marginal_effects(decisions(trials))
    largest = effects.loc[effects["effect"].abs().nlargest(6).index].sort_values("effect", ascending=False)
    centres, ends = centres_and_ends(axes)
    np.testing.assert_allclose(centres[:, 0], largest["effect"])
    width = (largest["high"] - largest["low"]).fillna(0)
    np.testing.assert_allclose(ends[:, 1] - ends[:, 0], width, atol=1e-12)
    check_labels(axes)


def test_reward_map_has_one_colour_for_each_winner_and_a_cross_at_the_trade_off(
    trials: pd.DataFrame, axes: Axes
) -> None:
    grid = np.linspace(-0.3, 0.0, 9)
    mapped = reward_map(candidates(trials), grid, grid)
    plots.draw_reward_map(axes, mapped, now=(-0.07, -0.05))
    (image,) = axes.images
    pixels = np.asarray(image.get_array()).transpose(1, 0, 2)
    assert pixels.shape == (9, 9, 3)
    winners, counts = np.unique(mapped.winner, return_counts=True)
    common = winners[np.argsort(-counts)][: len(plots.COLOURS)]
    assert len(common) > 1
    for stable in (True, False):
        cells = [pixels[(mapped.winner == w) & ((mapped.stability >= 0.5) == stable)] for w in common]
        colours = [{tuple(pixel) for pixel in own.round(6)} for own in cells]
        assert all(len(own) <= 1 for own in colours)
        assert len(set.union(*colours)) == sum(map(len, colours))
    (cross,) = axes.lines
    assert cross.get_xydata().tolist() == [[-0.07, -0.05]]
    check_labels(axes)


def test_ledger_has_a_bar_for_every_kind_of_time_of_every_worker(trials: pd.DataFrame, axes: Axes) -> None:
    plots.draw_ledger(axes, trials)
    spent = ledger(trials)
    assert len(axes.containers) == len(ALL_KINDS)
    for kind, bars in zip(ALL_KINDS, axes.containers, strict=True):
        np.testing.assert_allclose([bar.get_width() for bar in bars], spent[kind], atol=1e-9)
    ends = [bar.get_x() + bar.get_width() for bar in axes.containers[-1]]
    np.testing.assert_allclose(ends, spent["total"])
    check_labels(axes)


def test_finalists_have_means_intervals_and_the_rewards_that_selected_them(
    trials: pd.DataFrame, axes: Axes
) -> None:
    found = standings(finalists(trials.to_dict("records")))  # type: ignore[arg-type]
    plots.draw_finalists(axes, found)
    centres, ends = centres_and_ends(axes)
    np.testing.assert_allclose(centres[:, 0], [s.finalist.mean for s in found])
    np.testing.assert_allclose(ends, [(s.low, s.high) for s in found])
    selected = labelled_points(axes)["selected by"][:, 0]
    np.testing.assert_allclose(selected, [s.finalist.selected_reward for s in found])
    check_labels(axes)


def test_audit_has_a_point_for_each_pair_of_rewards_and_tau_in_its_title(
    run: Path, trials: pd.DataFrame, axes: Axes
) -> None:
    audit = proxy_audit(trials, read_trials(run / "audit"))
    assert audit is not None
    plots.draw_audit(axes, audit)
    (drawn,) = points(axes)
    np.testing.assert_allclose(drawn, audit.pairs[["short", "long"]])
    assert f"{audit.tau.value:.2f}" in axes.get_title()
    check_labels(axes)


def test_run_of_one_trial_is_drawn_as_one_point(trials: pd.DataFrame) -> None:
    one = trials[:1]
    front, curve = Figure().subplots(1, 2)
    plots.draw_front(front, one)
    plots.draw_progress(curve, one)
    place = [[one["step_time_ratio"].iloc[0], one["accuracy"].iloc[0]]]
    drawn = labelled_points(front)
    assert [drawn[name].tolist() for name in ("uniform", "proposed", "front", "best")] == [
        place,
        [],
        place,
        place,
    ]
    assert labelled_lines(curve)["best so far"].tolist() == [[1.0, one["reward"].iloc[0]]]
