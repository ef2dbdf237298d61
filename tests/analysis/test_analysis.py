"""What is computed of a run's rows, against cases whose answer is known."""

import re
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from places import REPOSITORY
from synthetic_run import synthetic_config, synthetic_rows, write_rows, write_run

from analysis.choice_effects import choice_frequencies, decisions, marginal_effects
from analysis.frame import read_trials
from analysis.intervals import difference, mean, resampled, share
from analysis.ledger import ALL_KINDS, by_purpose, ledger, pauses, utilisation, work
from analysis.pareto import hypervolume, non_dominated
from analysis.progress import device_seconds as seconds_of_frame
from analysis.progress import front_volume, progress, random_band
from analysis.proxy_audit import proxy_audit
from analysis.ranking import is_searched, ranked, searched
from analysis.reward_map import candidates, reward_map, winner_range
from analysis.run_comparison import compare_groups, compare_runs
from analysis.trial_rules import is_counted, may_win, own_epochs_of, spent
from analysis.winner import Winner, winner
from nas.results.export import chosen_row
from trials.log.rows import device_seconds, seconds_by_work
from trials.log.schema import WORK, WORK_SECONDS
from trials.trial import Purpose, Status


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("runs") / "one"
    write_run(folder, 300)
    return read_trials(folder)


# ---------------------------------------------------------------- what counts


def test_rows_and_frames_agree_on_which_trials_may_win_and_which_count() -> None:
    rows = [
        {"trial_id": i, "tell_seq": i, "status": status, "purpose": purpose, "reward": 0.5, "epochs": 4}
        for i, (status, purpose) in enumerate(product(get_args(Status), get_args(Purpose)))
    ]
    frame = pd.DataFrame(rows).assign(**dict.fromkeys(WORK_SECONDS, 1.0))
    found = [row for row in rows if may_win(row)]
    assert [(row["status"], row["purpose"]) for row in found] == [
        ("completed", "search"),
        ("completed", "baseline"),
    ]
    assert list(is_searched(frame)) == [may_win(row) for row in rows]
    counted = [row["trial_id"] for row in rows if is_counted(row)]
    assert len(counted) == spent(rows, "trials", {}) == 6
    assert list(progress(frame)["trial_id"]) == counted
    assert len(random_band(frame)) == 3


def test_a_budget_of_epochs_counts_those_of_a_continued_trial_once() -> None:
    row = {"status": "completed", "purpose": "search", "train_seconds": 2.0}
    rows = {
        0: {**row, "trial_id": 0, "epochs": 2, "continues": None},
        1: {**row, "trial_id": 1, "epochs": 6, "continues": 0},
        2: {**row, "trial_id": 2, "epochs": 6, "continues": None, "purpose": "repeat"},
    }
    assert [own_epochs_of(each, rows) for each in rows.values()] == [2, 4, 6]
    assert spent(rows.values(), "epochs", rows) == 6
    assert spent(rows.values(), "device_seconds", rows) == 4.0


def test_a_cached_row_wins_nothing_but_can_be_exported_by_its_number() -> None:
    rows: dict[int, dict[str, Any]] = {
        i: {"trial_id": i, "status": status, "purpose": "search", "reward": reward, "accuracy": reward}
        | {"choices": (i,)}
        for i, (status, reward) in enumerate([("cached", 0.9), ("completed", 0.5)])
    }
    assert winner(rows.values(), recommended=0) == winner(rows.values(), recommended=None) == Winner(1)
    assert chosen_row(rows, trial=0, run=Path("run"))["trial_id"] == 0


# ---------------------------------------------------------------- fronts


def test_pareto_front_is_what_comparing_all_pairs_finds() -> None:
    rng = np.random.default_rng(0)
    for columns in (2, 3):
        points = rng.integers(0, 6, size=(80, columns)).astype(float)  # many are equal
        expected = [
            i
            for i, p in enumerate(points)
            if not any((q >= p).all() and (q > p).any() for q in points)
            and not any((q == p).all() for q in points[:i])
        ]
        assert list(non_dominated(points)) == expected


def test_hypervolume_of_boxes_is_exact_and_of_random_points_agrees_with_sampling() -> None:
    assert hypervolume(np.array([[2.0, 3.0], [3.0, 1.0]]), [0, 0]) == pytest.approx(7)
    assert hypervolume(np.array([[1.0, 1.0, 1.0], [2.0, 0.5, 0.5]]), [0, 0, 0]) == pytest.approx(1.25)
    assert hypervolume(np.array([[1.0, -1.0]]), [0, 0]) == 0
    rng = np.random.default_rng(1)
    points, drawn = rng.random((20, 3)), rng.random((100_000, 3))
    covered = (drawn[:, None, :] <= points).all(axis=2).any(axis=1).mean()
    assert hypervolume(points, [0, 0, 0]) == pytest.approx(covered, abs=0.01)


