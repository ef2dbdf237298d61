"""Losses and correct answers with one label or several; a trial on images that have several."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pictures import parity_digits
from small_networks import SMALL
from small_trials import RECIPE, make_trial
from torch.nn import functional

from trials.images.config import DataConfig
from trials.images.packed import open_images
from trials.run_trial import start_worker
from trials.training.loss import are_correct, cross_entropy, shared_target
from trials.trial import EpochResult, Slot, TrialResult
from trials.worker_setup import WorkerSetup

pytestmark = pytest.mark.usefixtures("as_a_worker")


def test_labels_of_an_image_share_the_target_equally() -> None:
    labels = torch.tensor([[2, -1, -1], [0, 3, -1], [1, 2, 3]])
    target = shared_target(labels, 4)
    third = 1 / 3
    assert torch.allclose(
        target, torch.tensor([[0, 0, 1, 0], [0.5, 0, 0, 0.5], [0, third, third, third]]), atol=1e-7
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_loss_of_one_label_in_a_list_is_that_of_one_label(smoothing: float, reduction: str) -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(16, 5), torch.randint(0, 5, (16,))
    alone = cross_entropy(logits, labels, label_smoothing=smoothing, reduction=reduction)
    assert torch.equal(
        alone, functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction=reduction)
    )
    padded = torch.stack([labels, torch.full_like(labels, -1)], dim=1)
    listed = cross_entropy(logits, padded, label_smoothing=smoothing, reduction=reduction)
    assert torch.allclose(alone, listed, rtol=1e-6)


def test_loss_is_least_where_an_images_labels_share_the_probability() -> None:
    labels = torch.tensor([[0, 1, -1]])
    shared = torch.log(torch.tensor([[0.5, 0.5, 1e-9]]))
    assert cross_entropy(shared, labels).item() == pytest.approx(math.log(2), abs=1e-4)
    uneven = torch.log(torch.tensor([[0.8, 0.2, 1e-9]]))
    assert cross_entropy(uneven, labels) > cross_entropy(shared, labels)


def test_prediction_of_any_of_an_images_labels_is_correct() -> None:
    labels = torch.tensor([[0, 3], [2, -1]])
    assert are_correct(torch.tensor([[3, 1], [1, 2]]), labels).tolist() == [[True, False], [False, True]]
    assert are_correct(torch.tensor([[3, 1], [1, 2]]), torch.tensor([3, 2])).tolist() == [
        [True, False],
        [False, True],
    ]


@pytest.fixture
def digits_with_parity(tmp_path: Path) -> Path:
    """Half of the digits, each labelled by its number and by 10 (even) or 11 (odd)."""
    return parity_digits(tmp_path / "parity.parquet")


def test_trial_learns_images_of_several_labels(digits_with_parity: Path) -> None:
    config = DataConfig(source=str(digits_with_parity), minival=0.2)
    images = open_images(config, resolution=16)
    assert (len(images.classes), images.labels.shape[1]) == (12, 2)
    worker = start_worker(Slot(index=0), setup=WorkerSetup(data=config, reference=SMALL))
    events = list(worker(make_trial(recipe=replace(RECIPE, epochs=6, averaging_decay=0.0))))
    result = events[-1]
    assert isinstance(result, TrialResult), result
    assert result.status == "completed", result.error
    assert result.measurement is not None
    losses = [event.train_loss for event in events if isinstance(event, EpochResult)]
    assert losses[-1] < 0.8 * losses[0]
    assert losses[-1] > math.log(2)  # two labels share the target
    assert result.measurement.accuracy_raw > 0.6
    assert result.measurement.accuracy_top5 is not None
