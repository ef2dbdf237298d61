"""Step times of a finished run, measured again; and ranking by them."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
import torch
from caches import new_cache
from timed_again import timed_again
from typer.testing import CliRunner

from nas.cli import app
from nas.measuring.figures import OUT_OF_MEMORY
from nas.measuring.retarget import compared, retarget, retargeted, slug
from nas.search.config import SearchConfig, read_search_config
from nas.search.search import search
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import from_mapping
from trials.executors.in_process import in_process
from trials.log.run_reader import recorded_trials
from trials.reward import Reward

pytestmark = pytest.mark.usefixtures("as_a_worker")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real search of four very short trials."""
    folder = tmp_path_factory.mktemp("trained")
    file = folder / "search.yaml"
    file.write_text(
        "space: tiny\n"
        "data: {source: digits, fraction: 0.3}\n"
        "recipe: {epochs: 1, batch_size: 64, resolution: 16, flip: false}\n"
        "strategy: random_search\n"
        "reward: {step_time_ratio: -0.07, params: -0.05}\n"
        "timing: {batch_size: 2}\n"
        "baseline: 0\n"
        "budget: {trials: 4}\n"
    )
    search(read_search_config(file), folder / "run", execute=in_process(device="cpu"))
    return folder / "run"


@pytest.fixture
def finished(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def test_best_of_a_run_are_measured_once_and_more_are_only_added(finished: Path) -> None:
    seen: list[tuple[int, int]] = []
    first = retarget(finished, top=2, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 2), (1, 2), (2, 2)]
    frame = pd.read_parquet(first.file)
    assert len(frame) == 2
    assert set(frame.timing_batch_size) == {2}
    again = retarget(finished, top=3)
    later = pd.read_parquet(again.file)
    assert len(later) == 3
    kept = later[later.trial_id.isin(frame.trial_id)]
    assert kept.step_seconds.tolist() == frame.step_seconds.tolist()


def test_precision_is_that_of_the_trials_whatever_the_resolution_of_the_timing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto` is decided at the resolution that trials train at; at that of the timing it may be another."""
    monkeypatch.setenv("XDG_CACHE_HOME", new_cache(tmp_path / "cache"))
    monkeypatch.setattr(
        "trials.timing.precision.step_time_of_bf16", lambda reference, resolution: 16 / resolution
    )
    short = {"epochs": 1, "batch_size": 64, "resolution": 16, "warmup_epochs": 0}
    mapping = {
        "space": "tiny",
        "data": {"source": "digits", "fraction": 0.3},
        "recipe": short,
        "strategy": "random_search",
        "reward": {"step_time_ratio": -0.07},
        "timing": {"batch_size": 2, "resolution": 24},
        "baseline": 0,
        "budget": {"trials": 1},
    }
    config = from_mapping(SearchConfig, mapping, name="search.yaml")
    (row,) = search(config, tmp_path / "run", execute=in_process(device="cpu")).rows
    measured = pd.read_parquet(retarget(tmp_path / "run", top=1).file)
    assert row["timing_precision"] == "fp32"
    assert measured.timing_precision.tolist() == ["fp32"]
    assert measured.timing_resolution.tolist() == [24]


def test_rewards_on_another_device_change_by_the_step_time_alone(finished: Path) -> None:
    rows = recorded_trials(finished)[:2]
    measured = {row["trial_id"]: timed_again(row, 0.5 + i) for i, row in enumerate(rows)}
    for trial in compared(rows, measured, Reward({"step_time_ratio": -0.07, "params": -0.05})):
        factor = (trial.step_time_ratio / trial.step_time_ratio_before) ** -0.07
        assert trial.reward == pytest.approx(trial.reward_before * factor)


def test_network_that_does_not_fit_on_another_device_ranks_last_without_reward(finished: Path) -> None:
    rows = recorded_trials(finished)[:2]
    measured = {row["trial_id"]: timed_again(row, 1.0) for row in rows}
    measured[rows[0]["trial_id"]] = timed_again(rows[0], None)
    trials = compared(rows, measured, Reward({"step_time_ratio": -0.07}))
    assert [trial.reward is None for trial in trials] == [False, True]
    assert trials[1].timing_flag == OUT_OF_MEMORY


def test_trial_that_has_no_room_on_a_cpu_is_recorded_as_one_that_does_not_fit(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    @contextmanager
    def no_room(device: torch.device) -> Iterator[None]:
        asked.append(device.type)
        yield
        raise MemoryError

    monkeypatch.setattr("nas.measuring.retarget.bounded_on", no_room)
    (trial,) = retarget(finished, top=1).trials
    assert (trial.step_time_ratio, trial.timing_flag) == (None, OUT_OF_MEMORY)
    assert asked == ["cpu"]


def test_export_ranks_by_a_device_that_was_measured(finished: Path) -> None:
    result = retarget(finished, top=3)
    best = retargeted(finished, slug(result.device_name))[0].trial_id
    output = CliRunner().invoke(app, ["export", str(finished), "--device", slug(result.device_name)])
    assert output.exit_code == 0
    assert f"trial_id: {best}" in output.stdout
    with pytest.raises(ConfigError, match=f"measured are {slug(result.device_name)}"):
        retargeted(finished, "nvidia-h200")


def test_measure_command_on_a_run_shows_both_rewards_and_prints_json(finished: Path) -> None:
    shown = CliRunner().invoke(app, ["measure", "--run", str(finished), "--top", "2"])
    assert shown.exit_code == 0, shown.output
    assert "reward before" in shown.stdout
    printed = CliRunner().invoke(app, ["measure", "--run", str(finished), "--top", "2", "--json"])
    assert len(json.loads(printed.stdout)["trials"]) == 2


def test_a_run_together_with_networks_is_refused() -> None:
    result = CliRunner().invoke(app, ["measure", "efficientnet-b0", "--run", "x"])
    assert result.exit_code == 2


@pytest.mark.parametrize(
    ("name", "file"), [("NVIDIA H200", "nvidia-h200"), ("../../etc", "etc"), ("", "device"), ("Å", "device")]
)
def test_device_names_become_safe_file_names(name: str, file: str) -> None:
    assert slug(name) == file
