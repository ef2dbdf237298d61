"""Resolution schedules: which size and strengths each step has, also of a training that is resumed."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from full_trainings import CONFIG, begun_of, curve
from full_trainings import RECIPE as FULL
from small_trials import RECIPE, digits, new_step

from nas.events import EpochDone
from nas.screens.training import _beginning
from nas.training.train import train_fully
from nas.training.training_events import TrainingEvent
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import from_mapping
from trials.images.batches import batches_of
from trials.recipe import Ramp, Recipe
from trials.training.resolution_schedule import PERIOD, evaluation_stage, stages_of_epoch
from trials.training.train import EpochEnd, train

pytestmark = pytest.mark.usefixtures("as_a_worker")

TABLE_6_S = Recipe(
    epochs=40, batch_size=64, resolution=Ramp(128, 300), num_training_stages=4, dropout=Ramp(0.1, 0.3),
    randaugment=Ramp(5, 15),
)  # fmt: skip


def recipe(**changes: Any) -> Recipe:
    return replace(TABLE_6_S, **changes)


# ---------------------------------------------------------------- sizes and strengths


@pytest.mark.parametrize(
    ("schedule", "regularization", "sizes", "magnitudes"),
    [
        ("progressive", "adaptive", [128, 185, 242, 300], [5, 8.33, 11.67, 15]),
        ("progressive", "fixed", [128, 185, 242, 300], [15, 15, 15, 15]),
        ("random_batch", "adaptive", [128, 185, 242, 300], [5, 8.31, 11.63, 15]),
        ("random_epochs", "fixed", [128, 185, 242, 300], [15, 15, 15, 15]),
        ("constant", "adaptive", [300, 300, 300, 300], [5, 8.33, 11.67, 15]),
        ("constant", "fixed", [300, 300, 300, 300], [15, 15, 15, 15]),
    ],
)
def test_each_resolution_schedule_has_its_sizes_and_strengths(
    schedule: str, regularization: str, sizes: list[int], magnitudes: list[float]
) -> None:
    """Table 13's cells, and the resolution that stays."""
    stages = recipe(resolution_schedule=schedule, regularization=regularization).training_stages()
    assert [stage.resolution for stage in stages] == sizes
    assert [stage.randaugment for stage in stages] == pytest.approx(magnitudes, abs=0.01)
    assert sum(stage.epochs for stage in stages) == 40


def test_sizes_to_draw_from_can_be_listed_and_are_regularised_by_size() -> None:
    stages = recipe(resolution_schedule="random_batch", resolutions=(256, 128, 160)).training_stages()
    assert [stage.resolution for stage in stages] == [128, 160, 256]
    assert [stage.randaugment for stage in stages] == pytest.approx([5, 7.5, 15])


def test_every_batch_has_a_size_of_its_own_drawn_from_seed_and_epoch() -> None:
    drawing = recipe(resolution_schedule="random_batch")
    stages = drawing.training_stages()

    def drawn(seed: int, epoch: int) -> list[int]:
        return [
            stage.resolution for stage in stages_of_epoch(drawing, stages, epoch=epoch, steps=1000, seed=seed)
        ]

    counts = Counter(drawn(0, 0))
    assert set(counts) == {128, 185, 242, 300}
    assert all(200 < count < 300 for count in counts.values())
    assert drawn(0, 0) == drawn(0, 0)
    assert drawn(0, 0) != drawn(0, 1)
    assert drawn(0, 0) != drawn(1, 0)


def test_eight_epochs_share_a_drawn_image_size() -> None:
    drawing = recipe(resolution_schedule="random_epochs")
    stages = drawing.training_stages()
    sizes = [
        {
            stage.resolution
            for stage in stages_of_epoch(drawing, stages, epoch=epoch, steps=5, seed=2)
        }
        for epoch in range(40)
    ]  # fmt: skip
    assert all(len(each) == 1 for each in sizes)
    periods = [sizes[i : i + PERIOD] for i in range(0, 40, PERIOD)]
    assert all(each == period[0] for period in periods for each in period)
    assert len({min(period[0]) for period in periods}) > 1


