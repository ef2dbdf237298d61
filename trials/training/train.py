"""The training loop of ten-epoch trials and of full training."""

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from statistics import fmean
from typing import NamedTuple

import torch
from torch import Tensor

from trials.devices.device_lock import SECONDS_BETWEEN_HEARTBEATS
from trials.images.batches import batches, batches_of
from trials.images.device_images import ResidentImages
from trials.objective import mean_recall
from trials.recipe import Recipe, TrainingStage
from trials.recipe_stages import steps_of_epoch
from trials.training.batch_norm_statistics import statistics_batches, take_mean_statistics
from trials.training.device_group import share_of_batch
from trials.training.learning_rate import learning_rate_at
from trials.training.resolution_schedule import evaluation_stage, stages_of_epoch
from trials.training.run_ahead import RunAhead, device_waited
from trials.training.seeds import DROPS, ORDER, derived_seed
from trials.training.stage_calls import StageCalls
from trials.training.step import TrainingStep
from trials.trial import EpochFigures, EpochResult, Phase


class NonFiniteLossError(RuntimeError):
    """The training diverged: its loss is infinite or not a number."""


@dataclass(frozen=True)
class Heartbeat:
    """A sign of life of a running training, and how far it is."""

    phase: Phase
    epoch: int  # from 1
    fraction: float  # of the epoch


@dataclass(frozen=True, kw_only=True)
class EpochEnd(EpochFigures):
    """The figures of one epoch of a training, with those that a trial does not report for each epoch."""

    minival_accuracy_top5: float
    data_seconds: float = 0.0  # the part of train_seconds in which the device waited for images
    epochs: int = 1  # that the training's figures are of: this one, and those before it without evaluation

    def result(self, *, trial_id: int, attempt: int) -> EpochResult:
        """These figures as an event of a trial."""
        figures = {field.name: getattr(self, field.name) for field in fields(EpochFigures)}
        return EpochResult(trial_id=trial_id, attempt=attempt, **figures)


def train(
    step: TrainingStep,
    recipe: Recipe,
    *,
    images_at: Callable[[int], ResidentImages],
    epochs: int,
    seed: int,
    first_epoch: int = 0,
    evaluated_at: Callable[[int], ResidentImages] | None = None,
    is_evaluated: Callable[[int], bool] = lambda epoch: True,
) -> Iterator[Heartbeat | EpochEnd]:
    """Trains for `epochs` epochs in all; yields each epoch's figures, and heartbeats in between.

    An epoch (from 1) that is not evaluated has no figures of its own: its losses and seconds count with
    those of the next one that is, and it is no epoch to go on after.

    Data order, augmentation and drops depend only on (seed, epoch) and, for augmentation, the image. So a
    step that was loaded with the state after `first_epoch` epochs continues as if it had never stopped. Each
    device of the step's group trains on its share of every batch; of the random numbers only drops depend on
    the number of devices.

    Args:
        images_at: the images that a stage of a resolution trains on.
        evaluated_at: those on which it is evaluated; None: the same.

    Raises:
        NonFiniteLossError: the mean training loss of an epoch is not finite.
    """
    evaluated_at = evaluated_at or images_at
    run = _Training(step, recipe, images_at=images_at, evaluated_at=evaluated_at, epochs=epochs, seed=seed)
    with closing(run) as training:
        for epoch in range(first_epoch, epochs):
            yield from training.epoch(epoch, evaluated=is_evaluated(epoch + 1))


class _Trained(NamedTuple):
    """Figures of the steps of one epoch."""

    loss: float  # mean
    accuracy: float  # 0-1
    learning_rate: float  # of the last step
    seconds: float  # without the time in which the caller handled heartbeats
    waited: float  # the part of `seconds` in which the device waited for images


class _Evaluated(NamedTuple):
    """Figures of weights on minival."""

    loss: float  # mean
    accuracy: float  # 0-1, as are the following
    top5: float
    balanced: float  # mean of the classes' recalls