def test_pareto_front_of_200_000_points_is_found() -> None:
    points = np.random.default_rng(2).random((200_000, 3))
    assert 20 < len(non_dominated(points)) < 2_000


# ---------------------------------------------------------------- intervals


def test_confidence_intervals_hold_the_true_value_about_95_times_in_100() -> None:
    rng = np.random.default_rng(3)
    held = np.zeros(3)
    for _ in range(400):
        held[0] += share(rng.binomial(30, 0.2), 30).low <= 0.2 <= share(rng.binomial(30, 0.2), 30).high or 0
        sample = rng.normal(1, 2, 8)
        held[1] += mean(sample).low <= 1 <= mean(sample).high
        found = difference(rng.normal(1, 2, 6), rng.normal(0, 1, 9))
        held[2] += found.low <= 1 <= found.high
    assert (held[1:] / 400 > 0.92).all()
    assert (held[1:] / 400 < 0.98).all()
    few = resampled(lambda i: float(np.arange(4)[i].mean()), 4)
    assert few.value == 1.5
    assert np.isnan(few.low)


def test_a_share_has_wilsons_interval() -> None:
    assert share(0, 10) == pytest.approx((0.0, 0.0, 0.2775), abs=1e-4)
    assert share(8, 10) == pytest.approx((0.8, 0.4902, 0.9433), abs=1e-4)


# ---------------------------------------------------------------- progress


def test_progress_counts_trials_of_the_budget_and_its_best_never_falls(trials: pd.DataFrame) -> None:
    curve = progress(trials)
    assert list(curve["trials"]) == list(range(1, 301))
    assert curve["best"].is_monotonic_increasing
    assert curve["device_seconds"].is_monotonic_increasing
    assert curve["best"].iloc[-1] == searched(trials)["reward"].max()


def test_random_search_band_is_what_drawing_the_best_of_n_gives(trials: pd.DataFrame) -> None:
    band = random_band(trials)
    found = trials.loc[trials.purpose == "baseline", "reward"].to_numpy()
    drawn = np.random.default_rng(0).choice(found, size=(20_000, 5)).max(axis=1)
    fifth = band.iloc[4]
    assert fifth["trials"] == 5
    for name, quantile in (("low", 0.1), ("median", 0.5), ("high", 0.9)):
        assert fifth[name] == np.quantile(drawn, quantile, method="inverted_cdf")
    assert len(band) == 20


def test_a_run_without_baseline_or_trials_has_empty_curves(trials: pd.DataFrame) -> None:
    assert random_band(trials[trials.purpose == "search"]).empty
    assert progress(trials[:0]).empty
    assert front_volume(trials[:0]) == 0


# ---------------------------------------------------------------- what was learned


def test_effect_of_an_op_is_found_though_choices_are_correlated(trials: pd.DataFrame) -> None:
    rows = searched(trials).reset_index(drop=True)
    found = decisions(rows)
    key = next(key for key in found.values if key[1] == "op")
    fused = (found.values[key] == "fused_mbconv").to_numpy(dtype=bool, na_value=False)
    noise = np.random.default_rng(0).normal(0, 0.002, len(rows))
    effects = marginal_effects(decisions(rows.assign(reward=0.5 + 0.03 * fused + noise)))
    own = effects[(effects.stage == key[0]) & (effects.field == "op")].set_index("option")
    gap = own.loc["fused_mbconv", "effect"] - own.loc["mbconv", "effect"]
    assert bool(own["adjusted"].all())
    assert gap == pytest.approx(0.03, abs=0.003)
    others = effects[(effects.stage != key[0]) & (effects.field == "op")]
    assert (others["effect"].abs() < 0.003).all()


def test_choice_frequencies_add_up_to_1_within_each_decision(trials: pd.DataFrame) -> None:
    table = choice_frequencies(decisions(trials))
    sums = table.groupby(["stage", "field"])[["share", "top_share"]].sum()
    assert np.allclose(sums, 1)
    assert (table["top_low"] <= table["top_share"]).all()


def test_effects_of_few_trials_are_plain_means_and_of_no_trials_empty(trials: pd.DataFrame) -> None:
    few = marginal_effects(decisions(trials[:12]))
    assert not few["adjusted"].any()
    assert marginal_effects(decisions(trials[:0])).empty
    assert choice_frequencies(decisions(trials[:0])).empty


# ---------------------------------------------------------------- other exponents


def test_reward_map_has_the_winner_of_every_trade_off(trials: pd.DataFrame) -> None:
    found = candidates(trials)
    grid = reward_map(found, np.array([-0.5, -0.07, 0.0]), np.array([-0.05, 0.0]))
    assert grid.winner.shape == grid.stability.shape == (3, 2)
    assert grid.winner[1, 0] == ranked(trials).iloc[0]["trial_id"]
    most_accurate = searched(trials).nlargest(1, "accuracy").iloc[0]["trial_id"]
    assert grid.winner[2, 1] == most_accurate
    assert (grid.stability > 0).all()
    assert (grid.stability <= 1).all()


