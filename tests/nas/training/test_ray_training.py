"""Full training on two devices, of which one is killed: it goes on as if nothing had been; refusals."""

import io
import os
import signal
import subprocess
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from full_trainings import CONFIG, RECIPE, curve
from rich.console import Console
from threaded_devices import on_devices
from typed_commands import COMMAND, typed

from nas.events import EpochDone, GroupLost
from nas.screens.training import TrainingView
from nas.training.checkpoints import SCRATCH
from nas.training.config import TrainingConfig
from nas.training.ray_training import train_on_devices
from nas.training.result import TrainingResult
from nas.training.train import train_fully
from nas.training.training_events import TrainingBegun
from search_spaces.networks.network import build_network
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import write_yaml
from trials.executors.ray_pool import WorkersError
from trials.recipe import Ramp
from trials.training.weights_file import load_tensors, load_weights, save_weights

# Two groups of several processes are started: half a minute by itself, many where others keep all cores busy.
# What a group computes is in test_device_group.py, for every run of the tests.
pytestmark = [
    pytest.mark.usefixtures("as_a_worker", "one_ray"),
    pytest.mark.nightly,
    pytest.mark.timeout(1800),
]

# Mixing in pairs and batch norm over both devices: what depends on a device's place but for drops.
SHARED = replace(RECIPE, cutmix=Ramp(0, 0.5), sync_batch_norm=True, dropout=Ramp(0, 0), stochastic_depth=0.0)
DROPPING = replace(CONFIG, recipe=replace(SHARED, dropout=RECIPE.dropout, stochastic_depth=0.1))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> TrainingConfig:
    """A training that begins with given weights: what threads draw at once is another thing every time."""
    path = tmp_path_factory.mktemp("weights") / "begin.safetensors"
    torch.manual_seed(1)
    save_weights(
        path, build_network(CONFIG.architecture, num_classes=10), CONFIG.architecture, num_classes=10
    )
    return replace(CONFIG, recipe=SHARED, init=str(path))


def killed(config: TrainingConfig, folder: Path) -> tuple[TrainingResult, list[Any]]:
    """Trained on two devices, of which the second one's process is killed after the second epoch."""
    events: list[Any] = []

    def kill(item: Any) -> None:
        first = not any(isinstance(each, GroupLost) for each in events)
        events.append(item)
        if first and isinstance(item, EpochDone) and item.metrics.epoch == 2:
            os.kill(events[0].processes[1], signal.SIGKILL)

    return train_on_devices(config, folder, devices=2, on_event=kill), events


@pytest.fixture(scope="module")
def interrupted(
    two: TrainingConfig, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainingResult, list[Any]]:
    return killed(two, tmp_path_factory.mktemp("killed") / "run")


Interrupted = tuple[TrainingResult, list[Any]]


def test_training_on_two_devices_ends_though_a_process_was_killed(interrupted: Interrupted) -> None:
    result, events = interrupted
    assert [type(item) for item in events if isinstance(item, (TrainingBegun, GroupLost))] == [
        TrainingBegun, GroupLost, TrainingBegun,
    ]  # fmt: skip
    begun, again = (item for item in events if isinstance(item, TrainingBegun))
    assert len({*begun.processes, *again.processes, os.getpid()}) == 5
    assert again.first_epoch >= 2
    assert pd.read_parquet(result.folder / "metrics.parquet").resolution.tolist() == [8, 8, 16, 16]
    assert load_weights(result.folder / "weights" / "best.safetensors").facts["accuracy"] == result.accuracy
    assert not (result.folder / SCRATCH).exists()


def test_training_whose_process_was_killed_has_the_curve_of_an_undisturbed_one(
    interrupted: Interrupted, two: TrainingConfig, tmp_path: Path
) -> None:
    """Bit by bit; those devices are threads here."""
    whole, _ = on_devices(2, lambda group: train_fully(two, tmp_path / "run", group=group))
    same(interrupted[0], whole)


@pytest.mark.nightly
def test_killed_process_changes_no_random_drops_of_a_training(tmp_path: Path) -> None:
    same(killed(DROPPING, tmp_path / "killed")[0], train_on_devices(DROPPING, tmp_path / "run", devices=2))


@pytest.mark.nightly
def test_training_on_two_devices_goes_on_after_its_driver_was_killed(tmp_path: Path) -> None:
    """What it leaves where its processes met is nobody's address any more."""
    write_yaml(CONFIG.architecture, tmp_path / "small.yaml")
    folder = tmp_path / "run"
    words = ["train", tmp_path / "small.yaml", "--data", "digits", "--devices", "2", "--run", folder]
    settings = ["epochs=12", "num_training_stages=1", "resolution=16", "flip=false", "warmup_epochs=1"]
    words += [word for setting in settings for word in ("--set", f"recipe.{setting}")]
    driver = subprocess.Popen(
        [*COMMAND, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 600
    while not (folder / "metrics.parquet").is_file() and time.monotonic() < deadline:
        assert driver.poll() is None
        time.sleep(0.05)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert len(pd.read_parquet(folder / "metrics.parquet")) < 12
    done = typed("train", "--run", folder, "--devices", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert pd.read_parquet(folder / "metrics.parquet").epoch.tolist() == list(range(1, 13))
    assert not (folder / SCRATCH).exists()


def same(found: TrainingResult, expected: TrainingResult) -> None:
    """One curve, and the same weights."""
    assert curve(found) == curve(expected)
    for name in ("best", "last"):
        before, _ = load_tensors(expected.folder / "weights" / f"{name}.safetensors")
        after, _ = load_tensors(found.folder / "weights" / f"{name}.safetensors")
        assert all(torch.equal(after[key], before[key]) for key in before)


def test_training_on_more_devices_than_there_are_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkersError, match=r"--devices 4: the cluster has only 2 .*--devices 2"):
        train_on_devices(DROPPING, tmp_path / "run", devices=4)
    assert not (tmp_path / "run").exists()


def test_a_batch_that_devices_cannot_share_is_refused(tmp_path: Path) -> None:
    odd = replace(DROPPING, recipe=replace(SHARED, batch_size=60))
    with pytest.raises(ConfigError, match=r"--devices 2: a batch of 60 images .*multiple of 8"):
        train_on_devices(odd, tmp_path / "run", devices=2)
    assert not (tmp_path / "run").exists()


def test_training_screen_shows_devices_and_lost_processes(interrupted: Interrupted) -> None:
    begun = interrupted[1][0]
    console = Console(width=120, record=True, file=io.StringIO())
    with TrainingView(console) as view:
        view.show(begun)
        view.show(GroupLost("the process of device 1: killed"))
        view.show(replace(begun, first_epoch=2, stages=(), devices_before=1))
    text = console.export_text()
    assert f"2 x {begun.device_name}" in text
    assert "the process of device 1: killed; all begin again after the last epoch that was saved" in text
    assert "begun on 1 devices: on 2 its curve is another one" in text


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_exchange_gradients_inside_their_graphs(tmp_path: Path) -> None:
    """The same curve as one GPU's, to rounding, without drops."""
    import ray

    ray.shutdown()  # the tests' own one has no GPU
    config = replace(CONFIG, recipe=SHARED)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a graph that is not recorded is warned of
        one = train_fully(config, tmp_path / "one")
        two = train_on_devices(config, tmp_path / "two", devices=2)
    assert two.metrics[0].train_loss == pytest.approx(one.metrics[0].train_loss, rel=1e-2)
    assert two.accuracy == pytest.approx(one.accuracy, abs=0.1)
