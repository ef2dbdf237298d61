"""Seconds that trials of a search take on this machine: a few networks, built and timed for moments."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
import torch

from nas.search.config import SearchConfig
from nas.search.trial_builder import needs_inference_time
from search_spaces.networks.architecture import Architecture
from trials.devices.device import (
    available_slots,
    clock_of,
    device_info,
    give_back_freed_memory,
    keep_freed_memory,
    lock_of,
)
from trials.devices.memory_bound import bounded_on
from trials.devices.threads import threads_of_trials, using_threads
from trials.images.batches import batches
from trials.images.device_images import ResidentImages
from trials.images.packed import TrialImages
from trials.pictures import STORED_RATIO
from trials.recipe import TrainingStage
from trials.recipe_stages import steps_of_epoch
from trials.timing.alternating import chunk_seconds_on
from trials.timing.block_fit import Fit
from trials.timing.precision import precision_of_trials
from trials.timing.trial_timing import TIMING_ROUNDS, TIMING_SECONDS, TIMING_SHARE
from trials.training.micro_batches import fit_in_memory
from trials.training.stage_calls import StageCalls
from trials.training.step import TrainingStep, build_step

NETWORKS = 8  # drawn, besides the reference
TABLE_NETWORKS = 400  # where a table of block times says what each takes
SECONDS, FEWEST_CALLS, SLOW_CALL = 0.5, 3, 1.0  # of one measurement; of slow calls one is enough
STEP_SECONDS, FEWEST_IMAGES = 0.5, 4  # a batch whose step takes longer on a CPU is timed in part
USUAL_ROUNDS = 12  # of timing, until the step time is sure, as a rule


@dataclass(frozen=True)
class ImageCounts:
    """Numbers of images and classes of a search."""

    train: int
    minival: int
    classes: int
    assumed: bool = False  # said by the user, not read from the source


@dataclass(frozen=True)
class TrialCost:
    """Seconds of one trial of a network, by what they are spent on."""

    build_seconds: float
    timing_seconds: float
    train_seconds: float
    evaluate_seconds: float
    step_seconds: float  # of a whole batch in the last training stage

    @property
    def seconds(self) -> float:
        """Seconds of the whole trial."""
        return self.seconds_of_longer(1.0)

    def seconds_of_longer(self, times: float) -> float:
        """Seconds of a trial of so many times the epochs."""
        return self.build_seconds + self.timing_seconds + times * (self.train_seconds + self.evaluate_seconds)


class TrialBench:
    """This machine's first device, taking steps of trials on made-up images of the search's sizes.

    Nothing is written. On a CPU one thread computes, as in a worker, and its own time counts.
    """

    def __init__(self, config: SearchConfig, images: ImageCounts) -> None:
        self.config, self.recipe, self.images = config, config.recipe, images
        slot = available_slots()[0]
        self.device, self.device_name = torch.device(slot.device), device_info(slot).device_name
        self.stages = self.recipe.training_stages()
        self.batch_size = self.recipe.batch_of(images.train)
        self.largest = max(stage.resolution for stage in self.stages)
        if self.device.type == "cpu":
            keep_freed_memory()
        self.precision = precision_of_trials(
            self.recipe.precision, self.recipe, self.device, reference=config.space.reference
        ).precision
        self.clock = clock_of(self.device)
        self._own_seconds = self._wall_seconds = 0.0  # of what was timed
        self.lock = lock_of(self.device)
        self.images_at = lru_cache(maxsize=None)(self._images_at)
        self.timed_batch_size = self.batch_size
        self._reference_step_seconds: float | None = None
        if self.device.type == "cpu":
            self.timed_batch_size = self._affordable_batch()
        else:
            self.cost(config.space.reference)  # a worker's first trial alone pays for the device's context
        self.reference = self.cost(config.space.reference)
        self._reference_step_seconds = self.reference.step_seconds

    @property
    def slowed_down(self) -> float:
        """Time of timing by the wall clock over its own: 1 where nobody else worked."""
        return self._wall_seconds / max(self._own_seconds, 1e-9)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches; what is left over is not trained on."""
        return steps_of_epoch(self.images.train, self.batch_size)

    def cost(self, architecture: Architecture) -> TrialCost:
        """A trial of that network: each of its training stages is timed for moments and multiplied."""
        with self.lock.timing():
            before = self.clock()
            step = self._step(architecture)
            build = self.clock() - before
            parts = [self._stage(step, stage) for stage in self.stages]
        last = parts[-1][0]
        del step
        give_back_freed_memory()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return TrialCost(
            build_seconds=build,
            timing_seconds=self.timing_seconds(last, self._reference_step_seconds or last),
            train_seconds=sum(seconds for _, seconds, _ in parts),
            evaluate_seconds=sum(evaluate for _, _, evaluate in parts),
            step_seconds=last,
        )

    def cost_by_ratio(self, ratio: float) -> TrialCost:
        """A trial of a network whose step takes so many times as long as the reference's."""
        own, step = self.reference, ratio * self.reference.step_seconds
        return replace(
            own,
            timing_seconds=self.timing_seconds(step, own.step_seconds),
            train_seconds=ratio * own.train_seconds,
            evaluate_seconds=ratio * own.evaluate_seconds,
            step_seconds=step,
        )

    def timing_seconds(self, step: float, reference: float) -> float:
        """Seconds that a trial spends on measuring its step time, unless that is predicted, and inference."""
        chunk = chunk_seconds_on(self.device.type)
        inference = USUAL_ROUNDS * 2 * chunk if needs_inference_time(self.config) else 0.0
        if self.config.step_time == "predicted":
            return inference
        most = max(TIMING_SECONDS, TIMING_SHARE * self.recipe.epochs * self.steps_per_epoch * step)
        rounds = USUAL_ROUNDS * (max(step, chunk) + max(reference, chunk))
        return inference + max(min(most, rounds), TIMING_ROUNDS * (step + reference))

    def _step(self, architecture: Architecture) -> TrainingStep:
        torch.manual_seed(0)
        step = build_step(
            architecture,
            self.recipe,
            num_classes=self.images.classes,
            device=self.device,
            precision=self.precision,
        )
        fit_in_memory(
            step,
            batch_size=self.timed_batch_size,
            resolution=self.largest,
            num_classes=self.images.classes,
        )
        return step

    def _stage(self, step: TrainingStep, stage: TrainingStage) -> tuple[float, float, float]:
        """Seconds of a step, of all the stage's training, and of its evaluation."""
        # The stage's calls on a batch of made-up images, at a learning rate of zero.
        images = self.images_at(self._side(stage))
        calls = StageCalls(step, self.recipe, stage, images)
        step.network.set_strengths(dropout=stage.dropout, stochastic_depth=self.recipe.stochastic_depth)
        calls.augment.start_epoch(seed=0, epoch=0)
        step.learning_rate.zero_()
        count = self.timed_batch_size
        batch = next(iter(batches(images, images.train[:count], batch_size=count)))
        # First calls also make plans and graphs, once for each stage.
        first, per_batch = self._seconds(partial(calls.train, batch.images, batch.labels, batch.samples))
        size = self.recipe.evaluation_size(stage)
        evaluated = self.images_at(size).pixels[: len(batch.images)]
        first_evaluation, per_evaluation = self._seconds(partial(calls.evaluate, evaluated, batch.labels))
        per_step = per_batch * self.batch_size / count
        begin = max(0.0, first - per_batch) + max(0.0, first_evaluation - per_evaluation)  # plans, graphs
        return (
            per_step,
            per_step * self.steps_per_epoch * stage.epochs + begin,
            per_evaluation / count * self.images.minival * step.evaluations * stage.epochs,
        )

    def _side(self, stage: TrainingStage) -> int:
        """The side (pixels) of pictures that the stage trains on: large enough for its crops, at most."""
        if not self.recipe.cuts_from_larger:
            return stage.resolution
        stored = self.recipe.stored_resolution
        return stored if isinstance(stored, int) else round(STORED_RATIO * self.largest)

    def _seconds(self, work: Callable[[], object]) -> tuple[float, float]:
        """Seconds of the first call, and the median of those after it."""
        taken: list[float] = []
        begun = time.perf_counter()
        while len(taken) < FEWEST_CALLS + 1 or sum(taken[1:]) < SECONDS:
            before = self.clock()
            work()
            taken.append(self.clock() - before)
            if len(taken) > 1 and taken[-1] > SLOW_CALL:
                break
        self._own_seconds += sum(taken)
        self._wall_seconds += time.perf_counter() - begun
        return taken[0], statistics.median(taken[1:])

    def _affordable_batch(self) -> int:
        """A power of two, of which a step of the reference surely takes STEP_SECONDS at most."""
        whole, count = self.batch_size, min(self.batch_size, FEWEST_IMAGES)
        while count < whole:
            self.timed_batch_size = count
            step = self._step(self.config.space.reference)
            seconds = self._stage(step, self.stages[-1])[0] * count / whole
            self.images_at.cache_clear()
            # So many times the images take at most so many times as long: of few, a step is mostly overhead.
            times = int(STEP_SECONDS / max(seconds, 1e-9))
            if times < 2:
                break
            count = min(whole, count * 2 ** (times.bit_length() - 1))
        return count

    def _images_at(self, resolution: int) -> ResidentImages:
        count, rng = self.timed_batch_size, np.random.default_rng(0)
        everything = np.arange(count)
        images = TrialImages(
            images=rng.integers(0, 256, (count, resolution, resolution, 3), dtype=np.uint8),
            labels=rng.integers(0, self.images.classes, count),
            train=everything,
            minival=everything,
            classes=tuple(map(str, range(self.images.classes))),
        )
        return ResidentImages(images, self.device)


@contextmanager
def trial_bench(config: SearchConfig, images: ImageCounts) -> Iterator[TrialBench]:
    """The bench, with one thread on a CPU inside the block; torch's generators are put back."""
    device = torch.device(available_slots()[0].device)
    cuda = [device] if device.type == "cuda" else []
    with (
        using_threads(threads_of_trials(device)),
        bounded_on(device),
        torch.random.fork_rng(devices=cuda),
    ):
        yield TrialBench(config, images)


def drawn_costs(
    bench: TrialBench,
    draw: Callable[[np.random.Generator], Architecture],
    *,
    fit: Fit | None,
    on_network: Callable[[int, int], object] = lambda done, total: None,
) -> list[TrialCost]:
    """Costs of networks drawn uniformly, always the same: timed here or, by a table's fit, predicted."""
    rng = np.random.default_rng([bench.config.seed, 2])
    if fit is not None:
        ratios = [fit.predict(draw(rng))[0] for _ in range(TABLE_NETWORKS)]
        return [bench.cost_by_ratio(ratio) for ratio in ratios]
    costs = []
    for done in range(NETWORKS):
        on_network(done, NETWORKS)
        costs.append(bench.cost(draw(rng)))
    return costs