class _Training:
    """The state that the epochs of one training share."""

    def __init__(
        self,
        step: TrainingStep,
        recipe: Recipe,
        *,
        images_at: Callable[[int], ResidentImages],
        evaluated_at: Callable[[int], ResidentImages],
        epochs: int,
        seed: int,
    ) -> None:
        self.step, self.recipe = step, recipe
        self.images_at, self.evaluated_at = images_at, evaluated_at
        self.epochs, self.seed = epochs, seed
        self.stages = recipe.training_stages(epochs)
        self._calls: dict[int, StageCalls] = {}  # by the stage's index
        self._strengths_of: TrainingStage | None = None
        self._unevaluated: list[_Trained] = []  # epochs since the last evaluation
        self._is_balanced = False  # whether the step knows the frequencies of classes
        self._last_heartbeat = time.perf_counter()

    def close(self) -> None:
        """Gives the memory of all stages' graphs back."""
        while self._calls:
            self._calls.popitem()[1].close()

    def epoch(self, epoch: int, *, evaluated: bool = True) -> Iterator[Heartbeat | EpochEnd]:
        """One epoch (counted from 0): its training steps, then its evaluation on minival if it has one."""
        # Step 1: the epoch's random state and order of images, which follow from (seed, epoch) alone.
        step, group = self.step, self.step.group
        started = time.perf_counter()
        torch.manual_seed(derived_seed(self.seed, DROPS, epoch=epoch, rank=group.rank))
        evaluation = evaluation_stage(self.recipe, self.stages, epoch=epoch)
        images = self.images_at(evaluation.resolution)
        indices = self._order(images, epoch)  # (steps, this device's images of each)
        if step.class_weights is not None and not self._is_balanced:  # the same labels at every resolution
            step.balance(images.labels[images.train.to(images.labels.device)])
            self._is_balanced = True
        # Step 2: train.
        trained = yield from self._steps(epoch, evaluation, indices, started)
        if not math.isfinite(trained.loss):
            raise NonFiniteLossError(f"the training loss of epoch {epoch + 1} is {trained.loss}")
        self._unevaluated.append(trained)
        if not evaluated:
            return
        since, self._unevaluated = self._unevaluated, []
        # Step 3: evaluate the weights as they are and, if there are any, the averaged ones.
        yield Heartbeat("evaluating", epoch + 1, 1.0)
        resumed = self._last_heartbeat = time.perf_counter()
        # In no larger batches than fit into memory while training.
        calls, batch_size = self._calls_of(evaluation), -(-indices.shape[1] // step.micro_batches)
        minival = self.evaluated_at(self.recipe.evaluation_size(evaluation))
        parts = self._statistics_parts(calls, indices, batch_size=batch_size)
        if step.average is None:
            self._estimate_statistics(calls, parts)
        raw = found = _evaluate_minival(calls, minival, batch_size=batch_size)
        if step.average is not None:
            with step.average.swapped():
                self._estimate_statistics(calls, parts)
                found = _evaluate_minival(calls, minival, batch_size=batch_size)
        yield EpochEnd(
            epoch=epoch + 1,
            train_loss=fmean(each.loss for each in since),  # all epochs have as many images
            train_accuracy=fmean(each.accuracy for each in since),
            minival_loss=found.loss,
            minival_accuracy=found.accuracy,
            minival_accuracy_raw=raw.accuracy,
            minival_accuracy_top5=found.top5,
            minival_balanced_accuracy=found.balanced,
            learning_rate=trained.learning_rate,
            resolution=minival.resolution,
            train_seconds=sum(each.seconds for each in since),
            evaluate_seconds=time.perf_counter() - resumed,
            data_seconds=sum(each.waited for each in since),
            epochs=len(since),
        )

    def _order(self, images: ResidentImages, epoch: int) -> Tensor:
        """This device's images of each step, as indices (steps, share of a batch).

        All devices shuffle alike and take their shares. The images of an incomplete last batch are left out;
        the next epoch's shuffle leaves out others.
        """
        order = torch.Generator().manual_seed(derived_seed(self.seed, ORDER, epoch=epoch))
        shuffled = images.train[torch.randperm(len(images.train), generator=order)]
        batch_size = self.recipe.batch_of(len(shuffled))
        steps = steps_of_epoch(len(shuffled), batch_size)
        group = self.step.group
        share = share_of_batch(batch_size, rank=group.rank, size=group.size, pairing=self.recipe.pairing())
        return shuffled[: steps * batch_size].view(steps, batch_size)[:, share]

    def _steps(
        self, epoch: int, evaluation: TrainingStage, indices: Tensor, started: float
    ) -> Generator[Heartbeat, None, _Trained]:
        """Trains the steps of an epoch, which began at `started` on the performance counter."""
        steps, rate, waited = len(indices), 0.0, 0.0
        plan = stages_of_epoch(self.recipe, self.stages, epoch=epoch, steps=steps, seed=self.seed)
        self._prepare({stage.index: stage for stage in (*plan, evaluation)}, epoch)
        # Step 1: the stage, and so the resolution, of every step is known ahead; images can be prefetched.
        source = batches_of([
            (self._calls_of(stage).images, own) for stage, own in zip(plan, indices, strict=True)
        ])  # fmt: skip
        # Step 2: launch the steps. The host runs ahead of a GPU, and measures how long it waits for images.
        ahead = RunAhead(self.step.device)
        for i, stage in enumerate(plan):
            asked = time.perf_counter()
            batch = next(source)
            waited += time.perf_counter() - asked
            rate = learning_rate_at(
                epoch * steps + i,
                recipe=self.recipe,
                steps_per_epoch=steps,
                total_steps=self.epochs * steps,
            )
            self.step.learning_rate.fill_(rate)
            self._set_strengths(stage)
            calls = self._calls_of(stage)
            calls.train(batch.images, batch.labels, batch.samples)
            ahead.launched(is_resident=calls.images.is_resident)
            if time.perf_counter() - self._last_heartbeat > SECONDS_BETWEEN_HEARTBEATS:
                paused = time.perf_counter()
                yield Heartbeat("training", epoch + 1, (i + 1) / steps)
                self._last_heartbeat = time.perf_counter()
                started += self._last_heartbeat - paused  # the caller may have waited for the device
        # Step 3: wait for the device.
        launched = time.perf_counter()
        loss, accuracy = self.step.read_totals()
        left = time.perf_counter() - launched
        waited = device_waited(waited, left=left, launching=launched - started, steps=steps)
        return _Trained(loss, accuracy, rate, time.perf_counter() - started, waited)

    def _prepare(self, needed: dict[int, TrainingStage], epoch: int) -> None:
        """Prepares the needed stages for an epoch's draws, and drops the others with their memory.

        Where resolutions are drawn at random, the others are kept: they may come back in the next epoch.
        """
        if not self.recipe.draws_sizes:
            for index in self._calls.keys() - needed:
                self._calls.pop(index).close()
        for stage in needed.values():
            self._calls_of(stage).augment.start_epoch(seed=self.seed, epoch=epoch)

    def _statistics_parts(self, calls: StageCalls, indices: Tensor, *, batch_size: int) -> list[Tensor]:
        """Parts of the epoch's first batches, on which batch-norm statistics are estimated, if asked for.

        Their graph is captured here, while the network has its own weights: one that cannot be captured
        ends the process's use of the device, and nothing could be put back.
        """
        if not self.recipe.batch_norm_batches:
            return []
        parts = list(
            statistics_batches(indices, batches=self.recipe.batch_norm_batches, batch_size=batch_size)
        )
        if calls.add_statistics.has_recorder:
            self._switch_drops_off()
            first = next(iter(batches_of([(calls.images, parts[0])])))
            calls.add_statistics.record(first.images, first.labels, first.samples)
        return parts

    def _estimate_statistics(self, calls: StageCalls, parts: Sequence[Tensor]) -> None:
        """Estimates the present weights' batch-norm statistics on these images, if there are any."""
        if not parts:
            return
        self._switch_drops_off()
        calls.statistics.zero_()
        ahead = RunAhead(self.step.device)
        for batch in batches_of([(calls.images, own) for own in parts]):
            calls.add_statistics(batch.images, batch.labels, batch.samples)
            ahead.launched(is_resident=calls.images.is_resident)
        take_mean_statistics(self.step, calls.statistics, batches=len(parts))

    def _switch_drops_off(self) -> None:
        self.step.network.set_strengths(dropout=0.0, stochastic_depth=0.0)
        self._strengths_of = None  # the next step sets them

    def _calls_of(self, stage: TrainingStage) -> StageCalls:
        if stage.index not in self._calls:
            images = self.images_at(stage.resolution)
            self._calls[stage.index] = StageCalls(self.step, self.recipe, stage, images)
        return self._calls[stage.index]

    def _set_strengths(self, stage: TrainingStage) -> None:
        if stage is not self._strengths_of:
            self.step.network.set_strengths(
                dropout=stage.dropout, stochastic_depth=self.recipe.stochastic_depth
            )
            self._strengths_of = stage


def _evaluate_minival(calls: StageCalls, images: ResidentImages, *, batch_size: int) -> _Evaluated:
    """The figures of the network's present weights on minival.

    Each device evaluates a share of the images; their sums are added.
    """
    calls.sums.zero_()
    group, ahead = calls.step.group, RunAhead(calls.step.device)
    for batch in batches(images, images.minival[group.rank :: group.size], batch_size=batch_size):
        calls.evaluate(batch.images, batch.labels)
        ahead.launched(is_resident=images.is_resident)
    group.sum(calls.sums)
    sums = calls.sums.cpu()
    loss, correct, top5 = (sums[:3] / len(images.minival)).tolist()
    hits, counts = sums[3:].double().numpy().reshape(2, -1)
    return _Evaluated(loss, correct, top5, mean_recall(hits, counts))
