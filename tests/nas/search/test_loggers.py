"""TensorBoard, MLflow and W&B get each trial and each epoch once; without --log nothing is loaded."""

import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from conftest import MakeConfig
from formula import formula_worker

from nas.events import Begun, EpochDone, EpochMetrics, RowWritten
from nas.search.loggers import EPOCH_SCALARS, LONGEST_VALUE, MOST_AT_ONCE, Loggers, settings_of
from nas.search.search import search
from search_spaces.settings.config_error import ConfigError
from trials.executors.in_process import in_process


class Artifact:
    """As much of W&B's as is used."""

    def __init__(self, name: str, type: str) -> None:
        self.name, self.type, self.files = name, type, list[str]()

    def add_file(self, path: str) -> None:
        self.files.append(path)


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """As much of mlflow and wandb as is used; what they were told."""
    told: dict[str, list[Any]] = {"mlflow": [], "wandb": [], "ended": [], "files": [], "settings": []}
    mlflow = ModuleType("mlflow")
    vars(mlflow).update(
        set_experiment=lambda name: None,
        start_run=lambda run_name: None,
        log_params=lambda values: told["settings"].append(values),
        log_artifact=lambda path: told["files"].append(("mlflow", path)),
        log_metrics=lambda values, step: told["mlflow"].append((step, values)),
        end_run=lambda: told["ended"].append("mlflow"),
    )
    wandb = ModuleType("wandb")
    run = SimpleNamespace(
        define_metric=lambda name, **options: told["settings"].append((name, options)),
        log=lambda values: told["wandb"].append(values),
        log_artifact=lambda artifact: told["files"].append(("wandb", artifact)),
        finish=lambda: told["ended"].append("wandb"),
    )
    vars(wandb).update(init=lambda **options: run, Artifact=Artifact)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    return told


def test_every_trial_is_logged_once_to_each_service(
    make_config: MakeConfig, tmp_path: Path, services: dict[str, list[Any]]
) -> None:
    names = ["tensorboard", "mlflow", "wandb"]
    settings = {"strategy": {"name": "evolution"}, "seed": 3}
    with Loggers(names, tmp_path / "run", settings) as loggers:
        result = search(
            make_config(),
            tmp_path / "run",
            execute=in_process(device="cpu"),
            start=formula_worker,
            on_event=loggers.show,
        )
    assert {"strategy.name": "evolution", "seed": "3"} in services["settings"]
    assert ("*", {"step_metric": "trial_id"}) in services["settings"]
    assert [{**values, "trial_id": step} for step, values in services["mlflow"]] == services["wandb"]
    rows = sorted(result.rows, key=lambda row: row["tell_seq"])
    assert [step for step, _ in services["mlflow"]] == [row["trial_id"] for row in rows]
    assert [values["reward"] for values in services["wandb"]] == [row["reward"] for row in rows]
    best = [values["best_reward"] for values in services["wandb"]]
    assert best == sorted(best)
    assert best[-1] == max(row["reward"] for row in rows)
    assert sorted(services["ended"]) == ["mlflow", "wandb"]
    (events,) = (tmp_path / "run" / "tensorboard").iterdir()
    written = events.read_bytes()
    assert written.count(b"step_time_ratio") == len(rows)
    for tag in (b"experiment", b"session_start_info", b"session_end_info"):
        assert written.count(b"_hparams_/" + tag) == 1
    assert b"strategy.name" in written


def row(trial_id: int, **changes: Any) -> dict[str, Any]:
    values = {"status": "completed", "purpose": "search", "reward": 0.5, "epochs": 3, "tell_seq": trial_id}
    return {"trial_id": trial_id, **values, **changes}


def test_logged_best_reward_goes_on_in_a_continued_run_and_skips_repeats(
    tmp_path: Path, services: dict[str, list[Any]]
) -> None:
    with Loggers(["wandb"], tmp_path / "run", {}) as loggers:
        loggers.show(Begun([row(0, reward=0.7), row(1, reward=0.6)], in_flight=0))
        assert services["wandb"] == []
        for changes in (
            {"reward": 0.4},
            {"reward": 0.0, "status": "infeasible", "epochs": 9},
            {"reward": 0.9, "purpose": "repeat"},
            {"reward": 0.8},
        ):
            loggers.show(RowWritten(row(2, **changes)))
    assert [values["best_reward"] for values in services["wandb"]] == [0.7, 0.7, 0.7, 0.8]


