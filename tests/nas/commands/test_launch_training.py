"""`nas train` as it is typed: what ends it, what is said then, and that what is said goes on with it."""

import errno
import json
import os
import re
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Nas
from full_trainings import RECIPE
from pictures import write_folder
from rich.console import Console
from small_networks import SMALL

from nas.commands.launch import packed
from nas.commands.launch_training import how_it_goes_on
from nas.screens.training import _beginning
from nas.training.config import FILE
from nas.training.estimate import StageEstimate
from nas.training.evaluation import evaluate_images, labelled_images
from nas.training.training_events import TrainingBegun
from search_spaces.networks.network import build_network
from search_spaces.settings.yaml_files import yaml_text
from trials.images.config import DataConfig
from trials.log.durable_files import SystemDisk
from trials.training.weights_file import load_weights, save_weights

pytestmark = pytest.mark.usefixtures("as_a_worker")

WORDS = (
    "train", "small.yaml", "--data", "digits", "--recipe", "recipe.yaml", "--run", "run",
    "--set", "data.fraction=0.25", "--set", "recipe.epochs=3",
)  # fmt: skip


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.training.saving.SECONDS_BETWEEN_STATES", 0.0)
    (tmp_path / "small.yaml").write_text(yaml_text(SMALL, header=""))
    (tmp_path / "recipe.yaml").write_text(yaml_text(RECIPE, header=""))


def fail_at(monkeypatch: pytest.MonkeyPatch, place: str, error: BaseException) -> None:
    """The disk raises this where a file is to be made whose path has this in it."""
    create = SystemDisk.create

    def failing(disk: SystemDisk, path: Path) -> int:
        if place in str(path):
            raise error
        return create(disk, path)

    monkeypatch.setattr(SystemDisk, "create", failing)


def test_a_damaged_pack_is_made_again_before_the_training_begins(nas: Nas) -> None:
    cache = Path(os.environ["XDG_CACHE_HOME"])
    others = set(cache.glob("**/images.npy"))
    packed(DataConfig(source="digits", fraction=0.21), RECIPE, Console(stderr=True))
    whole = {path: path.read_bytes() for path in set(cache.glob("**/images.npy")) - others}
    assert whole
    for path, content in whole.items():
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    code, _, said = nas(*WORDS, "--set", "data.fraction=0.21", "--set", "recipe.epochs=2")
    assert code == 0, said
    assert {path: path.read_bytes() for path in whole} == whole


# ---------------------------------------------------------------- what ends it


def test_a_training_that_diverges_says_what_to_lower(nas: Nas, tmp_path: Path) -> None:
    network = build_network(SMALL, num_classes=10)
    with torch.no_grad():  # finite, but their difference is not
        network.classifier.bias[:2] = torch.tensor([3e38, -3e38])
    classes = [str(digit) for digit in range(10)]
    save_weights(tmp_path / "huge.safetensors", network, SMALL, num_classes=10, classes=classes)
    code, _, said = nas(*WORDS, "--init", "huge.safetensors")
    assert code == 1, said
    assert "Traceback" not in said
    assert re.search(r"run: the training diverged: the training loss of epoch 1 is (nan|inf)\. Lower", said)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory.\nMore."), MemoryError()])