def test_winner_changes_at_the_ends_of_its_range_of_exponents(trials: pd.DataFrame) -> None:
    found = candidates(trials)
    reach = winner_range(found, (-0.07, -0.05))
    best = ranked(trials).iloc[0]["trial_id"]

    def winner(w: float) -> int:
        return int(reward_map(found, np.array([w]), np.array([-0.05])).winner[0, 0])

    assert reach.low < -0.07 < reach.high
    for end, step, rival in ((reach.low, -1e-6, reach.below), (reach.high, 1e-6, reach.above)):
        if np.isfinite(end):
            assert winner(end - step) == best
            assert winner(end + step) == rival


# ---------------------------------------------------------------- device-seconds


def test_ledger_of_device_seconds_adds_up_to_the_workers_time(trials: pd.DataFrame) -> None:
    spent, found = ledger(trials), work(trials)
    assert list(spent.columns) == [*ALL_KINDS, "total"]
    assert len(spent) == 4
    assert np.allclose(spent["total"], found["end"].max())
    assert 0.8 < utilisation(trials) < 1
    assert by_purpose(trials)["trials"].sum() == len(trials)


def test_rows_and_frames_agree_on_the_seconds_of_each_kind_of_work() -> None:
    row = {"trial_id": 0, "status": "completed", "build_seconds": 1.0, "timing_seconds": 2.0}
    row |= {"train_seconds": 4.0, "evaluate_seconds": None, "waiting_seconds": 16.0}
    rows = [row, {**row, "status": "cached"}, {**row, "status": "crashed", "train_seconds": 8.0}]
    assert [device_seconds(each) for each in rows] == [7.0, 0.0, 11.0]
    assert seconds_by_work(row) == dict(zip(WORK, (1.0, 2.0, 4.0, 0.0), strict=True))
    assert list(seconds_of_frame(pd.DataFrame(rows))) == [7.0, 0.0, 11.0]


def test_time_between_stop_and_continuation_of_a_search_is_not_idle_time(trials: pd.DataFrame) -> None:
    later = trials["started_at"] > trials["started_at"].median()
    moved = trials.copy()
    for name in ("started_at", "finished_at"):
        moved.loc[later, name] = moved.loc[later, name] + pd.Timedelta(hours=8)
    assert len(pauses(work(moved))) == 1
    assert ledger(moved)["idle"].sum() < ledger(trials)["idle"].sum() + 300
    assert ledger(trials[:0]).empty


# ---------------------------------------------------------------- audits, several runs


def test_audit_that_ranks_as_the_search_did_has_tau_1_and_no_regret(trials: pd.DataFrame) -> None:
    sample = searched(trials).drop_duplicates("architecture_id")[:25]
    longer = sample.assign(purpose="audit", epochs=40, accuracy=sample["accuracy"] * 1.1)
    audit = proxy_audit(trials, longer)
    assert audit is not None
    assert audit.tau.value == audit.recall.value == 1
    assert audit.regret.value == 0
    assert len(audit.pairs) == 25
    assert 0.001 < audit.seed_deviation < 0.01
    shuffled = longer.assign(accuracy=longer["accuracy"].to_numpy()[::-1])
    worse = proxy_audit(trials, shuffled)
    assert worse is not None
    assert worse.tau.low < worse.tau.value < 0.6
    assert proxy_audit(trials, longer[:1]) is None


def test_runs_are_compared_at_equal_budgets_as_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "runs"
    for seed in range(6):
        config = synthetic_config(budget={"trials": 40 + 10 * (seed % 2)}, finalists=None)
        rows = synthetic_rows(config, 40 + 10 * (seed % 2), seed=seed)
        name = "random" if seed % 2 else "evolution"
        (folder / f"{name}-{seed}").mkdir(parents=True)
        shift = 0.2 if name == "random" else 0.0
        for row in rows:
            row |= {"strategy": name, "reward": row["reward"] - shift}
        write_rows(folder / f"{name}-{seed}" / "trials.parquet", rows)
    (example,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "analysis.md").read_text(), re.S)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "analysis.md", "exec"), {})
    assert [line.split()[1:3] for line in capsys.readouterr().out.splitlines()] == [
        ["runs", "mean"],
        ["evolution", "3"],
        ["random", "3"],
    ]
    compared = compare_runs(read_trials("runs/*"))
    assert set(compared["at"]) == {40}
    groups = compare_groups(compared)
    assert list(groups["strategy"]) == ["evolution", "random"]
    assert groups.iloc[1]["lead_high"] < 0
    assert groups.iloc[0]["low"] < groups.iloc[0]["mean"] < groups.iloc[0]["high"]
