"""The row of an epoch in a training's metrics: its figures, and the sizes and strengths of its batches."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from statistics import mean

from nas.events import EpochMetrics
from trials.recipe import Recipe, TrainingStage
from trials.recipe_stages import steps_of_epoch
from trials.training.resolution_schedule import stages_of_epoch
from trials.training.train import EpochEnd


def metrics_of(
    end: EpochEnd, recipe: Recipe, stages: Sequence[TrainingStage], *, images: int, seed: int, best: bool
) -> EpochMetrics:
    """The row of an epoch that was evaluated, and of those before it that were not, on so many images."""
    batch_size = recipe.batch_of(images)
    steps = steps_of_epoch(images, batch_size)
    plan = [
        stage
        for epoch in range(end.epoch - end.epochs, end.epoch)
        for stage in stages_of_epoch(recipe, stages, epoch=epoch, steps=steps, seed=seed)
    ]
    figures = {field.name: getattr(end, field.name) for field in fields(end) if field.name != "epochs"}
    return EpochMetrics(
        **figures,
        stage=plan[0].index if len({stage.index for stage in plan}) == 1 else None,
        train_resolution=mean(stage.resolution for stage in plan),
        dropout=mean(stage.dropout for stage in plan),
        randaugment=mean(stage.randaugment for stage in plan),
        mixup=mean(stage.mixup for stage in plan),
        cutmix=mean(stage.cutmix for stage in plan),
        images_per_second=len(plan) * batch_size / end.train_seconds,
        best=best,
        finished_at=datetime.now(UTC).isoformat(),
    )
