"""Longer trainings of a sample: who is chosen, what is recorded, how it goes on after a stop."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeConfig
from formula import formula_worker
from screens import screen_text

from analysis.frame import read_trials
from nas.report.facts import read_facts
from nas.report.page import page
from nas.results.audit import AuditFigures, audit_figures
from nas.results.status import run_status
from nas.results.verify import verify_run
from nas.screens.audit import audit_screen
from nas.search.audit import AuditTrained, audit, plan_audit, stratified
from nas.search.search import search
from search_spaces.settings.config_error import ConfigError
from trials.executors.in_process import in_process
from trials.trial import EpochResult, Event, RunTrial, Slot, Trial, TrialResult


def searched(config: Any, folder: Path) -> Path:
    search(config, folder, execute=in_process(device="cpu"), start=formula_worker)
    return folder


def audited(run: Path, *, trials: int = 5, epochs: int = 8, start: Any = formula_worker) -> Any:
    plan = plan_audit(run, trials=trials, epochs=epochs)
    return audit(plan, execute=in_process(device="cpu"), start=start)


def interrupted_in_the_third(slot: Slot) -> RunTrial:
    """A worker that is interrupted once the third training has an epoch."""
    inner = formula_worker(slot)

    def run_trial(trial: Trial) -> Iterator[Event]:
        for event in inner(trial):
            yield event
            if trial.trial_id == 2 and isinstance(event, EpochResult):
                raise KeyboardInterrupt

    return run_trial


def test_audit_sample_spans_all_rewards_and_holds_the_best() -> None:
    rows = [{"reward": i / 100, "trial_id": i} for i in range(100)]
    sample = stratified(rows, 10, seed=0)
    rewards = [row["reward"] for row in sample]
    assert rewards[0] == 0.99
    assert rewards == sorted(rewards, reverse=True)
    assert all(0.9 - 0.1 * i <= rewards[i] < 1.0 - 0.1 * i + 1e-9 for i in range(10))
    assert stratified(rows, 10, seed=0) == sample
    assert stratified(rows, 10, seed=1) != sample
    assert len(stratified(rows, 200, seed=0)) == 100


def test_audits_are_longer_trainings_apart_from_the_run(make_config: MakeConfig, tmp_path: Path) -> None:
    run = searched(make_config(), tmp_path / "run")
    before = (run / "trials.parquet").read_bytes()
    found = audited(run)
    assert (run / "trials.parquet").read_bytes() == before
    rows = read_trials(run / "audit")
    assert set(rows["purpose"]) == {"audit"}
    assert set(rows["epochs"]) == {8}
    assert rows["architecture_id"].nunique() == len(rows) == len(found.pairs) == 5
    trials = read_trials(run).set_index("architecture_id")
    short = trials.loc[rows["architecture_id"]]
    assert list(rows["step_time_ratio"]) == list(short["step_time_ratio"])  # not measured again
    assert not set(rows["seed"]) & set(trials["seed"])
    assert "were trained again for 8 epochs" in page(read_facts(run))
    assert run_status(run / "audit").status == {"completed": 5}


def test_an_audit_is_verified_with_its_run(make_config: MakeConfig, tmp_path: Path) -> None:
    run = searched(make_config(), tmp_path / "run")
    audited(run)
    assert verify_run(run).is_whole
    text = (run / "audit" / "search.yaml").read_text()
    (run / "audit" / "search.yaml").write_text(text.replace("epochs: 8", "epochs: 9", 1))
    (fault,) = verify_run(run).faults
    assert (fault.invariant, fault.says[:12]) == ("identity", "audit: searc")
    assert verify_run(run, repair=True).is_whole
    assert (run / "audit" / "search.yaml").read_text() == text


def test_stopped_audit_goes_on_and_a_larger_one_only_adds_trainings(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    run = searched(make_config(), tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        audited(run, start=interrupted_in_the_third)
    plan = plan_audit(run, trials=5, epochs=8)
    assert (plan.recorded, plan.in_flight, len(plan.sample)) == (3, 1, 2)
    audited(run)
    audited(run, trials=7)
    rows = read_trials(run / "audit")
    assert rows["architecture_id"].nunique() == len(rows) == 7
    assert sorted(rows["trial_id"]) == list(range(7))
    assert len(plan_audit(run, trials=7, epochs=8).sample) == 0


def test_an_audit_that_is_killed_twice_goes_on_with_its_third_attempt(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    run = searched(make_config(), tmp_path / "run")
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            audited(run, start=interrupted_in_the_third)
    audited(run)
    assert read_trials(run / "audit").set_index("trial_id")["attempts"].to_dict() == {
        0: 1, 1: 1, 2: 3, 3: 1, 4: 1,
    }  # fmt: skip


def test_audit_repeats_the_training_of_a_lost_worker_and_records_a_crash(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    run = searched(make_config(), tmp_path / "run")

    def losing(slot: Slot) -> RunTrial:
        inner = formula_worker(slot)

        def run_trial(trial: Trial) -> Iterator[Event]:
            if trial.trial_id == 1 and trial.attempt == 1:
                yield TrialResult(trial=trial, status="crashed", failure_kind="worker_lost", error="gone")
            elif trial.trial_id == 3:
                yield TrialResult(trial=trial, status="crashed", failure_kind="bug", error="a fault")
            else:
                yield from inner(trial)

        return run_trial

    events: list[Any] = []
    plan = plan_audit(run, trials=5, epochs=8)
    found = audit(plan, execute=in_process(device="cpu"), start=losing, on_event=events.append)
    rows = read_trials(run / "audit").set_index("trial_id")
    assert rows.loc[1, "attempts"] == 2
    assert rows.loc[3, "status"] == "crashed"
    assert found is not None
    assert len(found.pairs) == 4
    assert sum(isinstance(item, AuditTrained) for item in events) == 5


def test_impossible_audits_are_refused_and_leave_nothing_behind(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    run = searched(make_config(), tmp_path / "run")
    with pytest.raises(ConfigError, match="--epochs 2: this run's trials have 2"):
        plan_audit(run, trials=5, epochs=2)
    with pytest.raises(ConfigError, match="nowhere: there is no such folder"):
        plan_audit(tmp_path / "nowhere", trials=5, epochs=8)

    def no_workers(start: object, trials: object) -> Iterator[Event]:
        raise OSError("no workers")
        yield

    plan = plan_audit(run, trials=5, epochs=8)
    with pytest.raises(OSError, match="no workers"):
        audit(plan, execute=no_workers, start=formula_worker)
    assert not (run / "audit").exists()
    audited(run)
    with pytest.raises(ConfigError, match="holds trainings of 8 epochs"):
        plan_audit(run, trials=5, epochs=9)


def test_audit_screen_fits_80_columns_and_has_the_interval_of_tau(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    run = searched(make_config(), tmp_path / "run")
    figures = audit_figures(Path("runs/flowers"), audited(run, trials=8))
    assert isinstance(figures, AuditFigures)
    assert figures.architectures == 8
    assert figures.tau is not None
    assert figures.tau_interval is not None
    low, high = figures.tau_interval
    assert -1 <= low <= figures.tau <= high <= 1
    lines = screen_text(audit_screen(figures)).splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert "Kendall's tau" in lines[1]
    assert "nothing to compare" in screen_text(audit_screen(audit_figures(Path("r"), None)))
