"""Searches that reward balanced accuracy: everything downstream follows it, and accuracy stays beside it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeConfig, Nas
from formula import formula_worker, with_real_params
from formula_searches import identity, run_search
from halving_searches import halving_config, learning_worker
from screens import screen_text
from small_trials import make_trial
from tiny_searches import tiny_search

from analysis.finalists import finalists, standings
from analysis.frame import objective_values, read_trials
from analysis.headline import headline
from analysis.pareto import pareto_front
from analysis.progress import front_points
from analysis.proxy_audit import proxy_audit
from analysis.ranking import rewards, searched
from analysis.reward_map import seed_deviation
from analysis.rungs import rung_agreement
from nas.report.facts import read_facts
from nas.report.page import page
from nas.results.optuna_export import frozen_trials
from nas.results.status import run_status
from nas.results.summary import search_summary
from nas.screens.audit import audit_line
from nas.screens.status import status_screen
from nas.screens.summary import summary_screen
from nas.search.audit import AuditTrained, audit, plan_audit
from nas.search.search import SearchResult, search
from nas.simulation.outcome_model import modelled_run
from search_spaces.settings.config_error import ConfigError
from trials.executors.in_process import in_process
from trials.executors.simulated import simulated
from trials.log.rows import outcome_of
from trials.measurement import Measurement
from trials.reward import too_low_at_best
from trials.trial import EpochResult, Event, RunTrial, Slot, StartWorker, StopBelow, Trial, TrialResult

BALANCED = "balanced_accuracy"
STRATEGIES: dict[str, Any] = {
    "evolution": {"name": "evolution", "population": 4, "tournament": 2},
    "predictor": {"name": "predictor", "initial": 4},
    "policy_gradient": "policy_gradient",
    "nsga2": {"name": "nsga2", "population": 4},
}


def as_balanced(start: StartWorker) -> StartWorker:
    """A worker whose balanced accuracy is the other's accuracy; its own accuracy is always 0.5."""

    def epoch(event: EpochResult) -> EpochResult:
        return replace(event, minival_balanced_accuracy=event.minival_accuracy, minival_accuracy=0.5)

    def start_worker(slot: Slot) -> RunTrial:
        inner = start(slot)

        def run_trial(trial: Trial) -> Iterator[Event]:
            for event in inner(trial):
                if isinstance(event, EpochResult):
                    yield epoch(event)
                elif isinstance(event, TrialResult) and event.measurement is not None:
                    measured = replace(
                        event.measurement,
                        balanced_accuracy=event.measurement.accuracy,
                        accuracy=0.5,
                        objective=trial.objective,
                    )
                    yield replace(event, measurement=measured, epochs=tuple(map(epoch, event.epochs)))
                else:
                    yield event

        return run_trial

    return start_worker


