"""Full training: progressive stages, exact resume, weights, evaluation."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from companion import Companion, Told
from full_trainings import CONFIG, RECIPE, begun_of, curve
from PIL import Image
from small_networks import SMALL
from timing_rounds import few_rounds
from typer.testing import CliRunner

from nas.cli import app
from nas.events import EpochDone
from nas.training import saving
from nas.training.checkpoints import TrainingFolder
from nas.training.config import TrainingConfig
from nas.training.evaluation import evaluate_images, labelled_images
from nas.training.finished import finished_training
from nas.training.initial_weights import load_by_name
from nas.training.result import TrainingResult, training_figures
from nas.training.train import train_fully
from nas.training.training_events import TrainingEvent
from search_spaces.networks.network import build_network
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import read_yaml, yaml_text
from trials.log.driver_lock import DriverLock, RunLockedError
from trials.recipe import Ramp
from trials.training.train import Heartbeat
from trials.training.weights_file import load_tensors, load_weights, save_weights

pytestmark = pytest.mark.usefixtures("as_a_worker")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingResult, list[TrainingEvent]]:
    events: list[TrainingEvent] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saving, "SECONDS_BETWEEN_STATES", 0.0)
        result = train_fully(CONFIG, tmp_path_factory.mktemp("full") / "run", on_event=events.append)
    return result, events


Whole = tuple[TrainingResult, list[TrainingEvent]]


def test_a_training_that_has_ended_leaves_its_figures_for_others(whole: Whole, tmp_path: Path) -> None:
    result, events = whole
    ended = finished_training(result.folder)
    assert ended is not None
    figures = training_figures(result)
    for name in ("epochs", "best_epoch", "accuracy", "seconds", "stopped_early"):
        assert getattr(ended, name) == getattr(figures, name)
    assert (ended.test_accuracy, ended.final_value) == (None, result.accuracy)
    assert ended.device_name == begun_of(events).device_name
    assert finished_training(tmp_path) is None
    (tmp_path / "result.json").write_text('{"test": null}')
    with pytest.raises(ConfigError, match="damaged: remove it"):
        finished_training(tmp_path)


def test_training_stages_grow_as_algorithm_1_says_and_are_recorded(whole: Whole) -> None:
    result, events = whole
    metrics = pd.read_parquet(result.folder / "metrics.parquet")
    assert metrics.resolution.tolist() == [8, 8, 16, 16]
    assert metrics.dropout.tolist() == [0.0, 0.0, 0.2, 0.2]
    assert metrics.randaugment.tolist() == [2, 2, 6, 6]
    assert metrics.mixup.tolist() == [0, 0, 0.2, 0.2]
    assert metrics.stage.tolist() == [0, 0, 1, 1]
    begun = begun_of(events)
    assert [estimate.stage.resolution for estimate in begun.stages] == [8, 16]
    assert len([item for item in events if isinstance(item, EpochDone)]) == 4
    assert result.estimated_seconds == pytest.approx(sum(e.seconds for e in begun.stages))


def test_estimating_a_training_changes_none_of_its_results(
    whole: Whole, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("nas.training.train.estimate", lambda *arguments, **named: [])
    assert curve(train_fully(CONFIG, tmp_path / "run")) == curve(whole[0])


@pytest.mark.parametrize("stopped_after", [1, 2, 3])
def test_a_stopped_training_goes_on_as_if_it_had_not(
    whole: Whole, tmp_path: Path, stopped_after: int
) -> None:
    """Also in the midst of an epoch, and where one training stage follows another."""
    done = 0

    def stop(event: TrainingEvent) -> None:
        nonlocal done
        done += isinstance(event, EpochDone)
        if done == stopped_after and not isinstance(event, EpochDone):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_fully(CONFIG, tmp_path / "run", on_event=stop)
    resumed = train_fully(CONFIG, tmp_path / "run")
    assert curve(resumed) == curve(whole[0])
    for name in ("best", "last"):
        expected, _ = load_tensors(whole[0].folder / "weights" / f"{name}.safetensors")
        found, _ = load_tensors(tmp_path / "run" / "weights" / f"{name}.safetensors")
        assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_a_training_that_is_evaluated_seldom_has_the_same_weights_and_resumes(
    whole: Whole, tmp_path: Path
) -> None:
    """Its rows are those of evaluations: losses are the mean since the last one."""

    def stop(event: TrainingEvent) -> None:
        if isinstance(event, Heartbeat) and event.epoch == 4:  # of which the third was not evaluated
            raise KeyboardInterrupt

    seldom = replace(CONFIG, evaluate_every=4)
    with pytest.raises(KeyboardInterrupt):
        train_fully(seldom, tmp_path / "run", on_event=stop)
    result = train_fully(seldom, tmp_path / "run")
    each = whole[0].metrics
    assert [row.epoch for row in result.metrics] == [2, 4]  # where a stage ends, and every fourth
    assert [row.minival_loss for row in result.metrics] == [each[1].minival_loss, each[3].minival_loss]
    losses = [(each[0].train_loss + each[1].train_loss) / 2, (each[2].train_loss + each[3].train_loss) / 2]
    assert [row.train_loss for row in result.metrics] == pytest.approx(losses)
    last, expected = (
        load_tensors(at / "weights" / "last.safetensors")[0] for at in (tmp_path / "run", whole[0].folder)
    )
    assert all(torch.equal(last[name], expected[name]) for name in expected)
    assert training_figures(result).epochs == 4


@pytest.mark.parametrize("stopped_after", [1, 2])
def test_a_stopped_training_with_a_longer_last_stage_goes_on_as_if_it_had_not(
    tmp_path: Path, stopped_after: int
) -> None:
    """Stopped where the last stage begins, and after it."""
    longer = replace(CONFIG.recipe, final_share=0.75, decay_share=0.6, batch_norm_batches=2)
    config = replace(CONFIG, recipe=longer)
    expected = curve(train_fully(config, tmp_path / "whole"))
    assert [resolution for _, resolution, *_ in expected] == [8, 16, 16, 16]

    def stop(event: TrainingEvent) -> None:
        if isinstance(event, EpochDone) and event.metrics.epoch == stopped_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_fully(config, tmp_path / "run", on_event=stop)
    assert curve(train_fully(config, tmp_path / "run")) == expected


def test_a_finished_training_is_not_trained_again(whole: Whole) -> None:
    events: list[TrainingEvent] = []
    again = train_fully(CONFIG, whole[0].folder, on_event=events.append)
    assert not again.stopped_early
    assert curve(again) == curve(whole[0])
    assert not [item for item in events if isinstance(item, EpochDone)]


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("damage", [flip_a_bit, lambda path: path.write_bytes(path.read_bytes()[:1000])])
def test_training_goes_on_from_the_state_before_a_damaged_one(
    whole: Whole, tmp_path: Path, damage: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "SECONDS_BETWEEN_STATES", 0.0)

    def stop(event: TrainingEvent) -> None:
        if isinstance(event, EpochDone) and event.metrics.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_fully(CONFIG, tmp_path / "run", on_event=stop)
    damage(sorted((tmp_path / "run" / "checkpoint").iterdir())[-1])
    events: list[TrainingEvent] = []
    assert curve(train_fully(CONFIG, tmp_path / "run", on_event=events.append)) == curve(whole[0])
    begun = begun_of(events)
    assert (begun.first_epoch, len(begun.damaged)) == (2, 1)


def test_two_drivers_do_not_train_in_one_folder(tmp_path: Path) -> None:
    tmp_path.joinpath("run").mkdir()
    with DriverLock(tmp_path / "run"), pytest.raises(RunLockedError, match=f"process {os.getpid()} on"):
        train_fully(CONFIG, tmp_path / "run")


def test_training_folder_of_another_configuration_is_refused(whole: Whole) -> None:
    with pytest.raises(ConfigError, match=r"another configuration(.|\n)*seed"):
        train_fully(replace(CONFIG, seed=4), whole[0].folder)


def test_patience_ends_a_training_that_does_not_improve(tmp_path: Path) -> None:
    frozen = replace(RECIPE, learning_rate=1e-12, epochs=6, averaging_decay=0.0, warmup_epochs=0.0)
    frozen = replace(frozen, num_training_stages=1, batch_norm_momentum=1e-9)
    result = train_fully(replace(CONFIG, recipe=frozen, patience=2), tmp_path / "run")
    assert result.stopped_early
    assert len(result.metrics) == result.best_epoch + 2 < 6


@pytest.mark.parametrize("sizes", [Ramp(8, 16), Ramp(16, 8)])
def test_best_epoch_is_of_the_last_image_size_and_patience_waits_for_it(tmp_path: Path, sizes: Ramp) -> None:
    """What does not learn may be luckier at either size: the first epoch of the last stage counts anyhow."""
    frozen = replace(RECIPE, learning_rate=1e-12, epochs=6, averaging_decay=0.0, warmup_epochs=0.0)
    frozen = replace(frozen, resolution=sizes, batch_norm_momentum=1e-9)
    result = train_fully(replace(CONFIG, recipe=frozen, patience=1), tmp_path / "run")
    assert result.stopped_early
    assert (result.best_epoch, len(result.metrics)) == (4, 5)
    assert [metrics.epoch for metrics in result.metrics if metrics.best][-1] == 4  # what the picture marks
    facts = load_weights(tmp_path / "run" / "weights" / "best.safetensors").facts
    assert (facts["epoch"], facts["resolution"]) == (4, sizes.end)


def test_training_keeps_two_states(whole: Whole) -> None:
    assert len(list((whole[0].folder / "checkpoint").iterdir())) == 2
    assert TrainingFolder(whole[0].folder).newest_state() is not None


# ---------------------------------------------------------------- weights


def test_weights_hold_their_architecture_and_give_the_reported_accuracy(whole: Whole) -> None:
    result = whole[0]
    weights = load_weights(result.folder / "weights" / "best.safetensors")
    assert weights.architecture.architecture_id == SMALL.architecture_id
    assert weights.facts["accuracy"] == result.accuracy
    images = labelled_images("digits", weights, resolution=weights.facts["resolution"])
    config = replace(CONFIG.data)
    from trials.images.packed import open_images

    packed = open_images(config, resolution=weights.facts["resolution"])
    evaluated = evaluate_images(weights, replace(packed, train=packed.train[:0]))
    assert evaluated.images == len(packed.minival)
    assert evaluated.accuracy == pytest.approx(result.accuracy, abs=0.01)  # bf16 or not
    assert evaluated.confusion.sum() == evaluated.images
    assert len(images.labels) > evaluated.images


def test_initial_weights_are_taken_by_name_and_shape(tmp_path: Path) -> None:
    torch.manual_seed(1)
    other = build_network(SMALL, num_classes=7)
    save_weights(tmp_path / "w.safetensors", other, SMALL, num_classes=7)
    network = build_network(SMALL, num_classes=10)
    fitted = load_by_name(network, load_weights(tmp_path / "w.safetensors").tensors)
    assert sorted(fitted.other_shape) == ["classifier.bias", "classifier.weight"]
    assert (fitted.missing, fitted.unused) == ((), ())
    assert torch.equal(network.stem[0].weight, other.stem[0].weight)


def test_a_training_from_weights_begins_where_they_are(whole: Whole, tmp_path: Path) -> None:
    best = str(whole[0].folder / "weights" / "best.safetensors")
    short = replace(RECIPE, epochs=1, num_training_stages=1, warmup_epochs=0.0, learning_rate=1e-9)
    events: list[TrainingEvent] = []
    train_fully(replace(CONFIG, recipe=short, init=best), tmp_path / "run", on_event=events.append)
    begun = begun_of(events)
    assert begun.fitted is not None
    assert not begun.fitted.missing
    trained = load_weights(tmp_path / "run" / "weights" / "best.safetensors").tensors
    for name, tensor in load_weights(Path(best)).tensors.items():
        if name.endswith("weight"):
            torch.testing.assert_close(trained[name], tensor, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("content", [b"", b"no weights", b"\xff" * 64])
def test_file_that_is_no_weights_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(ConfigError, match="not weights"):
        load_weights(tmp_path / "w.safetensors")


def test_a_flipped_bit_in_weights_is_noticed(whole: Whole, tmp_path: Path) -> None:
    data = (whole[0].folder / "weights" / "best.safetensors").read_bytes()
    for place in np.linspace(len(data) // 2, len(data) - 1, 20).astype(int):
        changed = bytearray(data)
        changed[place] ^= 1
        (tmp_path / "w.safetensors").write_bytes(bytes(changed))
        with pytest.raises(ConfigError, match="damaged"):
            load_weights(tmp_path / "w.safetensors")


# ---------------------------------------------------------------- the commands


def command(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, f"{result.output}\n{result.exception!r}"
    return result.output


def test_train_evaluate_and_predict_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(yaml_text(SMALL, header=""))
    (tmp_path / "recipe.yaml").write_text(yaml_text(replace(RECIPE, epochs=2), header=""))
    run = tmp_path / "run"
    output = command(
        "train", str(tmp_path / "small.yaml"), "--data", "digits", "--recipe", str(tmp_path / "recipe.yaml"),
        "--run", str(run), "--set", "data.fraction=0.4", "--test", "digits",
    )  # fmt: skip
    assert "stage 2" in output
    assert "test: accuracy" in output
    assert (run / "training.png").stat().st_size > 10_000
    weights = str(run / "weights" / "best.safetensors")
    figures = json.loads(
        command(
            "evaluate", weights, "--data", "digits", "--json", "-o", str(tmp_path / "confusion.png")
        ).splitlines()[-1]
    )
    assert figures["images"] == 1438
    assert (tmp_path / "confusion.png").is_file()
    pictures = tmp_path / "pictures"
    (pictures / "below").mkdir(parents=True)
    Image.new("L", (30, 20), 200).save(pictures / "below" / "a.png")
    (pictures / "b.jpg").write_bytes(b"no picture")
    for name in ("out.parquet", "out.csv"):
        command("predict", weights, str(pictures), "-o", str(tmp_path / name))
    frame = pd.read_parquet(tmp_path / "out.parquet")
    assert frame.path.tolist() == ["b.jpg", "below/a.png"]
    assert frame.error.notna().tolist() == [True, False]
    assert frame.prediction[1] in {str(i) for i in range(10)}
    assert frame.top_probabilities[1][0] == pytest.approx(frame.probability[1])
    assert len(pd.read_csv(tmp_path / "out.csv")) == 2
    assert "resumed" in command("train", "--run", str(run)) or "best:" in command("train", "--run", str(run))


def test_repeated_training_gives_mean_and_deviation(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(yaml_text(SMALL, header=""))
    recipe = replace(RECIPE, epochs=1, num_training_stages=1)
    (tmp_path / "recipe.yaml").write_text(yaml_text(recipe, header=""))
    output = command(
        "train", str(tmp_path / "small.yaml"), "--data", "digits", "--recipe", str(tmp_path / "recipe.yaml"),
        "--run", str(tmp_path / "run"), "--set", "data.fraction=0.3", "--repeats", "2",
    )  # fmt: skip
    assert "n = 2" in output
    seeds = [
        read_yaml(TrainingConfig, tmp_path / "run" / f"repeat-{i}" / "training.yaml").seed for i in (0, 1)
    ]
    assert seeds == [0, 1]


def train_and_wait_in_the_third_epoch(told: Told, folder: Path, between: float) -> None:
    epochs = 0

    def wait(event: TrainingEvent) -> None:
        nonlocal epochs
        epochs += isinstance(event, EpochDone)
        if epochs == 2 and not isinstance(event, EpochDone):
            told.say("third epoch")
            told.wait()

    torch.set_num_threads(1)
    saving.SECONDS_BETWEEN_STATES = between
    few_rounds()
    train_fully(CONFIG, folder, on_event=wait)


@pytest.mark.parametrize(("between", "goes_on_after"), [(0.0, 2), (3600.0, 0)])
def test_a_training_whose_process_was_killed_resumes_to_the_same_curve(
    whole: Whole, tmp_path: Path, between: float, goes_on_after: int
) -> None:
    """After the last state that was written, whatever its metrics had told since."""
    training = Companion(train_and_wait_in_the_third_epoch, tmp_path / "run", between)
    training.says("third epoch")
    training.kill()
    assert pd.read_parquet(tmp_path / "run" / "metrics.parquet").epoch.tolist() == [1, 2]
    events: list[TrainingEvent] = []
    resumed = train_fully(CONFIG, tmp_path / "run", on_event=events.append)
    begun = begun_of(events)
    assert begun.first_epoch == goes_on_after
    lost = [note for note in begun.decisions if "not yet saved" in note]
    assert [note[:13] for note in lost] == (["epochs 1 to 2"] if goes_on_after == 0 else [])
    assert curve(resumed) == curve(whole[0])
