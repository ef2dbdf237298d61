"""nas export --optuna: a run's rows as a study; what is there already is never replaced unasked."""

from pathlib import Path

import optuna
import pytest
from conftest import MakeConfig, Nas
from formula import formula_worker

from nas.search.search import search
from trials.executors.simulated import simulated
from trials.log.run_reader import read_run


@pytest.fixture
def run(tmp_path: Path, make_config: MakeConfig) -> Path:
    folder = tmp_path / "runs" / "mine"
    search(make_config(), folder, execute=simulated(workers=2), start=formula_worker, num_classes=10)
    return folder


def test_exported_study_has_a_trial_with_options_reward_and_curve_for_every_row(run: Path, nas: Nas) -> None:
    code, out, err = nas("export", run, "--optuna", "sqlite:///studies.db")
    assert (code, err) == (0, "")
    assert "as the study mine" in out
    study = optuna.load_study(study_name="mine", storage="sqlite:///studies.db")
    rows = read_run(run).trials
    assert len(study.trials) == len(rows)
    for trial in study.trials:
        row = rows[trial.user_attrs["trial_id"]]
        assert trial.value == row["reward"]
        assert trial.user_attrs["accuracy"] == row["accuracy"]
        assert list(trial.intermediate_values.values()) == pytest.approx(row["minival_accuracy"])
        assert len(trial.params) == len(row["choices"])
    assert study.best_value == max(row["reward"] for row in rows.values())
    assert "1. kernel_size" in study.best_params or "2. kernel_size" in study.best_params


def test_optuna_study_is_replaced_only_if_asked(run: Path, nas: Nas) -> None:
    address = "sqlite:///studies.db"
    assert nas("export", run, "--optuna", address)[0] == 0
    code, _, err = nas("export", run, "--optuna", address)
    assert code == 2
    assert "it has a study named mine already" in err
    assert nas("export", run, "--optuna", address, "--force")[0] == 0
    assert len(optuna.get_all_study_names(address)) == 1


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("studies.db", "a database's address is expected"),
        ("sqlite://", "names no file"),
        ("sqlite:///none/studies.db", "there is no folder none"),
        ("nosuch://host/x", "cannot be used"),
        ("sqlite:///text.db", "cannot be used"),
    ],
)
def test_unusable_address_of_a_study_is_refused_and_leaves_nothing(
    run: Path, nas: Nas, tmp_path: Path, address: str, words: str
) -> None:
    (tmp_path / "text.db").write_text("no database, but text" * 100)
    before = sorted(tmp_path.rglob("*"))
    code, _, err = nas("export", run, "--optuna", address)
    assert code == 2
    assert words in err
    assert "Traceback" not in err
    assert sorted(tmp_path.rglob("*")) == before


def test_folder_that_is_no_run_makes_no_optuna_database(nas: Nas, tmp_path: Path) -> None:
    assert nas("export", "nowhere", "--optuna", "sqlite:///studies.db")[0] == 2
    assert list(tmp_path.iterdir()) == []


def test_exporting_one_trial_as_a_study_is_refused(run: Path, nas: Nas) -> None:
    code, _, err = nas("export", run, "--optuna", "sqlite:///studies.db", "--trial", 1)
    assert code == 2
    assert "leave out --trial" in err
