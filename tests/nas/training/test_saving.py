"""When the state of a full training is written, by a given clock; what it decides once, and keeps."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from clocks import Clock
from full_trainings import CONFIG
from training_states import PROGRESS, metrics

from nas.training.checkpoints import TrainingFolder
from nas.training.decided import decided
from nas.training.evaluated_epochs import epochs_per_evaluation, is_evaluated
from nas.training.saving import SECONDS_BETWEEN_STATES, StateSaver
from nas.training.suited_batch import suited_batch
from search_spaces.settings.yaml_files import read_yaml
from trials.log.log_end import FencedError
from trials.recipe import Recipe
from trials.recipe_stages import steps_of_epoch
from trials.training.weights_file import load_tensors


class Saved:
    """A training's folder, and its saver by a clock that the test sets."""

    def __init__(self, folder: Path) -> None:
        self.files, self.clock = TrainingFolder(folder), Clock()
        self.files.create()
        self.saver = StateSaver(self.files, clock=self.clock)

    def epoch(self, number: int, *, seconds: float, best: bool = False) -> None:
        """An epoch of so many seconds ends; its state holds its number."""
        self.clock.sleep(seconds)
        self.files.metrics.append(metrics(epoch=number))
        tensors = {"w": torch.full((2,), float(number))}
        weights = {"best": (tensors, {"epoch": number})} if best else {}
        self.saver.keep(tensors, replace(PROGRESS, epoch=number), weights)

    def fail_after(self, epoch: int, error: type[BaseException]) -> None:
        """Something ends the training after so many epochs, which came in quick succession."""
        with self.saver.written_at_the_end():
            for number in range(1, epoch + 1):
                self.epoch(number, seconds=1, best=True)
            raise error

    def on_disk(self) -> int:
        """The epoch of the newest state."""
        found = TrainingFolder(self.files.folder).newest_state()
        return 0 if found is None else found[1].epoch

    def best_on_disk(self) -> int:
        """The epoch of the best weights."""
        path = self.files.weights("best")
        return int(load_tensors(path)[1]["epoch"]) if path.exists() else 0


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    return Saved(tmp_path / "run")


# ---------------------------------------------------------------- when it is written


def test_a_state_is_written_when_the_last_one_is_old_enough_and_at_the_end(saved: Saved) -> None:
    written = []
    for epoch in range(1, 11):
        saved.epoch(epoch, seconds=SECONDS_BETWEEN_STATES / 4)
        saved.saver.write_if_due(is_last=epoch == 10)
        written.append(saved.on_disk())
    assert written == [0, 0, 0, 4, 4, 4, 4, 8, 8, 10]


def test_each_epoch_that_takes_longer_is_written(saved: Saved) -> None:
    for epoch in (1, 2):
        saved.epoch(epoch, seconds=SECONDS_BETWEEN_STATES)
        saved.saver.write_if_due(is_last=False)
        assert saved.on_disk() == epoch


def test_best_weights_are_written_with_the_state_that_knows_of_them(saved: Saved) -> None:
    saved.epoch(1, seconds=1, best=True)
    saved.epoch(2, seconds=1, best=True)
    saved.epoch(3, seconds=1)
    saved.saver.write_if_due(is_last=False)
    assert (saved.on_disk(), saved.best_on_disk()) == (0, 0)
    saved.saver.write()
    assert (saved.on_disk(), saved.best_on_disk()) == (3, 2)
    found = TrainingFolder(saved.files.folder)
    found.newest_state()
    assert [row.epoch for row in found.metrics] == [1, 2, 3]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, MemoryError, OSError])
def test_the_last_epoch_is_written_when_something_ends_the_training(
    saved: Saved, error: type[BaseException]
) -> None:
    with pytest.raises(error):
        saved.fail_after(2, error)
    assert (saved.on_disk(), saved.best_on_disk()) == (2, 2)


def test_nothing_is_written_after_a_newer_driver_began(saved: Saved) -> None:
    with pytest.raises(FencedError):
        saved.fail_after(2, FencedError)
    assert (saved.on_disk(), saved.best_on_disk()) == (0, 0)


def test_an_epoch_that_is_interrupted_while_it_is_copied_leaves_nothing_of_it(saved: Saved) -> None:
    class Interrupting(dict[str, Any]):
        def items(self) -> Any:
            raise KeyboardInterrupt

    weights = {"best": ({"w": torch.full((2,), 2.0)}, {"epoch": 2})}
    saved.epoch(1, seconds=1, best=True)
    with pytest.raises(KeyboardInterrupt), saved.saver.written_at_the_end():
        saved.saver.keep(Interrupting(), replace(PROGRESS, epoch=2), weights)
    assert (saved.on_disk(), saved.best_on_disk()) == (1, 1)


