"""The screen of a training without a terminal: a line for the estimate, one for each evaluation."""

import io
from dataclasses import replace

from full_trainings import RECIPE
from rich.console import Console
from training_states import metrics

from nas.events import EpochDone
from nas.screens.training import TrainingView
from nas.training.estimate import Estimating, StageEstimate
from nas.training.training_events import TrainingBegun
from trials.training.train import Heartbeat

FIRST, SECOND = (
    StageEstimate(stage, 0.1, train_seconds=80.0, evaluate_seconds=20.0)
    for stage in RECIPE.training_stages(40)
)
BEGUN = TrainingBegun(
    device_name="some CPU", precision="bf16", precision_reason="as asked for", micro_batches=1, epochs=40,
    first_epoch=0, source="digits", train_images=100, minival_images=10,
    stages=(FIRST, replace(SECOND, is_measured=False)), fitted=None, damaged=(),
    decisions=("evaluated every 16 epochs, which have 4 steps each",),
)  # fmt: skip


def shown(*events: object) -> list[str]:
    """Lines that these events print."""
    console = Console(width=200, file=io.StringIO(), record=True)
    with TrainingView(console) as view:
        for event in events:
            view.show(event)  # type: ignore[arg-type]
    return [line.rstrip() for line in console.export_text().splitlines() if line.strip()]


def test_an_estimate_says_once_that_it_is_made_and_what_was_not_timed() -> None:
    told = [Estimating(stage, 2, each) for each in (1, 2) for stage in (1, 2)]
    lines = shown(*told, BEGUN)
    assert lines[0] == "estimating what it takes, by a few steps of each stage"
    assert sum("estimating" in line for line in lines) == 1
    assert "           evaluated every 16 epochs, which have 4 steps each" in lines
    assert [line.endswith(", by its pixels") for line in lines if "  stage " in line] == [False, True]


def test_epochs_that_are_the_best_so_far_are_marked_and_the_mark_is_explained_once() -> None:
    lines = shown(BEGUN, *(EpochDone(replace(metrics(epoch=i), best=i < 3)) for i in (1, 2, 3)))
    assert lines[-4] == "* ends the line of the best so far"
    assert [line.endswith(" *") for line in lines[-3:]] == [True, True, False]


def test_a_training_that_had_ended_is_not_said_to_be_resumed() -> None:
    (line,) = [each for each in shown(replace(BEGUN, first_epoch=40, is_over=True)) if "40 of 40" in each]
    assert line.strip() == "ended before, after epoch 40 of 40: nothing is left to train"
    (line,) = [each for each in shown(replace(BEGUN, first_epoch=16)) if "16 of 40" in each]
    assert line.strip() == "resumed after epoch 16 of 40"


def test_each_evaluation_has_a_line_that_names_its_epoch() -> None:
    beat = Heartbeat("training", 20, 0.5)
    lines = shown(BEGUN, EpochDone(metrics(epoch=16)), beat, EpochDone(metrics(epoch=32)))
    assert [line.split()[1] for line in lines if line.startswith("epoch")] == ["16/40", "32/40"]