def test_a_training_that_does_not_fit_into_memory_says_what_to_make_smaller(
    nas: Nas, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*arguments: Any, **named: Any) -> None:
        raise error

    monkeypatch.setattr("nas.training.train.fit_training", refuse)  # a CPU's memory has no end
    code, _, said = nas(*WORDS)
    assert code == 1, said
    assert "Traceback" not in said
    assert re.match(r"run: out of memory \((CUDA out of memory\.|MemoryError)\)\. Take a smaller", said)
    assert "recipe.batch_size (64 now)" in said


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_training_on_a_full_disk_says_what_to_type_and_that_goes_on(
    nas: Nas, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    with monkeypatch.context() as patch:
        fail_at(patch, "epoch-000002", OSError(number, os.strerror(number)))
        code, _, said = nas(*WORDS)
    assert code == 74, said
    assert "Traceback" not in said
    assert f"run: {os.strerror(number)}." in said
    assert "make room" in said
    (again,) = re.findall(r"goes on:  nas (.*)", said)
    code, out, said = nas(*shlex.split(again))
    assert code == 0, said
    assert "resumed after epoch 1 of 3" in out


def test_input_output_error_of_a_training_is_not_called_a_full_disk(
    nas: Nas, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_at(monkeypatch, "epoch-000001", OSError(errno.EIO, "Input/output error"))
    with pytest.raises(OSError, match="Input/output error"):
        nas(*WORDS)


# ---------------------------------------------------------------- Ctrl-C


def test_stopped_repeats_of_a_training_go_on_by_the_same_command(
    nas: Nas, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = nas(*WORDS, "--run", "whole", "--repeats", "2")
    with monkeypatch.context() as patch:
        fail_at(patch, os.path.join("repeat-1", "checkpoint", ".epoch-000002"), KeyboardInterrupt())
        code, out, _ = nas(*WORDS, "--repeats", "2")
    assert code != 0
    assert "stopped; this goes on:  the same command with --run run\n" in out
    first = (tmp_path / "run" / "repeat-0" / "metrics.parquet").stat().st_mtime_ns
    code, out, said = nas(*WORDS, "--repeats", "2")
    assert code == 0, said
    assert "ended before, after epoch 3 of 3: nothing is left to train" in out  # repeat-0
    assert "resumed after epoch 3 of 3" not in out
    assert "resumed after epoch 1 of 3" in out
    assert (tmp_path / "run" / "repeat-0" / "metrics.parquet").stat().st_mtime_ns == first
    mean = re.findall(r"mean minival accuracy .*", out)
    assert mean
    assert mean == re.findall(r"mean minival accuracy .*", whole[1])


def test_all_repeats_go_on_by_the_command_that_is_advised(
    nas: Nas, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as patch:
        fail_at(patch, os.path.join("repeat-0", "checkpoint", ".epoch-000001"), KeyboardInterrupt())
        nas(*WORDS, "--repeats", "2")
    code, out, said = nas("next", "run", "--json")
    assert code == 0, said
    advised = json.loads(out)
    assert advised["state"] == "stopped: 0 of 2 trainings finished"
    program, *words = shlex.split(advised["steps"][0]["command"])
    code, _, said = nas(*words)
    assert (program, code) == ("nas", 0), said
    code, out, _ = nas("next", "run", "--json")
    assert json.loads(out)["state"].startswith("2 trainings finished; the best one finished: ")


def test_refused_repeats_leave_nothing_behind(nas: Nas, tmp_path: Path) -> None:
    code, _, said = nas(*WORDS, "--repeats", "2", "--run", "train/all", "--test", "nowhere")
    assert code == 2, said
    assert not (tmp_path / "train").exists()


def test_a_training_that_a_scheduler_ends_is_saved_and_says_how_it_goes_on(
    nas: Nas, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """SIGTERM, in the midst of what is written: the epoch before is there."""
    create = SystemDisk.create

    def terminated(disk: SystemDisk, path: Path) -> int:
        if ".epoch-000002" in str(path):
            monkeypatch.setattr(SystemDisk, "create", create)
            os.kill(os.getpid(), signal.SIGTERM)
        return create(disk, path)

    monkeypatch.setattr(SystemDisk, "create", terminated)
    before = signal.getsignal(signal.SIGTERM)
    code, out, said = nas(*WORDS)
    assert code == 143, said
    assert "stopped; this goes on:  nas train --run run\n" in out
    assert [path.name for path in sorted((tmp_path / "run" / "checkpoint").iterdir())] == [
        "epoch-000001.safetensors", "epoch-000002.safetensors",
    ]  # fmt: skip
    assert signal.getsignal(signal.SIGTERM) == before


def test_command_that_continues_a_training_names_devices_and_cluster(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for repeats in (1, 2):  # nothing has been written yet, or each has a folder of its own
        said = how_it_goes_on(run, repeats=repeats, devices=1, ray_address=None)
        assert said == f"the same command with --run {run}"
    (run / FILE).write_text("")
    assert how_it_goes_on(run, repeats=1, devices=1, ray_address=None) == f"nas train --run {run}"
    said = how_it_goes_on(run, repeats=1, devices=8, ray_address="head:6379")
    assert said == f"nas train --run {run} --devices 8 --ray-address head:6379"


# ---------------------------------------------------------------- what it costs, what it is evaluated by


def test_device_hours_of_a_training_are_those_of_all_its_devices() -> None:
    stage = StageEstimate(RECIPE.training_stages()[0], 0.1, train_seconds=3500.0, evaluate_seconds=100.0)
    for devices in (1, 2, 8):
        begun = TrainingBegun(
            device_name="some GPU", precision="bf16", precision_reason="as asked for", micro_batches=1,
            epochs=2, first_epoch=0,
            source="digits", train_images=100, minival_images=10, stages=(stage,), fitted=None, damaged=(),
            processes=tuple(range(devices)), devices_before=devices,
        )  # fmt: skip
        assert f"({devices}.00 device-hours)" in _beginning(begun)
        assert "100 images of digits, 10 more for minival" in _beginning(begun)


def test_two_images_of_a_class_are_enough_to_evaluate_weights(tmp_path: Path) -> None:
    """A tenth of them, as trials hold out, would be too few for one of each class."""
    classes = tuple("0123456789")
    source = str(write_folder(tmp_path / "few", per_class=2, classes=classes))
    network = build_network(SMALL, num_classes=10)
    path = tmp_path / "w.safetensors"
    save_weights(path, network, SMALL, num_classes=10, classes=list(classes), resolution=16)
    weights = load_weights(path)
    evaluated = evaluate_images(weights, labelled_images(source, weights, resolution=16))
    assert evaluated.images == 20
