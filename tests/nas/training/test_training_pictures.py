"""Pictures of a full training and of its evaluation hold their numbers."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from saved_figures import labelled_lines, saved_figures

from nas.events import EpochMetrics
from nas.training.calibration import BINS, Calibration
from nas.training.evaluation import Evaluation
from nas.training.evaluation_pictures import DRAWN, draw_calibration, draw_confusion
from nas.training.picture import draw_training

UNUSED = {field.name: 0.0 for field in fields(EpochMetrics)}  # in the picture, where a row names no other


def epoch_row(epoch: int) -> dict[str, Any]:
    """An epoch of two training stages of two epochs each; the third is the best."""
    stage = (epoch - 1) // 2
    return {
        "epoch": epoch, "stage": stage, "train_resolution": (128, 160)[stage], "best": epoch == 3,
        "train_accuracy": 0.1 * epoch, "minival_accuracy": 0.11 * epoch, "minival_accuracy_raw": 0.09 * epoch,
        "train_loss": 2 / epoch, "minival_loss": 2.1 / epoch, "images_per_second": 1000.0 + epoch,
        "dropout": (0.1, 0.2)[stage], "randaugment": (5.0, 10.0)[stage], "mixup": 0.0, "cutmix": 0.0,
    }  # fmt: skip


def test_picture_of_a_training_has_the_curves_of_its_metrics_and_its_stages(tmp_path: Path) -> None:
    metrics = [epoch_row(epoch) for epoch in (1, 2, 3, 4)]
    with saved_figures() as figures:
        draw_training(
            [EpochMetrics(**{**UNUSED, **row}) for row in metrics],
            tmp_path / "training.png",
            title="a training",
        )
    assert (tmp_path / "training.png").stat().st_size > 10_000
    accuracy, loss, sizes, speed, strengths = figures[0].axes
    for axes, label, column in (
        (accuracy, "train", "train_accuracy"),
        (accuracy, "minival, raw weights", "minival_accuracy_raw"),
        (accuracy, "minival", "minival_accuracy"),
        (loss, "train", "train_loss"),
        (loss, "minival", "minival_loss"),
        (sizes, "resolution, px", "train_resolution"),
    ):
        expected = [[row["epoch"], row[column]] for row in metrics]
        assert labelled_lines(axes)[label].tolist() == expected, (label, column)
    dots = [line.get_xydata().tolist() for line in accuracy.lines if line.get_marker() == "o"]
    assert dots == [[[3, metrics[2]["minival_accuracy"]]]]
    assert speed.lines[0].get_ydata().tolist() == [1001, 1002, 1003, 1004]
    assert set(labelled_lines(strengths)) == {"dropout, up to 0.2", "randaugment, up to 10"}
    assert [line.get_xdata()[0] for line in speed.lines[1:]] == [2.5]  # where the second stage begins


def test_picture_of_a_confusion_has_the_shares_of_each_class(tmp_path: Path) -> None:
    counts = np.array([[8, 2, 0], [1, 3, 0], [0, 0, 0]])  # of the third class there is no image
    evaluation = Evaluation(
        images=14, resolution=16, accuracy=11 / 14, accuracy_top5=1.0, loss=0.5, classes=("a", "b", "c"),
        confusion=counts,
    )  # fmt: skip
    with saved_figures() as figures:
        draw_confusion(evaluation, tmp_path / "confusion.png", title="confusion")
    axes = figures[0].axes[0]
    assert np.asarray(axes.images[0].get_array()).tolist() == [[0.8, 0.2], [0.25, 0.75]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert [text.get_text() for text in axes.texts] == ["80", "20", "25", "75"]


def test_picture_of_many_classes_leaves_out_those_without_images(tmp_path: Path) -> None:
    counts = np.diag([0] * 9 + [5] * (DRAWN + 1))
    counts[9 + DRAWN, 9] = 2
    evaluation = Evaluation(
        images=int(counts.sum()), resolution=16, accuracy=0.9, accuracy_top5=1.0, loss=0.5,
        classes=tuple(f"class {i}" for i in range(len(counts))), confusion=counts,
    )  # fmt: skip
    with saved_figures() as figures:
        draw_confusion(evaluation, tmp_path / "confusion.png", title="confusion")
    shares = np.asarray(figures[0].axes[0].images[0].get_array())
    assert shares.shape == (DRAWN, DRAWN)
    assert np.allclose(shares[:-1].sum(axis=1), 1)


def test_picture_of_a_calibration_has_the_accuracy_and_the_images_of_each_bin(tmp_path: Path) -> None:
    counts = (*[0] * (BINS - 2), 30, 10)
    found = Calibration(counts, (*[0.0] * (BINS - 2), 0.9, 0.97), (*[0.0] * (BINS - 2), 0.6, 0.8))
    with saved_figures() as figures:
        draw_calibration(found, tmp_path / "calibration.png", title="calibration")
    shares, images = figures[0].axes
    assert [bar.get_height() for bar in shares.patches] == [0.6, 0.8]
    assert [bar.get_height() for bar in images.patches] == list(counts)
