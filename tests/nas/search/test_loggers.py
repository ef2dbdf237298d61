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
from nas.search.loggers import EPOCH_SCALARS, Loggers
from nas.search.search import search
from search_spaces.settings.config_error import ConfigError
from trials.executors.in_process import in_process


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """As much of mlflow and wandb as is used; what they were told."""
    told: dict[str, list[Any]] = {"mlflow": [], "wandb": [], "ended": []}
    mlflow = ModuleType("mlflow")
    vars(mlflow).update(
        set_experiment=lambda name: None,
        start_run=lambda run_name: None,
        log_params=lambda values: told["mlflow"].append(values),
        log_metrics=lambda values, step: told["mlflow"].append((step, values)),
        end_run=lambda: told["ended"].append("mlflow"),
    )
    wandb = ModuleType("wandb")
    run = SimpleNamespace(
        log=lambda values, step: told["wandb"].append((step, values)),
        finish=lambda: told["ended"].append("wandb"),
    )
    vars(wandb)["init"] = lambda **options: run
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    return told


def test_every_trial_is_logged_once_to_each_service(
    make_config: MakeConfig, tmp_path: Path, services: dict[str, list[Any]]
) -> None:
    names = ["tensorboard", "mlflow", "wandb"]
    with Loggers(names, tmp_path / "run", {"strategy": "evolution"}) as loggers:
        result = search(
            make_config(),
            tmp_path / "run",
            execute=in_process(device="cpu"),
            start=formula_worker,
            on_event=loggers.show,
        )
    assert services["mlflow"][0] == {"strategy": "evolution"}
    assert services["mlflow"][1:] == services["wandb"]
    rows = sorted(result.rows, key=lambda row: row["tell_seq"])
    assert [values["reward"] for _, values in services["wandb"]] == [row["reward"] for row in rows]
    best = [values["best_reward"] for _, values in services["wandb"]]
    assert best == sorted(best)
    assert best[-1] == max(row["reward"] for row in rows)
    assert sorted(services["ended"]) == ["mlflow", "wandb"]
    (events,) = (tmp_path / "run" / "tensorboard").iterdir()
    written = events.read_bytes()
    assert written.count(b"step_time_ratio") == len(rows)


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
    assert [values["best_reward"] for _, values in services["wandb"]] == [0.7, 0.7, 0.7, 0.8]


def test_epochs_of_a_training_are_logged_without_numbers_that_are_none(
    tmp_path: Path, services: dict[str, list[Any]]
) -> None:
    values = dict.fromkeys((field.name for field in fields(EpochMetrics)), 0.5)
    metrics = EpochMetrics(**{**values, "epoch": 3, "train_loss": float("nan")})
    with Loggers(["wandb"], tmp_path, {}) as loggers:
        loggers.show(EpochDone(metrics))
    ((step, values),) = services["wandb"]
    assert step == 3
    assert set(values) == set(EPOCH_SCALARS) - {"train_loss"}


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