@pytest.fixture(scope="module")
def balanced(tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    """A search by balanced accuracy, with repeats of finalists."""
    config = tiny_search(
        objective=BALANCED, budget={"trials": 20}, finalists={"count": 2, "repeats": 2}, baseline=5
    )
    return run_search(config, tmp_path_factory.mktemp("objective") / "run", as_balanced(formula_worker))


@pytest.mark.parametrize("name", STRATEGIES)
def test_search_by_balanced_accuracy_is_that_by_accuracy_of_the_same_values(
    make_config: MakeConfig, tmp_path: Path, name: str
) -> None:
    changes = {"strategy": STRATEGIES[name], "baseline": 2, "budget": {"trials": 14}}
    expected = run_search(make_config(**changes), tmp_path / "plain")
    config = make_config(**changes, objective=BALANCED)
    found = run_search(config, tmp_path / "balanced", as_balanced(formula_worker))
    assert identity(found) == identity(expected)
    assert {row["accuracy"] for row in found.rows if row["status"] == "completed"} == {0.5}


def test_halving_promotes_by_the_curves_of_the_objective(make_config: MakeConfig, tmp_path: Path) -> None:
    expected = run_search(halving_config(make_config), tmp_path / "plain", learning_worker)
    config = halving_config(make_config, objective=BALANCED)
    found = run_search(config, tmp_path / "balanced", as_balanced(learning_worker))
    assert identity(found) == identity(expected)
    assert rung_agreement(found.rows) == rung_agreement(expected.rows)


def test_rows_name_the_objective_and_keep_both_accuracies(balanced: SearchResult) -> None:
    for row in balanced.rows:
        assert row["objective"] == BALANCED
        if row["status"] == "completed":
            costs = row["reward"] / row["balanced_accuracy"]
            plain = row["step_time_ratio"] ** -0.07 * (row["params"] / row["reference_params"]) ** -0.05
            assert costs == pytest.approx(plain)
            outcome = outcome_of(row)
            assert outcome is not None
            assert outcome.accuracy == row["balanced_accuracy"]
            assert outcome.curve == tuple(row["minival_balanced_accuracy"])
            assert row["minival_accuracy"] == [0.5] * row["epochs"]


def test_winner_front_and_finalists_follow_the_objective(balanced: SearchResult) -> None:
    front = pareto_front(balanced.rows)
    values = [row["balanced_accuracy"] for row in front]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == len(values) > 1  # by accuracy, which is 0.5 of all, it would be the smallest
    standing = standings(finalists(balanced.rows))[0]
    assert balanced.best is not None
    found = headline(balanced.best, standing)
    assert (found.objective, found.accuracy, found.accuracy_interval) == (BALANCED, 0.5, None)
    assert found.objective_value == pytest.approx(np.mean(standing.finalist.objective_values))
    assert found.objective_interval is not None
    low, high = found.objective_interval
    assert low < found.objective_value < high
    assert "balanced accuracy" in found.intervals


def test_frames_compute_the_recorded_rewards_and_fronts_from_the_objective(balanced: SearchResult) -> None:
    trials = read_trials(balanced.folder)
    completed = searched(trials)
    assert (objective_values(completed) == completed["balanced_accuracy"]).all()
    again = rewards(completed, {"step_time_ratio": -0.07, "params": -0.05})
    assert again.to_numpy() == pytest.approx(completed["reward"].to_numpy())
    assert (front_points(completed)[:, 0] == completed["balanced_accuracy"]).all()
    assert seed_deviation(trials) > 0  # of accuracies, which are all 0.5, it would be 0


def test_rows_of_older_versions_have_accuracy_as_their_objective(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    trials = read_trials(run_search(make_config(), tmp_path / "run").folder)
    older = trials.drop(columns=["objective", BALANCED])
    for frame in (trials, older, trials.assign(objective=None)):
        found = objective_values(frame)
        assert np.array_equal(
            found, trials["accuracy"].to_numpy(dtype=float, na_value=np.nan), equal_nan=True
        )


def test_screens_files_and_report_name_the_objective_and_the_accuracy(balanced: SearchResult) -> None:
    summary = search_summary(balanced)
    figures = f"balanced accuracy {summary.objective_value:.4f} (accuracy 0.5000)"
    assert (summary.objective, summary.accuracy) == (BALANCED, 0.5)
    ended = screen_text(summary_screen(balanced, summary))
    value = f"balanced accuracy {summary.objective_value:.4f}"
    assert f"{value} (minival)\n            accuracy 0.5000\n" in ended
    header = next(line.rstrip() for line in ended.splitlines() if "mean reward" in line)
    assert header.endswith("balanced accuracy")
    state = run_status(balanced.folder)
    assert state.best is not None
    assert state.best.objective_value == summary.objective_value
    shown = screen_text(status_screen(state))
    assert value in shown
    assert "\n     accuracy 0.5000   " in shown
    assert max(map(len, [*ended.splitlines(), *shown.splitlines()][:6])) <= 80
    best = (balanced.folder / "best.yaml").read_text()
    assert figures in best
    for line in ("objective: balanced_accuracy", "balanced_accuracy_interval:", "repeated_objective_values:"):
        assert line in best
    html = page(read_facts(balanced.folder))
    assert "balanced accuracy × step time" in html
    assert "Balanced accuracy against training step time." in html
    assert "balanced accuracy on minival (0-1)" in html


def test_optuna_study_has_the_curves_of_the_objective(
    balanced: SearchResult, make_config: MakeConfig
) -> None:
    rows = [row for row in balanced.rows if row["status"] == "completed"]
    for row, trial in zip(rows, frozen_trials(rows, make_config().space), strict=True):
        assert list(trial.intermediate_values.values()) == row["minival_balanced_accuracy"]
        assert trial.user_attrs["objective"] == BALANCED


def test_model_of_a_run_is_of_its_objective(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(objective=BALANCED, budget={"trials": 24}, strategy="random_search")
    start = as_balanced(with_real_params(formula_worker))
    search(config, tmp_path / "run", execute=simulated(workers=1), start=start, num_classes=10)
    modelled = modelled_run(tmp_path / "run")
    assert modelled.tau["accuracy"] > 0.3  # of accuracies, which are all 0.5, nothing could be predicted
    assert modelled.noise > 0


def test_audit_compares_rankings_by_the_objective(balanced: SearchResult, tmp_path: Path) -> None:
    lines: list[str] = []

    def tell(event: object) -> None:
        if isinstance(event, AuditTrained):
            lines.append(audit_line(event))

    plan = plan_audit(balanced.folder, trials=4, epochs=8)
    execute, start = in_process(device="cpu"), as_balanced(formula_worker)
    found = audit(plan, execute=execute, start=start, on_event=tell)
    assert found is not None
    assert len(lines) == len(found.pairs) == 4
    assert all("balanced accuracy" in line for line in lines)
    assert (found.pairs["short_objective"] != 0.5).all()
    again = proxy_audit(read_trials(balanced.folder), read_trials(balanced.folder / "audit"))
    assert again is not None
    assert (again.pairs["long_objective"] != 0.5).all()


def test_bound_is_the_highest_objective_that_a_trial_may_reach(balanced: SearchResult) -> None:
    row = balanced.rows[0]
    assert row["status"] == "completed"
    found: list[Measurement] = []
    for event in as_balanced(formula_worker)(Slot(index=0))(trial_of(row)):
        if isinstance(event, TrialResult):
            assert event.measurement is not None
            found.append(event.measurement)
    stop = StopBelow(reward=0.99, max_accuracy=0.9, terms={"step_time_ratio": -0.5})
    best = too_low_at_best(stop, found[0])
    assert best is not None
    assert (best.balanced_accuracy, best.accuracy, best.objective_value) == (0.9, 0.5, 0.9)


def trial_of(row: Any) -> Trial:
    """A trial of the row's choices, by balanced accuracy."""
    return replace(make_trial(), choices=tuple(row["choices"]), objective=BALANCED)


def test_run_of_another_objective_is_neither_continued_nor_learned_from(
    balanced: SearchResult, make_config: MakeConfig, tmp_path: Path
) -> None:
    said = "objective: the run has 'balanced_accuracy', now 'accuracy'"
    other = make_config(budget={"trials": 30}, finalists={"count": 2, "repeats": 2}, baseline=5)
    with pytest.raises(ConfigError, match=f"made with another configuration(.|\n)*{said}"):
        run_search(other, balanced.folder)
    with pytest.raises(ConfigError, match=f"warm_start.*other conditions(.|\n)*{said}"):
        run_search(make_config(warm_start=str(balanced.folder)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_search_command_shows_the_objective(nas: Nas, digits_search_file: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    code, out, err = nas(
        "search", digits_search_file, "--set", f"objective={BALANCED}", "--set", "budget.trials=2",
        "--in-process", "--run", run,
    )  # fmt: skip
    assert code == 0, err
    assert "baseline balanced 0." in out.replace("  ", " ")
    figures = json.loads(nas("status", run, "--json")[1])
    assert figures["best"]["objective"] == BALANCED
    assert figures["best"]["objective_value"] != figures["best"]["accuracy"]
    code, _, err = nas("search", digits_search_file, "--set", "objective=recall", "--run", tmp_path / "other")
    assert code == 2
    assert "objective" in err
    assert "balanced_accuracy" in err
    assert not (tmp_path / "other").exists()
