"""Batch-norm statistics of the evaluated weights: the mean of some batches', and nothing else changes."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from small_trials import HALF, RECIPE, digits, new_step
from torch import nn

from trials.augmentation.augment import to_input
from trials.images.batches import batches_of
from trials.recipe import Ramp
from trials.training import stage_calls
from trials.training.batch_norm_statistics import statistics_batches, take_mean_statistics
from trials.training.cuda_graphs import CaptureFailedError
from trials.training.stage_calls import StageCalls
from trials.training.train import EpochEnd, _Training, train
from trials.training.weight_average import WeightAverage

pytestmark = pytest.mark.usefixtures("as_a_worker")

ESTIMATING = replace(RECIPE, batch_norm_batches=3, batch_norm_momentum=0.03)


def test_estimated_statistics_are_the_mean_of_the_batches_own() -> None:
    step, images = new_step(ESTIMATING), digits()
    calls = StageCalls(step, ESTIMATING, ESTIMATING.training_stages()[0], images)
    parts = images.train[:96].split(32)
    seen: list[torch.Tensor] = []
    norm = next(module for module in step.network.modules() if isinstance(module, nn.BatchNorm2d))
    with torch.no_grad():
        for part in parts:
            features = step.network.stem[0](to_input(images.pixels[part]))
            seen.append(features.var((0, 2, 3)))
    step.parameters.statistics.fill_(7.0)  # nothing of what was there may remain
    for batch in batches_of([(images, part) for part in parts]):
        calls.add_statistics(batch.images, batch.labels, batch.samples)
    take_mean_statistics(step, calls.statistics, batches=3)
    assert norm.running_var is not None
    torch.testing.assert_close(norm.running_var, torch.stack(seen).mean(0))


def test_batches_are_divided_as_those_that_are_evaluated() -> None:
    indices = torch.arange(40).view(4, 10)
    parts = [part.tolist() for part in statistics_batches(indices, batches=2, batch_size=5)]
    assert parts == [list(range(i, i + 5)) for i in (0, 5, 10, 15)]
    assert len(list(statistics_batches(indices, batches=9, batch_size=10))) == 4


@pytest.mark.parametrize("averaging_decay", [0.9, 0.0])
def test_estimating_statistics_changes_evaluations_and_no_weights(averaging_decay: float) -> None:
    """Also where a network drops: its rates are those of the stage again in the next epoch."""
    running = replace(
        RECIPE, epochs=3, num_training_stages=2, resolution=Ramp(8, 16), dropout=Ramp(0.4, 0.1),
        stochastic_depth=0.3, averaging_decay=averaging_decay,
    )  # fmt: skip
    estimating = replace(running, batch_norm_batches=3)
    ends, values = [], []
    for recipe in (running, estimating):
        step = new_step(recipe)
        events = train(step, recipe, images_at=partial(digits, data=HALF), epochs=3, seed=1)
        ends.append([event for event in events if isinstance(event, EpochEnd)])
        values.append(step.parameters.values.clone())
    assert torch.equal(*values)
    assert [end.train_loss for end in ends[0]] == [end.train_loss for end in ends[1]]
    assert all(a.minival_loss != b.minival_loss for a, b in zip(*ends, strict=True))
    # Of a network that has hardly begun, running statistics are still those of no image at all.
    assert ends[1][0].minival_loss < ends[0][0].minival_loss


def test_a_graph_that_cannot_be_captured_is_met_before_the_averaged_weights_are_in_place() -> None:
    recipe = replace(ESTIMATING, averaging_decay=0.9)
    step = new_step(recipe)
    seen: list[torch.Tensor] = []

    def refuse(work: object) -> object:
        seen.append(step.parameters.values.clone())
        raise CaptureFailedError("no graph")

    run = _Training(step, recipe, images_at=digits, evaluated_at=digits, epochs=1, seed=1)
    calls = run._calls_of(recipe.training_stages()[0])
    calls.add_statistics._record = refuse  # type: ignore[assignment]
    with pytest.raises(CaptureFailedError, match="no graph"):
        list(run.epoch(0))
    assert len(seen) == 1
    assert torch.equal(seen[0], step.parameters.values)


def test_an_error_in_the_block_of_averaged_weights_is_not_hidden_by_that_of_putting_them_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    average = WeightAverage(new_step(RECIPE).parameters, decay=0.9)
    swaps: list[int] = []

    def swap() -> None:
        swaps.append(1)
        if len(swaps) > 1:
            raise RuntimeError("the device is lost")

    monkeypatch.setattr(average, "_swap", swap)
    with pytest.raises(ValueError, match="first"), average.swapped():
        raise ValueError("first")
    assert len(swaps) == 2


@pytest.mark.parametrize("changes", [{}, {"evaluation_resolution": 24}], ids=str)
def test_statistics_are_of_augmented_images_where_others_are_evaluated(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, images = replace(ESTIMATING, cutout=0.5, **changes), digits()
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(stage_calls, "add_batch_statistics", lambda *found: seen.append(found[-1]))
    calls = StageCalls(new_step(recipe), recipe, recipe.training_stages()[0], images)
    calls.augment.start_epoch(seed=0, epoch=0)
    (batch,) = batches_of([(images, images.train[:32])])
    calls.add_statistics(batch.images, batch.labels, batch.samples)
    assert torch.equal(seen[0], batch.images) != bool(changes)
