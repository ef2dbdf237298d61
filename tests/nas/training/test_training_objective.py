"""Full trainings and comparisons that choose and compare epochs by balanced accuracy."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from comparisons import CONDITIONS, TWO
from full_trainings import CONFIG
from pictures import uneven_digits
from rich.console import Console
from screens import screen_text

from nas.comparing.config import ComparisonPlan, NetworkCosts
from nas.comparing.figures import comparison_figures
from nas.comparing.picture import picture_of
from nas.comparing.trainings import Outcomes, trainings_of
from nas.events import EpochDone
from nas.screens.comparison import comparison_screen
from nas.screens.training import TrainingView, repeats_table, training_screen
from nas.training import saving
from nas.training.config import TrainingConfig
from nas.training.finished import FinishedTraining, finished_training
from nas.training.picture import draw_training
from nas.training.result import TrainingResult, training_figures
from nas.training.train import train_fully
from search_spaces.settings.config_error import ConfigError
from trials.images.config import DataConfig
from trials.training.weights_file import load_weights

pytestmark = pytest.mark.usefixtures("as_a_worker", "timed_in_few_rounds")
BALANCED = "balanced_accuracy"
FALLING = (0.9, 0.8, 0.7, 0.6)  # balanced accuracies after each epoch


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingConfig, TrainingResult, list[object]]:
    """A training whose balanced accuracy falls with the epochs, unlike its accuracy; with test images."""
    folder = tmp_path_factory.mktemp("objective")
    source = str(uneven_digits(folder / "uneven.parquet"))
    config = replace(
        CONFIG, data=DataConfig(source=source, minival=0.25), test=source, objective=BALANCED, seed=1
    )
    events: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        values: Iterator[float] = (value for value in FALLING for _ in range(2))  # raw and averaged weights
        patch.setattr("trials.training.train.mean_recall", lambda correct, images: next(values))
        patch.setattr(saving, "SECONDS_BETWEEN_STATES", 0.0)
        result = train_fully(config, folder / "run", on_event=events.append)
    return config, result, events


Trained = tuple[TrainingConfig, TrainingResult, list[object]]


def test_best_epoch_of_the_last_size_is_that_of_the_objective(trained: Trained) -> None:
    _, result, events = trained
    assert [epoch.metrics.minival_balanced_accuracy for epoch in events if isinstance(epoch, EpochDone)] == [
        *FALLING
    ]
    assert result.best_epoch == 3  # of the last two, whose images are larger
    assert (result.objective, result.objective_value) == (BALANCED, 0.7)
    assert result.accuracy == result.metrics[2].minival_accuracy
    weights = load_weights(result.folder / "weights" / "best.safetensors")
    assert (weights.facts["objective"], weights.facts[BALANCED], weights.facts["epoch"]) == (BALANCED, 0.7, 3)


def test_figures_of_the_training_have_both_accuracies(trained: Trained) -> None:
    _, result, _ = trained
    ended = finished_training(result.folder)
    assert ended is not None
    assert result.test is not None
    assert (ended.objective, ended.value, ended.accuracy) == (BALANCED, 0.7, result.accuracy)
    assert ended.test_accuracy == result.test.accuracy
    assert ended.final_value == result.final_value == result.test.balanced_accuracy
    hits = np.diag(result.test.confusion) / result.test.confusion.sum(axis=1)
    assert result.test.balanced_accuracy == pytest.approx(hits.mean())
    figures = training_figures(result)
    assert (figures.objective, figures.balanced_accuracy) == (BALANCED, 0.7)
    assert figures.accuracy == result.accuracy


def test_screens_and_picture_of_the_training_name_the_objective(trained: Trained, tmp_path: Path) -> None:
    _, result, _ = trained
    assert result.test is not None
    text = screen_text(training_screen(result))
    assert f"best: epoch 3   balanced accuracy 0.7000 (accuracy {result.accuracy:.4f}) (minival)" in text
    assert f"test: balanced accuracy {result.test.balanced_accuracy:.4f} (accuracy" in text
    assert f"mean test balanced accuracy {result.final_value:.4f}" in screen_text(repeats_table([result]))
    draw_training(result.metrics, tmp_path / "training.png", title="t", objective=result.objective)
    draw_training(result.metrics, tmp_path / "plain.png", title="t")
    pictures = [(tmp_path / name).read_bytes() for name in ("training.png", "plain.png")]
    assert pictures[0] != pictures[1]


def test_epochs_are_shown_with_the_objective(trained: Trained) -> None:
    out = io.StringIO()
    with TrainingView(Console(file=out, width=200)) as view:
        for event in trained[2]:
            view.show(event)  # type: ignore[arg-type]
    assert "balanced 0.7000" in out.getvalue()


def test_training_of_another_objective_is_not_continued(trained: Trained) -> None:
    config, result, _ = trained
    with pytest.raises(ConfigError, match="objective: the run has 'balanced_accuracy', now 'accuracy'"):
        train_fully(replace(config, objective="accuracy"), result.folder)


def test_figures_of_earlier_versions_are_of_accuracy(trained: Trained, tmp_path: Path) -> None:
    facts = json.loads((trained[1].folder / "result.json").read_text())
    for name in ("objective", BALANCED):
        del facts[name]
    (tmp_path / "result.json").write_text(json.dumps(facts))
    ended = finished_training(tmp_path)
    assert ended is not None
    assert (ended.objective, ended.final_value) == ("accuracy", facts["test"]["accuracy"])


def test_comparison_by_balanced_accuracy_compares_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"small": (0.5, 0.501, 0.502), "other": (0.8, 0.802, 0.804)}
    ended = {
        (name, 5 + i): FinishedTraining(
            epochs=2, best_epoch=2, accuracy=0.9, test_accuracy=None, test_images=None, seconds=1.0,
            stopped_early=False, device_name="some CPU", precision="fp32", threads=1, objective=BALANCED,
            value=values[name][i],
        )
        for i in range(3)
        for name in values
    }  # fmt: skip
    costs = dict.fromkeys(values, NetworkCosts(params=1, macs=1, epochs=2))
    config = replace(TWO, repeats=3, objective=BALANCED)
    plan = ComparisonPlan(config=config, conditions=CONDITIONS, costs=costs)
    assert {each.config.objective for each in trainings_of(plan, tmp_path)} == {BALANCED}
    monkeypatch.setattr("nas.comparing.figures.outcomes_of", lambda plan, folder: Outcomes(ended))
    figures = comparison_figures(plan, tmp_path)
    assert (figures.objective, figures.image_error) == (BALANCED, None)
    first, second = figures.networks
    assert second.against_first is not None
    assert second.against_first.difference.value == pytest.approx(0.301)
    assert second.against_first.is_sure
    assert first.accuracy is not None
    assert first.accuracy.value == pytest.approx(0.501)
    assert [each.value for each in first.trainings] == list(values["small"])
    assert {each.accuracy for each in first.trainings} == {0.9}
    text = screen_text(comparison_screen(figures))
    assert "balanced accuracy on minival" in text
    assert "surely more accurate (by balanced accuracy) than small: other" in text
    assert picture_of(figures) != picture_of(replace(figures, objective="accuracy"))
