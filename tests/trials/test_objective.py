"""The objective of a search: balanced accuracy beside accuracy, and the one rule that chooses a row's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import uneven_digits
from small_networks import SMALL
from small_trials import RECIPE, digits, first_images, make_trial, new_step

from trials.images.config import DataConfig
from trials.log.rows import epochs_from_curves
from trials.objective import curve_of, in_a_word, in_words, mean_recall, name_of, objective_of
from trials.run_trial import start_worker
from trials.training.loss import counted_labels
from trials.training.step import evaluate
from trials.trial import EpochResult, Slot, TrialResult
from trials.worker_setup import WorkerSetup

CPU = torch.device("cpu")
ROW = {
    "accuracy": 0.9, "balanced_accuracy": 0.6,
    "minival_accuracy": [0.8, 0.9], "minival_balanced_accuracy": [0.5, 0.6],
}  # fmt: skip


def test_balanced_accuracy_is_the_mean_of_the_recalls_of_classes_with_images() -> None:
    assert mean_recall(np.array([90, 1, 0]), np.array([100, 10, 0])) == pytest.approx((0.9 + 0.1) / 2)


@pytest.mark.parametrize("name", [None, "accuracy"])
def test_objective_of_a_row_that_names_none_is_its_accuracy(name: str | None) -> None:
    row = ROW | {"objective": name}
    assert (name_of(row), objective_of(row), curve_of(row)) == ("accuracy", 0.9, (0.8, 0.9))
    assert (objective_of({"accuracy": 0.9}), curve_of({"accuracy": 0.9})) == (0.9, ())  # of an older version


def test_objective_of_a_row_is_the_one_that_it_names() -> None:
    row = ROW | {"objective": "balanced_accuracy"}
    assert (name_of(row), objective_of(row), curve_of(row)) == ("balanced_accuracy", 0.6, (0.5, 0.6))
    assert objective_of({"objective": "balanced_accuracy"}) is None
    assert in_words(name_of(row)) == "balanced accuracy"
    assert (in_a_word(name_of(row)), in_a_word("accuracy")) == ("balanced", "accuracy")


def test_evaluation_counts_each_class_s_images_and_hits() -> None:
    step, (images, labels) = new_step(), first_images(digits(), 100)
    sums = evaluate(step.network, images, labels, device=CPU, precision="fp32")
    hits, counts = sums[3:].reshape(2, 10)
    assert counts.tolist() == torch.bincount(labels.long(), minlength=10).tolist()
    assert hits.sum() == sums[1]
    assert (hits <= counts).all()


def test_image_of_several_labels_counts_under_the_predicted_one_or_else_its_first() -> None:
    labels, predicted = torch.tensor([[4, 2], [4, 2], [1, -1]]), torch.tensor([2, 0, 1])
    assert counted_labels(labels, predicted, torch.tensor([True, False, True])).tolist() == [2, 4, 1]
    assert counted_labels(labels[:, 0], predicted, torch.tensor([False] * 3)).tolist() == [4, 4, 1]


@pytest.mark.usefixtures("as_a_worker")
def test_trial_on_uneven_classes_measures_both_accuracies(tmp_path: Path) -> None:
    data = DataConfig(source=str(uneven_digits(tmp_path / "uneven.parquet")), minival=0.25)
    worker = start_worker(Slot(index=0), setup=WorkerSetup(data=data, reference=SMALL))
    *events, result = worker(make_trial(recipe=replace(RECIPE, epochs=3)))
    assert isinstance(result, TrialResult)
    assert result.measurement is not None, result.error
    measured = result.measurement
    assert measured.balanced_accuracy is not None
    # Of four classes the rare one has 3 images of about 140 on minival: whether it is found or not hardly
    # moves accuracy, and moves the mean of the recalls by up to a quarter.
    ends = [event for event in events if isinstance(event, EpochResult)]
    assert ends[-1].minival_balanced_accuracy == measured.balanced_accuracy
    assert 0.2 < measured.balanced_accuracy < measured.accuracy < 1


def test_epochs_of_an_older_row_have_no_balanced_accuracy() -> None:
    row = {
        "trial_id": 3, "status": "completed", "attempts": 1, "schema_version": 1,
        "train_loss": [2.0, 1.0], "minival_accuracy": [0.4, 0.5],
    }  # fmt: skip
    found = [
        [epoch["minival_balanced_accuracy"] for epoch in epochs_from_curves(known)]  # type: ignore[arg-type]
        for known in (row, row | {"minival_balanced_accuracy": [0.2, 0.3]})
    ]
    assert found == [[None, None], [0.2, 0.3]]
