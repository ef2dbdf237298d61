"""Estimate of what a full training takes, from a few steps of each of its stages."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from trials.images.batches import Batch, batches
from trials.images.device_images import ResidentImages
from trials.recipe import Recipe, TrainingStage, steps_of_epoch
from trials.training.device_group import share_of_batch
from trials.training.stage_calls import StageCalls
from trials.training.step import TrainingStep

FEWEST_STEPS, SECONDS = 3, 1.0  # of a stage that is timed, in each round
ROUNDS = 2  # over all stages: what disturbs a stage's few steps is seldom still there when it comes again


@dataclass(frozen=True)
class StageEstimate:
    """Seconds that one training stage is expected to take."""

    stage: TrainingStage
    step_seconds: float
    train_seconds: float  # of all its epochs
    evaluate_seconds: float

    @property
    def seconds(self) -> float:
        """Seconds of the stage, training and evaluation."""
        return self.train_seconds + self.evaluate_seconds


def estimate(
    step: TrainingStep,
    recipe: Recipe,
    *,
    images_at: Callable[[int], ResidentImages],
    epochs: int,
    seed: int,
    evaluated_at: Callable[[int], ResidentImages] | None = None,
) -> list[StageEstimate]:
    """Takes real steps on real images in each stage and puts the step's tensors and generators back.

    Of the rounds the quickest counts: others' work makes steps slower, nothing makes them faster.
    """
    # 1. Keep the state of the step and of torch's generators.
    kept = step.state()
    cuda = [step.device] if step.device.type == "cuda" else []
    found: list[list[StageEstimate]] = []
    # 2. Time all stages, in rounds one after the other.
    with torch.random.fork_rng(devices=cuda):
        for _ in range(ROUNDS):
            found.append(
                [
                    _stage(
                        step,
                        recipe,
                        stage,
                        images_at(stage.resolution),
                        (evaluated_at or images_at)(recipe.evaluation_size(stage)),
                        seed=seed,
                    )
                    for stage in recipe.training_stages(epochs)
                ]
            )
    # 3. Put the state back; of each stage the quickest round counts.
    step.load(kept)
    return [min(rounds, key=lambda stage: stage.seconds) for rounds in zip(*found, strict=True)]


def _stage(
    step: TrainingStep,
    recipe: Recipe,
    stage: TrainingStage,
    images: ResidentImages,
    minival: ResidentImages,
    *,
    seed: int,
) -> StageEstimate:
    # The stage's calls, on a real batch, at a learning rate of zero.
    calls = StageCalls(step, recipe, stage, images)
    step.network.set_strengths(dropout=stage.dropout, stochastic_depth=recipe.stochastic_depth)
    calls.augment.start_epoch(seed=seed, epoch=0)
    step.learning_rate.zero_()
    batch_size = min(recipe.batch_size, len(images.train))
    group = step.group
    share = share_of_batch(batch_size, rank=group.rank, size=group.size, pairing=recipe.pairing())
    sample = next(iter(batches(images, images.train[share], batch_size=len(share))))

    def train_step() -> None:
        calls.train(sample.images, sample.labels, sample.samples)

    # As many calls as the stage has at most: an estimate takes no longer than the stage.
    evaluated = next(iter(batches(minival, minival.minival[: len(share)], batch_size=len(share))))
    steps = steps_of_epoch(len(images.train), batch_size) * stage.epochs
    evaluations = -(-len(minival.minival) // batch_size) * step.evaluations * stage.epochs
    per_step = _seconds(train_step, step, most=steps)
    per_image = _seconds(lambda: _evaluate(calls, evaluated), step, most=evaluations) / len(evaluated.images)
    # Batches on which statistics are estimated cost about as much as those that are evaluated.
    images_evaluated = len(minival.minival) / group.size * step.evaluations
    images_evaluated += recipe.batch_norm_batches * len(share)
    return StageEstimate(
        stage=stage,
        step_seconds=per_step,
        train_seconds=per_step * steps,
        evaluate_seconds=per_image * images_evaluated * stage.epochs,
    )


def _evaluate(calls: StageCalls, batch: Batch) -> None:
    calls.evaluate(batch.images, batch.labels)


def _seconds(work: Callable[[], None], step: TrainingStep, *, most: int) -> float:
    """The median of a few calls, after one that warms up; of a group, of its slowest device.

    No more than `most` calls: an estimate that takes longer than what it estimates is none.
    """
    work()
    _wait(step)
    taken: list[float] = []
    while len(taken) < FEWEST_STEPS or (sum(taken) < SECONDS and len(taken) < most):
        before = time.perf_counter()
        work()
        _wait(step)
        # All of a group have the same figures, so that all take as many steps.
        taken.append(step.group.largest(time.perf_counter() - before))
    return sorted(taken)[len(taken) // 2]


def _wait(step: TrainingStep) -> None:
    if step.device.type == "cuda":
        torch.cuda.synchronize(step.device)
