"""Number of threads of a training on a CPU: threads that wait for each other may be slower than one."""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from trials.augmentation.augment_batch import Augmentation
from trials.devices.device import available_cores, use_all_cores
from trials.recipe import Recipe, TrainingStage
from trials.training.stage_calls import train_batch
from trials.training.step import TrainingStep
from trials.training.synthetic_batch import SyntheticBatch

ROUNDS = 3
STEP_SECONDS = 0.3  # of one thread, for which as many images are taken as it computes in that time
FEWEST_IMAGES = 8
MARGIN = 0.9  # largest share of fewer threads' time at which more are taken: they need all cores free


@dataclass(frozen=True)
class ChosenThreads:
    """A number of threads, and a sentence that says why; empty where there was nothing to choose."""

    threads: int
    why: str = ""


def asked_threads(cores: int) -> int | None:
    """The number that OMP_NUM_THREADS asks for, or the only one there can be; None: it is to be chosen."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked):
        return int(asked)
    return 1 if cores == 1 else None


def use_threads(number: int) -> None:
    """Sets so many threads; 0: one for each core, as of trainings of earlier versions."""
    if number:
        torch.set_num_threads(number)
    else:
        use_all_cores()


def threads_of(
    step: TrainingStep, recipe: Recipe, stages: Sequence[TrainingStage], *, classes: int
) -> ChosenThreads:
    """The number of threads with which this step is fastest on its largest images, by a short probe.

    The step's tensors and torch's generators are restored; torch has the chosen number of threads.
    """
    cores = len(available_cores())
    if (asked := asked_threads(cores)) is not None:
        torch.set_num_threads(asked)
        return ChosenThreads(asked)
    largest = max(stages, key=lambda stage: stage.resolution)
    augment = Augmentation(recipe, largest, step.device)

    def take_step(images: int) -> None:
        batch = SyntheticBatch.random(
            batch_size=images, resolution=largest.resolution, num_classes=classes, device=step.device
        )
        train_batch(step, augment, {}, batch.images, batch.labels, torch.arange(images))

    kept = step.state()
    with torch.random.fork_rng(devices=[]):
        chosen = fastest_threads(take_step, batch_size=recipe.batch_size, cores=cores)
    step.load(kept)
    torch.set_num_threads(chosen.threads)
    return chosen


def fastest_threads(
    take_step: Callable[[int], object],
    *,
    batch_size: int,
    cores: int,
    clock: Callable[[], float] = time.perf_counter,
    set_threads: Callable[[int], object] = torch.set_num_threads,
) -> ChosenThreads:
    """The number of threads, of 1, half and all cores, with the fastest steps; the fewest of those alike.

    Args:
        take_step: takes a step on so many images.
    """

    def seconds(threads: int, images: int) -> float:
        set_threads(threads)
        before = clock()
        take_step(images)
        return clock() - before

    # Step 1: as many images as one thread computes in STEP_SECONDS; the first step warms up.
    fewest = min(FEWEST_IMAGES, batch_size)
    seconds(1, fewest)
    per_image = seconds(1, fewest) / fewest
    images = max(fewest, min(batch_size, int(STEP_SECONDS / max(per_image, 1e-9))))
    # Step 2: all numbers in turn, so that what else the machine does meets them alike.
    numbers = sorted({1, -(-cores // 2), cores})
    taken: dict[int, list[float]] = {number: [] for number in numbers}
    for i in range(1 + ROUNDS):
        for number in numbers:
            found = seconds(number, images)
            if i:  # the first round starts threads
                taken[number].append(found)
    # Step 3: more threads only where they are clearly faster.
    medians = {number: statistics.median(times) for number, times in taken.items()}
    best = 1
    for number in numbers[1:]:
        if medians[number] < MARGIN * medians[best]:
            best = number
    others = ", ".join(f"{number}: {images / medians[number]:,.0f}" for number in numbers)
    several = "thread" if best == 1 else "threads"
    return ChosenThreads(best, f"{best} {several} of the CPU: the fastest by images/s ({others})")
