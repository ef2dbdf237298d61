"""Longer trainings of finalists are apart: no frame, picture, model or export compares them with trials."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from conftest import MakeConfig
from formula import with_real_params
from formula_searches import run_search
from long_trainings import LONG_FLOOR, TWICE, turned_round
from matplotlib.figure import Figure

from analysis.finalists import finalists, standings
from analysis.frame import read_trials
from analysis.ledger import by_purpose
from analysis.pareto import pareto_front
from analysis.plots import draw_finalists, draw_front, draw_progress
from analysis.progress import progress, random_band
from analysis.ranking import ranked, searched
from analysis.reward_map import candidates, seed_deviation
from analysis.rungs import rung_sentences
from analysis.trial_rules import spent
from nas.report.facts import read_facts
from nas.report.front import front_section
from nas.results.optuna_export import export_study
from nas.results.status import run_status
from nas.results.time_left import Remaining, seconds_left
from nas.search.config import Budget
from nas.search.loggers import Loggers
from nas.simulation.outcome_model import modelled_run
from trials.log.file_names import WARM_START_FILE as FILE
from trials.log.run_reader import recorded_trials


@pytest.fixture
def run(make_config: MakeConfig, tmp_path: Path) -> Path:
    """Thirteen trials below LONG_FLOOR and six longer trainings above it."""
    config = make_config(finalists=TWICE, budget={"trials": 13})
    run_search(config, tmp_path / "run", with_real_params(turned_round))
    trials = read_trials(tmp_path / "run")
    assert (trials[trials.purpose == "finalist"].accuracy > LONG_FLOOR).sum() == 6
    assert (trials[trials.purpose != "finalist"].accuracy < LONG_FLOOR).all()
    return tmp_path / "run"


def test_rows_that_are_ranked_or_drawn_hold_no_longer_training(run: Path) -> None:
    trials = read_trials(run)
    for rows in (searched(trials), ranked(trials)):
        assert set(rows.epochs) == {2}
    assert progress(trials)["best"].max() < LONG_FLOOR
    assert len(progress(trials)) == 13
    assert random_band(trials)["high"].max() < LONG_FLOOR
    assert {row["purpose"] for row in pareto_front(recorded_trials(run))} <= {"search", "baseline"}
    assert np.exp(candidates(trials).log_accuracy).max() < LONG_FLOOR
    assert rung_sentences(recorded_trials(run)) == []
    for draw in (draw_front, draw_progress):
        axes = Figure().add_subplot()
        draw(axes, trials)
        tops = [points.get_offsets()[:, 1].max() for points in axes.collections if len(points.get_offsets())]
        assert max(map(float, tops)) < LONG_FLOOR


def test_longer_trainings_have_a_deviation_and_a_cost_of_their_own(run: Path) -> None:
    trials = read_trials(run)
    assert seed_deviation(trials) == 0
    own = trials[trials.purpose == "finalist"]
    spread = own.groupby("architecture_id").accuracy.var().mean() ** 0.5
    assert seed_deviation(trials, purpose="finalist") == pytest.approx(spread)
    costs = by_purpose(trials)
    assert costs[costs.purpose == "finalist"].trials.tolist() == [6]
    rows = {row["trial_id"]: row for row in recorded_trials(run)}
    assert spent(rows.values(), "epochs", rows) == 26
    assert run_status(run).budget.spent == 13


def test_picture_of_longer_finalists_shows_no_trial_that_selected_them(run: Path) -> None:
    found = standings(finalists(recorded_trials(run)))
    assert {(s.finalist.epochs, s.finalist.selected_epochs, s.finalist.is_longer) for s in found} == {
        (6, 2, True)
    }
    axes = Figure().add_subplot()
    draw_finalists(axes, found)
    assert axes.get_legend_handles_labels()[1] == ["mean after 6 epochs"]
    section = str(front_section(read_facts(run)))
    assert "The winner is where its trial is" in section
    assert not any(f"{reward:.4f}" in section for s in found for reward in s.finalist.rewards)


def test_simulation_and_warm_start_learn_from_trials_alone(
    make_config: MakeConfig, run: Path, tmp_path: Path
) -> None:
    modelled = modelled_run(run)
    assert (modelled.rows, modelled.counted) == (13, 13)
    config = make_config(
        warm_start=str(run), baseline=0, seed=5, strategy={"name": "predictor", "initial": 4}
    )
    result = run_search(config, tmp_path / "warm", turned_round)
    assert (tmp_path / "warm" / FILE).is_file()
    assert result.best is not None
    assert result.best["accuracy"] < LONG_FLOOR


def test_a_study_holds_no_longer_training(run: Path) -> None:
    address = f"sqlite:///{run.parent}/studies.db"
    name, count = export_study(run, storage=address, force=False)
    study = optuna.load_study(study_name=name, storage=address)
    assert count == len(study.trials) == sum(row["purpose"] != "finalist" for row in recorded_trials(run))
    assert study.best_trial.user_attrs["accuracy"] < LONG_FLOOR


def test_loggers_get_longer_trainings_under_names_of_their_own(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    with Loggers([], tmp_path / "run", {}) as loggers:
        monkeypatch.setattr(loggers, "_log", lambda scalars, step, axis: told.append(scalars))
        run_search(make_config(finalists=TWICE), tmp_path / "run", turned_round, on_event=loggers.show)
    assert max(values["accuracy"] for values in told if "accuracy" in values) < LONG_FLOOR
    assert len([values for values in told if values.get("finalist_accuracy", 0) > LONG_FLOOR]) == 6
    assert max(values["best_reward"] for values in told) < LONG_FLOOR


START = datetime(2026, 1, 1, tzinfo=UTC)


def test_time_left_counts_the_epochs_of_longer_trainings() -> None:
    """One worker: trials of 2 epochs every 10 s, then trainings of 6 epochs every 30 s."""
    kinds = [("search", 2, 10)] * 5 + [("finalist", 6, 30)] * 2
    ends = np.cumsum([seconds for *_, seconds in kinds]).tolist()
    rows: list[Any] = [
        {
            "status": "completed",
            "purpose": purpose,
            "epochs": epochs,
            "finished_at": START + timedelta(seconds=end),
        }
        for (purpose, epochs, _), end in zip(kinds, ends, strict=True)
    ]

    def left(known: int, to_come: int, waited: float = 0.0) -> float | None:
        return seconds_left(
            Budget(trials=5), rows[:known], Remaining(0.0, repeats=to_come, repeat_epochs=6),
            by_id={}, started=START, at_once=1, now=START + timedelta(seconds=ends[known - 1] + waited),
        )  # fmt: skip

    assert left(5, 4) == pytest.approx(4 * 30)
    assert left(5, 4, waited=25) == pytest.approx(4 * 30 - 25)  # longer than a trial takes
    assert left(7, 2) == pytest.approx(2 * 30)