def test_an_interrupted_training_says_so_though_its_state_cannot_be_written(
    saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> None:
        raise OSError("full")

    monkeypatch.setattr(saved.files, "save_state", refuse)
    with pytest.raises(KeyboardInterrupt):
        saved.fail_after(1, KeyboardInterrupt)


# ---------------------------------------------------------------- how often it is evaluated


@pytest.mark.parametrize(
    ("steps", "epochs", "every"),
    [
        (4, 2500, 16),  # fine-tuning on 2,040 images: 157 evaluations
        (97, 104, 1),  # fine-tuning on CIFAR
        (22, 60, 1),  # a training of few epochs
        (5, 300, 2),
        (312, 350, 1),  # ImageNet
        (1, 100_000, 64),
    ],
)
def test_short_epochs_are_evaluated_seldom_where_they_are_many(steps: int, epochs: int, every: int) -> None:
    assert epochs_per_evaluation(steps=steps, epochs=epochs) == every


def test_the_last_epoch_of_each_stage_is_evaluated() -> None:
    stages = replace(CONFIG.recipe, epochs=10).training_stages()  # two of five epochs
    evaluated = [epoch for epoch in range(1, 11) if is_evaluated(epoch, every=3, stages=stages)]
    assert evaluated == [3, 5, 6, 9, 10]


# ---------------------------------------------------------------- the batch


@pytest.mark.parametrize(
    ("images", "asked", "batch"),
    [
        (50_000, 512, 512),
        (2048, 512, 512),
        (2040, 512, 504),
        (100, 512, 24),
        (30, 512, 7),
        (8, 512, 512),  # too few to divide: an epoch is a step, as before
        (323, 64, 64),
    ],
)
def test_batch_is_a_quarter_of_few_images_at_most(images: int, asked: int, batch: int) -> None:
    recipe = replace(CONFIG.recipe, batch_size=asked)
    suited = suited_batch(recipe, images=images)
    assert suited.batch_size == batch
    assert suited.peak_learning_rate() / recipe.peak_learning_rate() == pytest.approx(batch / asked)
    if batch != asked:
        assert steps_of_epoch(images, batch) >= 4


# ---------------------------------------------------------------- decided once


@pytest.fixture
def decide() -> Callable[..., Any]:
    config = replace(CONFIG, recipe=replace(read_yaml(Recipe, "finetune"), precision="fp32"))

    def made(progress: Any = None, **changes: Any) -> Any:
        return decided(replace(config, **changes), progress, images=2040, device=torch.device("cpu"))

    return made


def test_fine_tuning_on_few_images_has_epochs_of_four_steps_and_says_what_it_decides(
    decide: Callable[..., Any],
) -> None:
    found = decide()
    assert (found.recipe.batch_size, found.epochs, found.evaluate_every) == (504, 2500, 16)
    assert found.notes == (
        "batch of 504 instead of 512: 4 steps or more of an epoch's 2,040 images; its learning rate is "
        "0.000984 at most",
        "evaluated every 16 epochs, which have 4 steps each",
    )
    assert decide(evaluate_every=5).evaluate_every == 5


def test_little_that_is_left_for_the_full_size_is_said_once(decide: Callable[..., Any]) -> None:
    usual = replace(read_yaml(Recipe, "photos"), precision="fp32")
    little = replace(usual, final_share=0.1, decay_share=1.0)
    said = [any("full size" in note for note in decide(recipe=each).notes) for each in (usual, little)]
    assert said == [False, True]
    assert not any("full size" in note for note in decide(PROGRESS, recipe=little).notes)


def test_a_training_goes_on_as_it_was_begun(decide: Callable[..., Any]) -> None:
    begun = replace(PROGRESS, precision="bf16", evaluate_every=7, batch_size=500)
    found = decide(begun)
    assert (found.precision.precision, found.evaluate_every, found.recipe.batch_size) == ("bf16", 7, 500)
    earlier = decide(replace(PROGRESS, evaluate_every=1, batch_size=0))
    assert (earlier.evaluate_every, earlier.recipe.batch_size, earlier.epochs) == (1, 512, 3334)
