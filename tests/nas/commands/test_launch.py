"""Executors as commands ask for them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import MakeConfig, Nas
from rich.console import Console

import nas.commands.launch_audit as launch_audit


class AskedFor(Exception):
    """An executor was asked for; nothing runs."""


def test_an_audit_waits_for_a_silent_worker_as_long_as_its_search_does(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def executor_of(executor: str, **words: Any) -> Any:
        asked.update(words)
        raise AskedFor

    monkeypatch.setattr(launch_audit, "executor_of", executor_of)
    plan: Any = SimpleNamespace(config=make_config(stall_timeout=4321))
    with pytest.raises(AskedFor):
        launch_audit.audit_on_console(
            plan, workers=None, ray_address=None, in_process=False, console=Console()
        )
    assert asked["stall_seconds"] == 4321


@pytest.mark.parametrize(
    "words",
    [
        ("search", "quick", "--in-process", "--set", "data.source=nowhere"),
        ("train", "efficientnetv2-b0", "--data", "nowhere", "--recipe", "proxy_cifar"),
    ],
    ids=lambda words: words[0],
)
def test_a_ramp_without_stages_to_grow_over_is_said_before_anything_runs(
    nas: Nas, words: tuple[str, ...]
) -> None:
    code, out, err = nas(*words, "--set", "recipe.resolution={start: 32, end: 64}")
    assert code == 2
    said = "recipe: resolution is 64 from the beginning and never 32"
    assert any(line.startswith(said) for line in (out + err).splitlines())


@pytest.mark.parametrize(
    "words",
    [
        ("--data", "digits"),
        ("--test", "digits"),
        ("--init", "w"),
        ("--patience", "2"),
        ("--recipe", "photos"),
    ],
    ids=lambda words: words[0],
)
def test_options_that_a_training_which_goes_on_by_its_folder_alone_would_not_heed_are_refused(
    nas: Nas, tmp_path: Path, words: tuple[str, str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "training.yaml").write_text("{}")
    code, out, err = nas("train", "--run", tmp_path / "run", *words)
    assert code == 2
    assert f"{words[0]}: --run alone goes on with what was begun" in out + err


def test_repeats_go_on_with_the_command_that_began_them(nas: Nas, tmp_path: Path) -> None:
    (tmp_path / "run" / "repeat-0").mkdir(parents=True)
    (tmp_path / "run" / "repeat-0" / "training.yaml").write_text("{}")
    code, out, err = nas("train", "--run", tmp_path / "run")
    assert code == 2
    assert "repeats of a training lie here" in out + err


def test_fine_tuning_without_weights_is_said(nas: Nas, tmp_path: Path) -> None:
    words = ("train", "efficientnetv2-b0", "--data", "nowhere", "--recipe", "finetune")
    code, out, err = nas(*words, "--run", tmp_path / "run")
    assert code == 2
    assert "finetune is for given weights, and there is no --init" in out + err


@pytest.mark.parametrize(("suffix", "format_name"), [(".onnx", "onnx"), (".safetensors", "torch")])
def test_a_description_is_not_written_into_a_file_of_weights(
    nas: Nas, tmp_path: Path, suffix: str, format_name: str
) -> None:
    code, _, err = nas("export", "efficientnetv2-b0", "-o", tmp_path / f"net{suffix}")
    assert code == 2
    assert f"give --format {format_name}" in err
    assert not list(tmp_path.iterdir())
