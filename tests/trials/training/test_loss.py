"""Losses and correct answers with one label or several; a trial on images that have several."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pictures import parity_digits
from small_networks import SMALL
from small_trials import RECIPE, digits, make_trial, new_step
from torch import Tensor
from torch.nn import functional

from trials.images.config import DataConfig
from trials.images.packed import open_images
from trials.run_trial import start_worker
from trials.training.loss import (
    are_correct,
    balanced_weights,
    cross_entropy,
    mixed_cross_entropy,
    shared_target,
)
from trials.training.train import EpochEnd, train
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


def test_balanced_weights_are_inverse_to_frequencies_with_mean_1_over_images() -> None:
    labels = torch.tensor([0] * 6 + [1] * 2 + [3])
    weights = balanced_weights(labels, 4)
    assert torch.allclose(weights, torch.tensor([0.5, 1.5, 0.0, 3.0]))  # 9 / (3 * n); the third never occurs
    assert weights[labels].mean().item() == pytest.approx(1.0)


def test_balanced_weights_count_an_image_of_two_labels_half_for_each() -> None:
    labels = torch.tensor([[0, 1], [0, -1], [0, -1], [1, -1]])
    weights = balanced_weights(labels, 2)
    assert torch.allclose(weights, torch.tensor([4 / 5, 4 / 3]))  # 2.5 and 1.5 of 4 images
    assert (shared_target(labels, 2) @ weights).mean().item() == pytest.approx(1.0)


def by_hand(logits: Tensor, target: Tensor, class_weights: Tensor, smoothing: float) -> Tensor:
    """Each label's smoothed cross-entropy times its weight, summed label by label."""
    logs, losses = logits.log_softmax(dim=1), torch.zeros(len(logits))
    for label in range(logits.shape[1]):
        own = -(1 - smoothing) * logs[:, label] - smoothing * logs.mean(dim=1)
        losses += target[:, label] * class_weights[label] * own
    return losses


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_weighted_loss_is_each_labels_smoothed_loss_times_its_weight(smoothing: float, several: bool) -> None:
    torch.manual_seed(0)
    logits, labels, share = torch.randn(16, 5), torch.randint(0, 5, (16,)), torch.rand(16)
    class_weights = torch.tensor([0.2, 3.0, 1.0, 0.5, 2.0])
    listed = torch.stack([labels, (labels + 1) % 5 if several else torch.full_like(labels, -1)], dim=1)
    given, target = (listed if several else labels), shared_target(listed, 5)
    settings = {"label_smoothing": smoothing, "class_weights": class_weights}
    expected = by_hand(logits, target, class_weights, smoothing)
    for reduction, value in (("none", expected), ("mean", expected.mean()), ("sum", expected.sum())):
        assert torch.allclose(cross_entropy(logits, given, reduction=reduction, **settings), value)
    mixed = share[:, None] * target + (1 - share[:, None]) * target.flip(0)
    found = mixed_cross_entropy(logits, given, given.flip(0), share, **settings)
    assert torch.allclose(found, by_hand(logits, mixed, class_weights, smoothing).mean())


@pytest.mark.parametrize("several", [False, True])
def test_weights_of_1_change_no_loss(several: bool) -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(16, 5), torch.randint(0, 5, (16,))
    given = torch.stack([labels, (labels + 1) % 5], dim=1) if several else labels
    plain = cross_entropy(logits, given, label_smoothing=0.1)
    weighted = cross_entropy(logits, given, label_smoothing=0.1, class_weights=torch.ones(5))
    assert torch.allclose(plain, weighted)


def test_gradient_of_a_weighted_batch_does_not_depend_on_its_parts() -> None:
    recipe = replace(RECIPE, class_weights="balanced", batch_norm_momentum=0.1)
    step = new_step(recipe)
    assert step.class_weights is not None
    assert step.class_weights.eq(1).all()  # nothing is known of the images yet
    step.balance(torch.tensor([0] * 8 + [1] * 2))
    assert step.class_weights[:3].tolist() == pytest.approx([0.625, 2.5, 0.0])
    torch.manual_seed(0)
    logits, labels = torch.randn(8, 10), torch.tensor([0, 0, 0, 0, 0, 0, 1, 1])
    whole = step._loss(logits, labels, None, None)
    parts = [
        step._loss(part, own, None, None) for part, own in zip(logits.split(4), labels.split(4), strict=True)
    ]
    assert torch.allclose(whole, torch.stack(parts).mean())


def test_recipe_without_weights_has_none_and_its_old_identity() -> None:
    step = new_step(RECIPE)
    assert step.class_weights is None
    assert "class_weights" not in RECIPE.identity()
    assert replace(RECIPE, class_weights="balanced").identity()["class_weights"] == "balanced"


def test_training_weighs_classes_by_the_images_that_it_trains_on() -> None:
    images, recipe = digits(), replace(RECIPE, epochs=1, class_weights="balanced")
    losses = {}
    for name, settings in (("balanced", recipe), ("none", replace(recipe, class_weights="none"))):
        step = new_step(settings)
        *_, end = train(step, settings, images_at=lambda _: images, epochs=1, seed=0)
        assert isinstance(end, EpochEnd)
        losses[name] = end.train_loss
        if step.class_weights is not None:
            expected = balanced_weights(images.labels[images.train], 10)
            assert torch.equal(step.class_weights, expected)
            assert expected.min() < 1 < expected.max()  # digits are not of equal number
    assert losses["balanced"] != losses["none"]
