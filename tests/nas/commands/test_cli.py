"""The command line as a user meets it: a real small search, its files, its errors and exit codes."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from companion import Companion, Told
from conftest import Nas
from log_files import parts_of_rows
from timing_rounds import few_rounds
from typed_commands import COMMAND, typed

from analysis.ranking import ranked
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import read_yaml


def test_commands_have_the_permitted_options_and_no_others(nas: Nas) -> None:
    """What to run is in the YAML; flags say where and how. A new flag needs a reason and a line here."""

    def options_of(command: str) -> set[str]:
        lines = nas(command, "--help")[1].split("Options:")[1].splitlines()
        words = " ".join(line[:30] for line in lines if line.startswith("  -")).replace(",", " ").split()
        return {word for word in words if word.startswith("-")}

    assert options_of("search") == {
        "--run", "--workers", "--per-device", "--ray-address", "--executor", "--in-process", "--log", "--set",
        "--init", "--grace", "--disk-wait", "--budget", "--estimate", "--assume", "--shared", "--trust",
        "--json", "--help",
    }  # fmt: skip
    assert options_of("export") == {
        "--trial", "--format", "-o", "--output", "--force", "--padding", "--device", "--pareto", "--optuna",
        "--license", "--license-link", "--from-run", "--onnx", "--trust", "--json", "--help"
    }  # fmt: skip
    assert options_of("push") == {
        "--license", "--license-link", "--public", "--from-run", "--onnx", "--dry-run", "--trust", "--json",
        "--help"
    }  # fmt: skip
    assert options_of("pull") == {
        "-o", "--output", "--revision", "--trust", "--json", "--help"
    }  # fmt: skip
    assert options_of("import") == {"--from", "--weights", "-o", "--output", "--force", "--json", "--help"}
    assert options_of("space") == {
        "--from", "--radius", "--limit", "--classes", "--resolution", "-o", "--output", "--force", "--json",
        "--help"
    }  # fmt: skip
    assert options_of("describe") == {"--classes", "--resolution", "--trust", "--json", "--help"}
    assert options_of("doctor") == {"--search", "--gpu", "--json", "--help"}
    assert options_of("status") == {"--watch", "--json", "--help"}
    assert options_of("measure") == {
        "--table", "--out", "--classes", "--resolution", "--input", "--batch-size", "--precision", "--run",
        "--top",
        "--trust", "--json", "--help"
    }  # fmt: skip
    assert options_of("train") == {
        "--data", "--recipe", "--run", "--test", "--init", "--patience", "--repeats", "--devices",
        "--ray-address", "--log", "--set", "--shared", "--trust", "--json", "--help",
    }  # fmt: skip
    assert options_of("evaluate") == {
        "--data", "--resolution", "--max-pixels", "-o", "--output", "--trust", "--json", "--help"
    }  # fmt: skip
    assert options_of("report") == {
        "--reward", "--device", "-o", "--output", "--open", "--json", "--help"
    }  # fmt: skip
    assert options_of("audit") == {
        "--trials", "--epochs", "--workers", "--ray-address", "--in-process", "--trust", "--json", "--help"
    }  # fmt: skip
    assert options_of("verify") == {"--repair", "--json", "--help"}
    assert options_of("predict") == {
        "-o", "--output", "--resolution", "--max-pixels", "--force", "--trust", "--json", "--help"
    }  # fmt: skip
    assert options_of("next") == options_of("schema") == {"--json", "--help"}
    assert options_of("simulate") == {
        "--strategies", "--workers", "--trials", "--seeds", "--reward", "--column", "--reference", "--set",
        "-o", "--output", "--json", "--help"
    }  # fmt: skip


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quick search through the command line with Ray, shortened to three trainings of two epochs."""
    folder = tmp_path_factory.mktemp("quick") / "run"
    done = typed(
        "search", "quick", "--run", folder, "--workers", 1, "--json",
        "--set", "budget.trials=2", "--set", "baseline=1", "--set", "recipe.epochs=2",
        "--set", "recipe.warmup_epochs=0.5", "--set", "data.fraction=0.5", "--set", "recipe.resolution=16",
        "--set", "finalists={count: 1, repeats: 1}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["trials"] == 2
    assert figures["baseline_trials"] == 1
    assert figures["reward"] > 0
    return folder


def test_finished_run_has_its_trials_epochs_and_best_architecture(finished_run: Path) -> None:
    frame = pd.read_parquet(finished_run / "trials.parquet")
    assert (frame.status == "completed").sum() == 3
    assert (frame.purpose == "repeat").sum() == 1
    best = ranked(frame).iloc[0]
    assert best.reward == pytest.approx(
        best.accuracy * best.step_time_ratio**-0.07 * (best.params / best.reference_params) ** -0.05
    )
    epochs = pd.read_parquet(finished_run / "epochs.parquet")
    assert len(epochs) == 6
    assert {path.name for path in finished_run.iterdir()} >= {
        "search.yaml", "trials.parquet", "epochs.parquet", "best.yaml", "log", "environment"
    }  # fmt: skip


def test_exported_architecture_is_described_as_in_its_row(
    finished_run: Path, nas: Nas, tmp_path: Path
) -> None:
    winner = tmp_path / "winner.yaml"
    assert nas("export", finished_run, "-o", winner)[0] == 0
    frame = pd.read_parquet(finished_run / "trials.parquet")
    best = ranked(frame).iloc[0]
    described = json.loads(nas("describe", winner, "--json")[1])
    assert described["params"] == best.params
    assert described["macs"] == best.macs
    assert described["architecture_id"] == best.architecture_id
    assert described["num_classes"] == 10
    exported = read_yaml(Architecture, winner)
    assert exported == read_yaml(Architecture, finished_run / "best.yaml")
    assert exported.provenance is not None
    assert exported.provenance["trial_id"] == best.trial_id
    assert nas("export", finished_run, "--trial", 1)[1].startswith("#")


def test_export_never_replaces_a_file_unasked(finished_run: Path, nas: Nas, tmp_path: Path) -> None:
    target = tmp_path / "precious.yaml"
    target.write_text("mine")
    code, _, said = nas("export", finished_run, "-o", target)
    assert (code, target.read_text()) == (2, "mine")
    assert "--force" in said
    assert nas("export", finished_run, "-o", target, "--force")[0] == 0


def type_and_wait_after_each_row(told: Told, *words: object) -> None:
    """The command, which waits whenever it has recorded a trial."""
    from nas.cli import main
    from trials.log.store import RunStore

    few_rounds()
    record = RunStore.record_trial

    def record_and_wait(store: RunStore, row: Mapping[str, Any]) -> dict[str, Any]:
        recorded = record(store, row)
        told.say("row")
        told.wait()
        return recorded

    RunStore.record_trial = record_and_wait  # type: ignore[method-assign]
    sys.argv = ["nas", *map(str, words)]
    main()


@pytest.mark.usefixtures("as_a_worker")
def test_a_killed_search_continues_with_the_same_command(
    digits_search_file: Path, nas: Nas, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    arguments = ["search", digits_search_file, "--run", folder, "--in-process", "--set", "budget.trials=3"]
    driver = Companion(type_and_wait_after_each_row, *arguments)
    driver.says("row")
    driver.kill()
    before = parts_of_rows(folder)
    assert len(before) == 1
    code, _, said = nas(*arguments, "--json")
    assert code == 0, said
    after = parts_of_rows(folder)
    assert before.items() <= after.items()
    frame = pd.read_parquet(folder / "trials.parquet")
    assert (frame.status == "completed").sum() == 3
    assert frame.trial_id.is_unique


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("search", "nowhere.yaml"), "nowhere"),
        (("search", "quick", "--set", "strategy.name=evolutoin"), "evolution"),
        (("search", "quick", "--set", "strategy.temprature=3"), "temperature"),
        (("search", "quick", "--set", "reward.latency=-1"), "latency"),
        (("search", "quick", "--set", "space.stages[1].op=fusd_mbconv"), "did you mean 'fused_mbconv'"),
        (("search", "quick", "--set", "budget.trials=0"), "budget"),
        (("search", "quick", "--set", "budget.epochs=5"), "trials and epochs"),
        (("search", "quick", "--set", "data.source=/nowhere/at/all"), "/nowhere/at/all"),
        (("search", "quick", "--set", "recipe=proxy_digit"), "proxy_digits"),
        (("search", "quick", "--set", "seed"), "key.path=value"),
        (
            ("search", "quick", "--set", "baseline=25"),
            "budget.trials: 24, fewer than the random ones of baseline (25)",
        ),
        (("search", "quick", "--set", "timing.resolution=4"), "--set timing.resolution=4: 4 is out of range"),
        (
            ("search", "efficientnetv2", "--set", "data.source=digits", "--set", "recipe.resolution=16"),
            "32 px",
        ),
        (("search", "quick", "--workers", "9999"), "--workers 9999"),
        (("search", "quick", "--in-process", "--workers", "2"), "--in-process"),
        (("search", "quick", "--ray-address", "127.0.0.1:1"), "127.0.0.1:1"),
        (("export", "."), "run"),
        (("describe", "efficientnetv2-z"), "efficientnetv2-s"),
        (("describe", "efficientnetv2-s", "--resolution", "8"), "8"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, tuple) else None,
)
def test_wrong_input_exits_with_2_and_a_sentence_and_leaves_no_run(
    arguments: tuple[str, ...], words: str, nas: Nas, tmp_path: Path
) -> None:
    extra = ("--run", tmp_path / "run") if arguments[0] == "search" else ()
    code, _, said = nas(*arguments, *extra)
    assert code == 2, said
    assert words in said
    assert not (tmp_path / "run").exists()


def test_wrong_input_in_a_new_interpreter_prints_no_traceback(tmp_path: Path) -> None:
    words = ("search", "quick", "--set", "space.stages[1].op=fusd_mbconv", "--run", str(tmp_path / "run"))
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 2
    assert "did you mean 'fused_mbconv'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_export_of_an_unknown_trial_names_the_known_ones(finished_run: Path, nas: Nas) -> None:
    code, _, said = nas("export", finished_run, "--trial", 999)
    assert code == 2
    assert "trials are 0 to" in said


def test_search_of_a_locked_run_exits_with_75(finished_run: Path, nas: Nas) -> None:
    from trials.log.store import RunStore

    with RunStore(finished_run):
        code, _, said = nas("search", finished_run / "search.yaml", "--run", finished_run, "--in-process")
    assert code == 75
    assert str(os.getpid()) in said


def test_describe_shows_a_published_network_and_a_space(nas: Nas) -> None:
    _, network, _ = nas("describe", "efficientnetv2-s")
    assert "21,458,488 parameters" in network
    assert "2,849,895,872 MACs at 224 px" in network
    assert "78,364,164,096 architectures" in nas("describe", "paper")[1]
