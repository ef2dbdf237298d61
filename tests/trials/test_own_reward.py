"""A reward of the user's own, as docs/api.md shows it: in the process that knows it, and in others."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import MakeConfig, Nas
from formula import formula_worker, with_real_params
from formula_searches import run_search
from places import REPOSITORY
from timed_again import write_timed_again
from tiny_searches import tiny_search

from analysis.frame import read_trials
from analysis.ranking import reranked, rewards
from nas.measuring.retarget import retargeted
from nas.report.facts import changed_terms, read_facts
from nas.report.page import write_report
from nas.search.audit import plan_audit
from nas.search.config import SearchConfig, read_search_config
from nas.search.search import search
from nas.simulation.outcome_model import modelled_run
from nas.strategies.random_search import RandomSearch
from search_spaces.settings.config_error import ConfigError
from trials.executors.simulated import simulated
from trials.log.run_reader import recorded_trials
from trials.reward import REWARDABLE, Reward

TERM = "macs_per_param"
LINE = re.search(rf'^REWARDABLE\["{TERM}"\] = .*$', (REPOSITORY / "docs" / "api.md").read_text(), flags=re.M)
REWARD = {"step_time_ratio": -0.07, TERM: -0.5}
MISSING = rf"{TERM} is not measured.*put into trials\.reward\.REWARDABLE"


def register(patch: pytest.MonkeyPatch) -> None:
    """What docs/api.md says, for as long as the patch lasts."""
    assert LINE is not None
    own: dict[str, object] = {}
    exec(LINE[0], {"REWARDABLE": own})
    patch.setitem(REWARDABLE, TERM, own[TERM])  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of 30 trials by that reward; the process forgets the term afterwards."""
    folder = tmp_path_factory.mktemp("own") / "run"
    config = config_of(tiny_search)
    with pytest.MonkeyPatch.context() as patch:
        register(patch)
        start = with_real_params(formula_worker)
        search(config, folder, execute=simulated(workers=2), start=start, num_classes=10)
    return folder


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process knows the term."""
    register(monkeypatch)


def config_of(make: MakeConfig, **changes: object) -> SearchConfig:
    strategy = {"name": "random_search"}
    return make(**{"reward": REWARD, "budget": {"trials": 30}, "strategy": strategy, **changes})


def expected(trials: pd.DataFrame, exponent: float = -0.5) -> np.ndarray:
    """The reward, written out."""
    term = (trials.macs / trials.reference_macs) / (trials.params / trials.reference_params)
    found = trials.accuracy * trials.step_time_ratio**-0.07 * term.astype(float) ** exponent
    return found.to_numpy(dtype=float)


# ---------------------------------------------------------------------- in a process that knows it


def test_the_term_is_computed_alike_from_results_rows_and_frames(finished: Path, known: None) -> None:
    trials = read_trials(finished)
    np.testing.assert_allclose(trials.reward, expected(trials))
    np.testing.assert_allclose(rewards(trials, REWARD), trials.reward)
    again = [Reward(REWARD).of_row(row) for row in recorded_trials(finished)]
    np.testing.assert_allclose(again, trials.reward)
    np.testing.assert_allclose(rewards(trials, {**REWARD, TERM: -2.0}), expected(trials, -2.0))


def test_a_row_of_the_log_is_rewarded_alike_with_every_shipped_term(finished: Path) -> None:
    trials, terms = read_trials(finished), {"step_time_ratio": -0.3, "params": -0.2, "macs": 0.1}
    rows = [Reward(terms).of_row(row) for row in recorded_trials(finished)]
    np.testing.assert_allclose(rows, reranked(trials, terms).reward)


def test_another_form_of_reward_holds_for_rows_and_frames_too(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Reward, "of", lambda self, accuracy, ratio: min(accuracy, ratio("params")))
    trials, terms = read_trials(finished), {"params": -1.0}
    smaller = np.minimum(trials.accuracy, trials.params / trials.reference_params)
    np.testing.assert_allclose(rewards(trials, terms), smaller.astype(float))
    assert Reward(terms).of_row(recorded_trials(finished)[0]) == pytest.approx(smaller[0])


def test_a_term_may_be_any_function_of_a_row(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REWARDABLE, "large", lambda m: 2.0 if m.params > m.reference_params else 1.0)
    trials = read_trials(finished)
    large = np.where(trials.params > trials.reference_params, 2.0, 1.0)
    np.testing.assert_allclose(rewards(trials, {"large": -1.0}), trials.accuracy / large)
    monkeypatch.setitem(REWARDABLE, "rounds", lambda m: float(m.step_time.rounds))
    with pytest.raises(ValueError, match=r"trial \d+: rounds cannot be computed .*rows do not keep rounds"):
        rewards(trials, {"rounds": -1.0})


def test_report_reranking_and_simulation_compute_an_own_reward(finished: Path, known: None, nas: Nas) -> None:
    facts = read_facts(finished)
    trials = facts.trials[facts.trials.status == "completed"]
    assert facts.winner is not None
    assert facts.winner.trial_id == trials.trial_id.iloc[expected(trials).argmax()]
    other = read_facts(finished, terms=changed_terms([f"{TERM}=2"], recorded=REWARD))
    assert other.winner is not None
    assert other.winner.trial_id == trials.trial_id.iloc[expected(trials, 2.0).argmax()]
    code, out, err = nas("report", finished, "--reward", "step_time_ratio=-0.15", "-o", "other.html")
    assert (code, out.strip()) == (0, "other.html"), err
    assert nas("simulate", finished, "--seeds", 2, "--trials", 15)[0] == 0
    known_outcomes = modelled_run(finished).known
    choices = tuple(recorded_trials(finished)[0]["choices"])
    outcome, counted = known_outcomes.outcome(choices, 0, 0), known_outcomes.space.known(choices)
    term = counted["macs"] / counted["params"]
    assert outcome.reward == pytest.approx(outcome.accuracy * outcome.step_time_ratio**-0.07 * term**-0.5)


def test_a_simulation_refuses_a_term_of_what_is_not_modelled(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(REWARDABLE, "memory", lambda m: m.peak_memory_bytes / 1e9)
    with pytest.raises(
        ConfigError, match=r"run: the models .*: memory cannot be computed.*peak_memory_bytes"
    ):
        modelled_run(finished, terms={"memory": -0.1})


def test_a_strategy_is_told_the_own_rewards_of_a_warm_start(
    finished: Path, known: None, make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []
    monkeypatch.setattr(RandomSearch, "told", lambda self, ask, outcome: told.append(outcome.reward))
    config = config_of(make_config, warm_start=str(finished), baseline=0, budget={"trials": 3})
    assert len(run_search(config, tmp_path / "run").rows) == 3
    earlier = expected(read_trials(finished))
    assert len(told) == len(earlier) + 3
    assert sorted(told[: len(earlier)]) == pytest.approx(sorted(earlier))


# ---------------------------------------------------------------------- in a process that does not


def test_status_in_a_process_without_the_own_term_shows_recorded_rewards(finished: Path, nas: Nas) -> None:
    code, out, err = nas("status", finished, "--json")
    assert code == 0, err
    figures = json.loads(out)
    assert figures["state"] == "finished"
    assert figures["best"]["reward"] == max(row["reward"] for row in recorded_trials(finished))


def test_report_and_export_use_what_was_recorded(finished: Path, nas: Nas) -> None:
    best = max(recorded_trials(finished), key=lambda row: row["reward"])
    facts = read_facts(finished)
    assert facts.winner is not None
    assert facts.winner.trial_id == best["trial_id"]
    assert "macs_per_param" in write_report(finished).read_text()
    code, out, err = nas("export", finished)
    assert code == 0, err
    assert f"trial_id: {best['trial_id']}" in out


def test_commands_that_have_to_compute_an_unknown_term_name_it(
    finished: Path, nas: Nas, make_config: MakeConfig, tmp_path: Path
) -> None:
    for words in (
        ("report", finished, "--reward", "step_time_ratio=-0.15"),
        ("simulate", finished, "--seeds", 2),
        ("search", finished / "search.yaml", "--run", finished),
        ("audit", finished, "--epochs", 8),
    ):
        code, out, err = nas(*words)
        told = " ".join(err.split())
        assert code == 2, out + err
        assert re.search(MISSING, told), told
        assert "Traceback" not in told
    assert "leave it out: --reward macs_per_param=0" in " ".join(
        nas("report", finished, "--reward", "params=-1")[2].split()
    )
    with pytest.raises(ConfigError, match=MISSING):
        run_search(config_of(make_config), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_report_without_the_missing_term_and_one_of_accuracy_alone_are_written(
    finished: Path, nas: Nas
) -> None:
    code, out, err = nas("report", finished, "--reward", f"{TERM}=0", "-o", "without.html")
    assert (code, out.strip()) == (0, "without.html"), err
    assert nas("report", finished, "--reward", "none", "-o", "accuracy.html")[0] == 0
    facts = read_facts(finished, terms=changed_terms(["none"], recorded=REWARD))
    assert facts.changed == "reward accuracy"
    code, _, err = nas("report", finished, "--reward", "macs_per_parm=0")
    assert (code, "macs_per_parm is not measured" in err) == (2, True)


def test_a_warm_start_by_other_terms_needs_no_unknown_one(
    finished: Path, make_config: MakeConfig, tmp_path: Path
) -> None:
    config = config_of(
        make_config, warm_start=str(finished), baseline=0, budget={"trials": 3}, reward={"params": -0.05}
    )
    assert len(run_search(config, tmp_path / "run").rows) == 3


def test_step_times_of_another_device_need_the_term(finished: Path, tmp_path: Path) -> None:
    row = pq.read_table(finished / "trials.parquet").to_pylist()[0]
    write_timed_again(finished, {row["trial_id"]: 0.5}, [row], device_name="other")
    with pytest.raises(ConfigError, match=MISSING):
        retargeted(finished, "other")
    with pytest.MonkeyPatch.context() as patch:
        register(patch)
        (trial,) = retargeted(finished, "other")
        assert trial.reward == pytest.approx(row["reward"] * (0.5 / row["step_time_ratio"]) ** -0.07)


def test_a_search_file_names_the_file_and_the_term(tmp_path: Path, finished: Path) -> None:
    with pytest.raises(ConfigError, match=rf"^search\.yaml: reward\.{TERM}: {MISSING}"):
        read_search_config(finished / "search.yaml")
    with pytest.raises(ConfigError, match=MISSING):
        plan_audit(finished, trials=3, epochs=8)
