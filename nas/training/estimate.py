"""Estimate of what a full training takes, from a few steps of each of its stages."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from nas.training.evaluated_epochs import is_evaluated
from trials.images.batches import Batch, batches
from trials.images.device_images import ResidentImages
from trials.recipe import Recipe, TrainingStage
from trials.recipe_stages import steps_of_epoch
from trials.training.device_group import share_of_batch
from trials.training.stage_calls import StageCalls
from trials.training.step import TrainingStep

FEWEST_STEPS, SECONDS = 3, 1.0  # of a stage that is timed, in each round
ROUNDS = 2  # over all stages: what disturbs a stage's few steps is seldom still there when it comes again
MOST_SECONDS = 20.0  # of the whole estimate; a call that has begun is waited for
CAPTURES = 6  # so many times more on a GPU, where recording each stage's graphs takes most of it


@dataclass(frozen=True)
class StageEstimate:
    """Seconds that one training stage is expected to take."""

    stage: TrainingStage
    step_seconds: float
    train_seconds: float  # of all its epochs
    evaluate_seconds: float
    is_measured: bool = True  # False: it follows from a measured stage, by pixels

    @property
    def seconds(self) -> float:
        """Seconds of the stage, training and evaluation."""
        return self.train_seconds + self.evaluate_seconds


@dataclass(frozen=True)
class Estimating:
    """A stage is about to be timed for the estimate, an event."""

    stage: int  # from 1
    stages: int
    round: int  # from 1


def costs_more_than_it_tells(stages: Sequence[TrainingStage], *, steps: int) -> bool:
    """True of a training of fewer steps than a round of its estimate; `steps` are those of an epoch."""
    return steps * sum(stage.epochs for stage in stages) < len(stages) * (1 + FEWEST_STEPS)


def estimate(
    step: TrainingStep,
    recipe: Recipe,
    *,
    images_at: Callable[[int], ResidentImages],
    epochs: int,
    seed: int,
    evaluated_at: Callable[[int], ResidentImages] | None = None,
    evaluate_every: int = 1,
    on_event: Callable[[Estimating], object] = lambda event: None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[StageEstimate]:
    """Takes real steps on real images in each stage and puts the step's tensors and generators back.

    Of the rounds the quickest counts: others' work makes steps slower, nothing makes them faster. When
    MOST_SECONDS have passed (on a GPU CAPTURES times as many) no other stage is timed: what is missing
    follows from the pixels of those that were. None of a training of fewer steps than one round.
    """
    stages = recipe.training_stages(epochs)
    images = images_at(stages[-1].resolution)
    steps = steps_of_epoch(len(images.train), recipe.batch_size)
    if costs_more_than_it_tells(stages, steps=steps):
        return []
    # Step 1: keep the state of the step and of torch's generators.
    kept = step.state()
    cuda = [step.device] if step.device.type == "cuda" else []
    timer = _Timer(step, clock)
    found: dict[int, StageEstimate] = {}  # by the stage's index, the quickest
    # Step 2: time all stages, in rounds one after the other, as long as there is time.
    with torch.random.fork_rng(devices=cuda):
        for i in range(ROUNDS):
            for stage in stages:
                if found and timer.is_over():
                    break
                on_event(Estimating(stage.index + 1, len(stages), i + 1))
                at = images_at(stage.resolution)
                minival = (evaluated_at or images_at)(
                    recipe.evaluation_size(stages[-1] if recipe.draws_sizes else stage)
                )
                timed = _stage(
                    step,
                    recipe,
                    stage,
                    at,
                    minival,
                    stages,
                    timer=timer,
                    seed=seed,
                    evaluate_every=evaluate_every,
                )
                before = found.get(stage.index, timed)
                found[stage.index] = min(before, timed, key=lambda each: each.seconds)
    # Step 3: put the state back, and fill in what was not timed.
    step.load(kept)
    largest = found[max(found)]
    return [found.get(stage.index) or _by_pixels(stage, largest) for stage in stages]


def _by_pixels(stage: TrainingStage, measured: StageEstimate) -> StageEstimate:
    """The estimate of a stage that was not timed: work grows with the pixels of an image."""
    pixels = (stage.resolution / measured.stage.resolution) ** 2
    epochs = stage.epochs / max(measured.stage.epochs, 1)  # of drawn sizes some may have none
    return StageEstimate(
        stage,
        step_seconds=measured.step_seconds * pixels,
        train_seconds=measured.train_seconds * pixels * epochs,
        evaluate_seconds=measured.evaluate_seconds * pixels * epochs,
        is_measured=False,
    )


def _stage(
    step: TrainingStep,
    recipe: Recipe,
    stage: TrainingStage,
    images: ResidentImages,
    minival: ResidentImages,
    stages: Sequence[TrainingStage],
    *,
    timer: "_Timer",
    seed: int,
    evaluate_every: int,
) -> StageEstimate:
    # The stage's calls, on a real batch, at a learning rate of zero.
    calls = StageCalls(step, recipe, stage, images)
    step.network.set_strengths(dropout=stage.dropout, stochastic_depth=recipe.stochastic_depth)
    calls.augment.start_epoch(seed=seed, epoch=0)
    step.learning_rate.zero_()
    batch_size = recipe.batch_of(len(images.train))
    group = step.group
    share = share_of_batch(batch_size, rank=group.rank, size=group.size, pairing=recipe.pairing())
    sample = next(iter(batches(images, images.train[share], batch_size=len(share))))

    def train_step() -> None:
        calls.train(sample.images, sample.labels, sample.samples)

    # As many calls as the stage has at most: an estimate takes no longer than the stage.
    evaluated = next(iter(batches(minival, minival.minival[: len(share)], batch_size=len(share))))
    steps = steps_of_epoch(len(images.train), batch_size) * stage.epochs
    own = range(stage.first_epoch + 1, stage.first_epoch + stage.epochs + 1)
    times = sum(is_evaluated(epoch, every=evaluate_every, stages=stages) for epoch in own)
    per_step = timer.seconds(train_step, most=steps)
    most = -(-len(minival.minival) // batch_size) * times * step.evaluations
    per_image = timer.seconds(lambda: _evaluate(calls, evaluated), most=most) / len(evaluated.images)
    # Batches on which statistics are estimated cost about as much as those that are evaluated.
    images_evaluated = len(minival.minival) / group.size * step.evaluations
    images_evaluated += recipe.batch_norm_batches * len(share)
    return StageEstimate(
        stage=stage,
        step_seconds=per_step,
        train_seconds=per_step * steps,
        evaluate_seconds=per_image * images_evaluated * times,
    )


def _evaluate(calls: StageCalls, batch: Batch) -> None:
    calls.evaluate(batch.images, batch.labels)


class _Timer:
    """Seconds of calls, by a clock; of a group, of its slowest device, so that all take as many."""

    def __init__(self, step: TrainingStep, clock: Callable[[], float]) -> None:
        self._step, self._clock = step, clock
        self._spent = 0.0
        self._most = MOST_SECONDS * (CAPTURES if step.device.type == "cuda" else 1)

    def is_over(self) -> bool:
        """True when no other stage is to be timed."""
        return self._spent >= self._most

    def seconds(self, work: Callable[[], None], *, most: int) -> float:
        """The median of a few calls, after one that warms up; of no more than `most`.

        Where time is over after the first, which may have compiled or recorded something, it is that.
        """
        first = self._time(work)
        taken: list[float] = []
        while len(taken) < FEWEST_STEPS or (sum(taken) < SECONDS and len(taken) < most):
            if self.is_over():
                break
            taken.append(self._time(work))
        return sorted(taken)[len(taken) // 2] if taken else first

    def _time(self, work: Callable[[], None]) -> float:
        before = self._clock()
        work()
        if self._step.device.type == "cuda":
            torch.cuda.synchronize(self._step.device)
        seconds = self._step.group.largest(self._clock() - before)
        self._spent += seconds
        return seconds
