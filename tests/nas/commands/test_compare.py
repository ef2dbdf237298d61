"""`nas compare` as it is typed: what it prints, how it is stopped, shown, continued and extended."""

import errno
import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from comparisons import SHORT
from conftest import Nas
from pictures import parity_digits
from small_networks import SMALL

from nas.training import train
from search_spaces.settings.output_files import PNG
from search_spaces.settings.yaml_files import yaml_text
from trials.log.durable_files import SystemDisk
from trials.training.step import TrainingStep
from trials.training.train import NonFiniteLossError

pytestmark = pytest.mark.usefixtures("as_a_worker")

WORDS = (
    "compare", "small.yaml", "other.yaml", "--data", "digits", "--recipe", "recipe.yaml", "--run", "run",
    "--set", "data.fraction=0.25",
)  # fmt: skip


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.training.train.estimate", lambda *arguments, **named: [])
    monkeypatch.setattr("nas.commands.launch_training.draw_training", lambda *arguments, **named: None)
    (tmp_path / "small.yaml").write_text(yaml_text(SMALL))
    (tmp_path / "other.yaml").write_text(yaml_text(replace(SMALL, head_channels=48)))
    (tmp_path / "recipe.yaml").write_text(yaml_text(replace(SHORT, epochs=1)))


def test_a_comparison_is_stopped_shown_continued_and_extended(
    nas: Nas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = SystemDisk.create

    def interrupted(disk: SystemDisk, path: Path) -> int:
        if os.path.join("other", "seed-1", "weights") in str(path):
            raise KeyboardInterrupt
        return create(disk, path)

    with monkeypatch.context() as patch:
        patch.setattr(SystemDisk, "create", interrupted)
        code, out, said = nas(*WORDS, "--repeats", "2")
    assert code != 0, said
    assert "reading    2 networks by recipe recipe.yaml, in run" in out
    assert "timing     other: training step" in out
    assert "comparison 2 networks x 2 seeds = 4 trainings on 324 images; equal epochs" in out
    assert "training 4 of 4: other, seed 1, about " in out
    assert "stopped; this goes on:  nas compare --run run\n" in out
    # Shown as it is, by a command that trains nothing.
    code, out, said = nas("compare", "run")
    assert code == 0, said
    assert "3 of 4 trainings, about " in out
    assert "Seeds so far: small 2, other 1." in out
    assert "this goes on:  nas compare --run run\n" in out
    # Continued by what was said, then extended.
    code, out, said = nas("compare", "--run", "run")
    assert code == 0, said
    assert re.findall(r"^training \d of .*(?=, about )", out, re.M) == ["training 4 of 4: other, seed 1"]
    assert "accuracy on minival (36 images), 2 seeds, equal epochs" in out
    code, out, said = nas("compare", "--run", "run", "--repeats", "3", "--json")
    assert code == 0, said
    figures = json.loads(out)
    assert (figures["ended"], figures["seeds"]) == (6, [0, 1, 2])
    assert [len(network["trainings"]) for network in figures["networks"]] == [3, 3]
    assert figures == json.loads((tmp_path / "run" / "comparison.json").read_text())
    assert (tmp_path / "run" / "comparison.png").read_bytes().startswith(PNG)
    assert "training 5 of 6: small, seed 2" in said


def test_test_images_are_read_once_by_each_training_and_are_what_is_compared(
    nas: Nas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.comparing.results.picture_of", lambda figures: b"")
    evaluate, read = train.evaluate_images, []

    def counted(weights: object, images: object, **named: object) -> object:
        read.append(weights)
        return evaluate(weights, images, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(train, "evaluate_images", counted)
    parity_digits(tmp_path / "parity.parquet")
    words = (*WORDS[:4], "parity.parquet", *WORDS[5:], "--test", "parity.parquet", "--repeats", "1")
    for again in range(2):
        code, out, said = nas(*words)
        assert code == 0, said
        assert len(read) == 2, f"read again by command {again}"
        assert "accuracy on test (719 images), 1 seed, equal epochs" in out
    shown = json.loads((tmp_path / "run" / "comparison.json").read_text())["networks"][0]
    (training,) = shown["trainings"]
    assert shown["accuracy"] == {"value": training["test_accuracy"], "low": None, "high": None}


def test_a_full_disk_between_trainings_says_what_goes_on(
    nas: Nas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(figures: object) -> object:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("nas.comparing.compare.write_results", full)
        code, _, said = nas(*WORDS, "--repeats", "1")
    assert code == 74
    assert said == "run: No space left on device. Make room, and this goes on:  nas compare --run run\n"
    monkeypatch.setattr("nas.comparing.results.picture_of", lambda figures: b"")
    code, out, said = nas("compare", "--run", "run")
    assert code == 0, said
    assert "training 2 of 2: other, seed 0" in out
    assert "training 1 of 2" not in out


def test_a_complete_comparison_is_shown_by_its_run_without_its_images(
    nas: Nas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.comparing.results.picture_of", lambda figures: b"")
    parity_digits(tmp_path / "parity.parquet")
    code, _, said = nas(*WORDS[:4], "parity.parquet", *WORDS[5:], "--repeats", "1")
    assert code == 0, said
    (tmp_path / "parity.parquet").unlink()
    code, out, said = nas("compare", "--run", "run")
    assert code == 0, said
    assert "1 seed, equal epochs" in out
    assert "training 1" not in out
    code, _, said = nas("compare", "--run", "run", "--repeats", "2")
    assert code == 2
    assert "parity.parquet" in said


def test_trainings_that_diverge_are_named_and_the_others_are_trained(
    nas: Nas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.comparing.results.picture_of", lambda figures: b"")
    trained = train.train

    def of_other(step: TrainingStep, *arguments: Any, **named: Any) -> Iterator[Any]:
        if step.network.classifier.in_features == 48:
            raise NonFiniteLossError("the training loss of epoch 1 is nan")
        yield from trained(step, *arguments, **named)

    monkeypatch.setattr(train, "train", of_other)
    code, out, said = nas(*WORDS, "--repeats", "1", "--json")
    assert code == 0, said
    assert "training 2 of 2: other, seed 0" in said
    assert "diverged: the training loss of epoch 1 is nan; left out, and the others are trained" in said
    figures = json.loads(out)
    assert (figures["ended"], figures["diverged"], figures["total"]) == (1, 1, 2)
    (diverged,) = figures["networks"][1]["diverged"]
    assert diverged == {
        "seed": 0, "run": "run/trainings/other/seed-0", "reason": "the training loss of epoch 1 is nan",
    }  # fmt: skip
    code, out, said = nas("compare", "--run", "run")
    assert code == 0, said
    assert "training 2 of 2" not in out
    assert "other seed 0 (the training loss of epoch 1 is nan)" in " ".join(out.split())
