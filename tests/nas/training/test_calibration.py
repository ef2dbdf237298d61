"""Calibration of probabilities: bins by confidence, and the error expected over them."""

import pytest
import torch

from nas.training.calibration import BINS, Calibration, CalibrationCounter


def counted(logits: torch.Tensor, correct: list[bool]) -> Calibration:
    """The calibration of one batch."""
    counter = CalibrationCounter(torch.device("cpu"))
    counter.add(logits, torch.tensor(correct))
    return counter.result()


def of_confidence(*confidences: float) -> torch.Tensor:
    """Logits of two classes whose first has these probabilities."""
    first = torch.tensor(confidences)
    return torch.stack([first.log(), (1 - first).log()], dim=1)


def test_predictions_are_counted_in_the_bin_of_their_confidence() -> None:
    found = counted(of_confidence(0.55, 0.95, 0.96, 0.97), [True, True, True, False])
    assert found.images == 4
    assert found.counts[int(0.55 * BINS)] == 1
    assert found.counts[BINS - 1] == 3
    assert found.confidence[BINS - 1] == pytest.approx(0.96)
    assert found.accuracy[BINS - 1] == pytest.approx(2 / 3)


def test_expected_error_is_the_mean_gap_weighted_by_images() -> None:
    found = counted(of_confidence(0.55, 0.95, 0.96, 0.97), [True, True, True, False])
    assert found.expected_error == pytest.approx((0.45 + 3 * (0.96 - 2 / 3)) / 4, abs=1e-6)
    assert found.overconfidence == pytest.approx((-0.45 + 3 * (0.96 - 2 / 3)) / 4, abs=1e-6)


def test_a_certain_prediction_is_in_the_last_bin() -> None:
    found = counted(torch.tensor([[1000.0, -1000.0]]), [True])
    assert found.counts[BINS - 1] == 1
    assert found.expected_error == 0.0


def test_logits_that_are_no_numbers_count_as_no_confidence() -> None:
    nan, inf = float("nan"), float("inf")
    found = counted(
        torch.tensor([[nan, nan], [inf, 0.0], [nan, 1.0], [9.0, -9.0]]), [True, False, False, True]
    )
    assert (found.images, found.counts[0], found.counts[BINS - 1]) == (4, 3, 1)
    assert (found.confidence[0], found.accuracy[0]) == (0.0, pytest.approx(1 / 3))


def test_batches_add_up_to_what_one_batch_of_all_gives() -> None:
    logits = torch.randn(40, 5, generator=torch.Generator().manual_seed(1))
    correct = torch.arange(40) % 3 == 0
    counter = CalibrationCounter(torch.device("cpu"))
    for rows in (slice(0, 7), slice(7, 40)):
        counter.add(logits[rows], correct[rows])
    whole = counted(logits, correct.tolist())
    assert counter.result().counts == whole.counts
    assert counter.result().expected_error == pytest.approx(whole.expected_error)