def test_epochs_of_a_training_are_logged_without_numbers_that_are_none(
    tmp_path: Path, services: dict[str, list[Any]]
) -> None:
    values = dict.fromkeys((field.name for field in fields(EpochMetrics)), 0.5)
    metrics = EpochMetrics(**{**values, "epoch": 3, "train_loss": float("nan")})
    with Loggers(["wandb"], tmp_path, {}) as loggers:
        loggers.show(EpochDone(metrics))
    (logged,) = services["wandb"]
    assert logged["epoch"] == 3
    assert set(logged) == set(EPOCH_SCALARS) - {"train_loss"} | {"epoch"}


def test_files_of_the_run_are_attached_to_every_service_and_a_failure_is_said(
    tmp_path: Path, services: dict[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "a run"
    run.mkdir()
    best, report = run / "best.yaml", run / "report.html"
    with Loggers(["tensorboard", "mlflow", "wandb"], run, {}) as loggers:
        assert loggers.attach(best) == []  # nothing was logged, so that no service has begun
        loggers.show(RowWritten(row(0)))
        best.write_text("stem_channels: 16\n")
        assert loggers.attach(best, report) == []
        assert services["files"][0] == ("mlflow", str(best))
        ((_, artifact),) = services["files"][1:]
        assert (artifact.name, artifact.type, artifact.files) == ("a-run-best.yaml", "best", [str(best)])

        def refused(path: str) -> None:
            raise OSError("no room\nat all")

        monkeypatch.setattr(sys.modules["mlflow"], "log_artifact", refused)
        assert loggers.attach(best) == ["--log mlflow: best.yaml was not attached (no room)"]
    assert len(services["files"]) == 3  # the others have got it
    (events,) = (run / "tensorboard").iterdir()
    assert b"stem_channels: 16" in events.read_bytes()


def test_an_error_of_a_service_is_said_once_and_the_others_go_on(
    tmp_path: Path, services: dict[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*positional: object, **options: object) -> None:
        raise OSError("no connection")

    said: list[str] = []
    with Loggers(["mlflow", "wandb"], tmp_path, {}, say=said.append) as loggers:
        loggers.show(RowWritten(row(0)))
        monkeypatch.setattr(sys.modules["mlflow"], "log_metrics", refused)
        for trial_id in (1, 2):
            loggers.show(RowWritten(row(trial_id)))
    assert said == ["--log mlflow: nothing more is logged there (no connection); all else goes on"]
    assert [values["trial_id"] for values in services["wandb"]] == [0, 1, 2]
    # An error at the beginning or while closing costs only that service, too.
    monkeypatch.setattr(sys.modules["mlflow"], "start_run", refused)
    with Loggers(["mlflow", "wandb"], tmp_path, {}, say=said.append) as loggers:
        loggers.show(RowWritten(row(3)))
    assert services["ended"] == ["mlflow", "wandb", "wandb"]
    monkeypatch.setattr(sys.modules["mlflow"], "start_run", lambda run_name: None)
    monkeypatch.setattr(sys.modules["mlflow"], "end_run", refused)
    with Loggers(["mlflow", "wandb"], tmp_path, {}, say=said.append) as loggers:
        loggers.show(RowWritten(row(3)))
    assert services["ended"][3:] == ["wandb"]
    assert len(said) == 3


def test_best_yaml_is_attached_to_a_stopped_search(tmp_path: Path, services: dict[str, list[Any]]) -> None:
    best = tmp_path / "best.yaml"
    best.write_text("stem_channels: 16\n")
    loggers = Loggers(["mlflow"], tmp_path, {}, at_stop=[best])
    loggers.show(RowWritten(row(0)))
    loggers.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert services["files"] == [("mlflow", str(best))]


def test_settings_are_named_by_their_path_and_fit_what_services_take(
    tmp_path: Path, services: dict[str, list[Any]]
) -> None:
    config = {
        "recipe": {"epochs": 5, "flip": True},
        "stages": [{"op": "conv"}],
        "none": None,
        "text": "x" * 999,
    }
    found = settings_of(config)
    assert found == {
        "recipe.epochs": 5,
        "recipe.flip": True,
        "stages": '[{"op": "conv"}]',
        "text": "x" * LONGEST_VALUE,
    }
    with Loggers(["mlflow"], tmp_path, {f"key{i}": i for i in range(MOST_AT_ONCE + 1)}) as loggers:
        loggers.show(RowWritten(row(0)))
    assert [len(values) for values in services["settings"]] == [MOST_AT_ONCE, 1]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tensorbord", "no such logger; there are tensorboard, mlflow, wandb"),
        ("mlflow", "pip install mlflow"),
    ],
)
def test_unknown_or_missing_loggers_are_refused_before_anything_starts(
    name: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ConfigError, match=words):
        Loggers([name], tmp_path, {})
    assert list(tmp_path.iterdir()) == []