def test_trainings_with_drawn_sizes_are_evaluated_at_the_largest() -> None:
    drawing, growing = recipe(resolution_schedule="random_epochs"), recipe()
    assert evaluation_stage(drawing, drawing.training_stages(), epoch=0).resolution == 300
    assert evaluation_stage(growing, growing.training_stages(), epoch=0).resolution == 128


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"resolution_schedule": "random"}, "progressive"),
        ({"resolution_schedule": "random_batch"}, "needs several sizes to draw from"),
        ({"resolutions": [16, 32]}, "resolution_schedule progressive draws none; use random_batch or"),
        ({"resolution_schedule": "random_epochs", "resolutions": [16, 4]}, "resolutions: 4 is out of range"),
        ({"resolution_schedule": "random_epochs", "resolutions": [16, 16]}, "needs several sizes"),
        ({"regularization": "adaptiv"}, "adaptive"),
    ],
)
def test_wrong_resolution_schedules_are_refused_by_name(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        from_mapping(Recipe, {"epochs": 8, "batch_size": 64, "resolution": 32, **changes}, name="recipe.yaml")


# ---------------------------------------------------------------- training


def test_batches_of_several_sizes_come_in_their_order() -> None:
    small, large = digits(8), digits(16)
    parts = [(large, large.train[:4]), (small, small.train[4:6]), (large, large.train[6:9])]
    found = list(batches_of(parts))
    assert [tuple(batch.images.shape[:3]) for batch in found] == [(4, 16, 16), (2, 8, 8), (3, 16, 16)]
    for (images, indices), batch in zip(parts, found, strict=True):
        assert torch.equal(batch.images, images.pixels[indices])
        assert torch.equal(batch.labels, images.labels[indices])
    assert list(batches_of([])) == []


def test_batches_are_trained_at_the_sizes_and_dropped_at_the_rates_that_were_drawn() -> None:
    drawing = replace(
        RECIPE, epochs=1, dropout=Ramp(0.0, 0.5), resolution_schedule="random_batch", resolutions=(8, 16),
    )  # fmt: skip
    step, seen = new_step(drawing), []
    step.network.stem.register_forward_hook(
        lambda module, inputs, output: (
            seen.append(
                (inputs[0].shape[-1], round(float(step.network.dropout.drop_rate), 3))  # type: ignore[arg-type]
            )
            if step.network.training
            else None
        )
    )
    ends = list(train(step, drawing, images_at=digits, epochs=1, seed=5))
    stages = drawing.training_stages()
    plan = stages_of_epoch(drawing, stages, epoch=0, steps=len(seen), seed=5)
    assert seen == [(stage.resolution, stage.dropout) for stage in plan]
    assert len(set(seen)) == 2
    assert isinstance(ends[-1], EpochEnd)
    assert ends[-1].resolution == 16


@pytest.mark.parametrize("schedule", ["random_batch", "random_epochs"])
def test_stopped_training_goes_on_with_the_image_sizes_it_would_have_had(
    schedule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trials.training.resolution_schedule.PERIOD", 2)
    drawing = replace(FULL, resolution_schedule=schedule, resolutions=(8, 12, 16))
    config = replace(CONFIG, recipe=drawing)
    events: list[TrainingEvent] = []
    whole = train_fully(config, tmp_path / "whole", on_event=events.append)

    def stop(item: TrainingEvent) -> None:
        if isinstance(item, EpochDone) and item.metrics.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_fully(config, tmp_path / "run", on_event=stop)
    resumed = train_fully(config, tmp_path / "run")
    assert curve(resumed) == curve(whole)
    assert [metrics.resolution for metrics in whole.metrics] == [16] * 4
    sizes = [metrics.train_resolution for metrics in whole.metrics]
    assert len(set(sizes)) > 1
    assert all(8 <= size <= 16 for size in sizes)
    if schedule == "random_epochs":
        assert sizes[0] == sizes[1]
        assert sizes[2] == sizes[3]
    begun = begun_of(events)
    assert "a size is drawn for each" in _beginning(begun)
