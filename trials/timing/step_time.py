"""The training step time S of a network, measured in turn with the space's reference network."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Self

import torch
from torch import Tensor

from trials.devices.device import clock_of
from trials.measurement import StepTime
from trials.timing.alternating import FEWEST_ROUNDS, UNCERTAIN_ERROR, alternate, chunk_seconds_on
from trials.timing.timed_work import TimedWork, alike, flags
from trials.training.step import TrainingStep
from trials.training.synthetic_batch import SyntheticBatch


class TimedStep:
    """A training step on a batch, ready to be timed.

    Args:
        batch: lies on the step's device.
        precision: in which it is timed; default: that in which it trains.
    """

    def __init__(self, step: TrainingStep, batch: SyntheticBatch, *, precision: str | None = None) -> None:
        self.step, self.batch = step, batch
        self.precision = precision or step.precision
        # No method of this object: graph and object would hold each other, and the graph's memory with them.
        take = partial(_take, step, self.precision)
        self.work = TimedWork(take, step.graphed(take), (batch.images, batch.labels))

    def close(self) -> None:
        """Gives the graph's memory back."""
        self.work.close()

    def prepare(self) -> Self:
        """Records the step as a CUDA graph where that is possible; its state stays as it was."""
        self.work.prepare()
        return self


def _take(step: TrainingStep, precision: str, images: Tensor, labels: Tensor) -> None:
    trained, step.precision = step.precision, precision
    try:
        step(images, labels)
    finally:
        step.precision = trained


def measure_step_time(
    candidate: TrainingStep | TimedStep,
    reference: TrainingStep | TimedStep | None,
    batch: SyntheticBatch,
    *,
    clock: Callable[[], float] | None = None,
    max_seconds: float | None = None,
    max_calls: float = 0.0,
    fewest_rounds: int = FEWEST_ROUNDS,
    on_round: Callable[[float], None] | None = None,
) -> StepTime:
    """Times the real training step (forward, loss, backward, update) on a batch that lies on the device.

    Chunks of steps alternate R C R C … R between reference and candidate. Each candidate chunk is divided by
    both of its neighbours, so that drifts of the clock cancel, and the median of these ratios is the result
    (`alternate`, whose limits `max_seconds`, `max_calls` and `fewest_rounds` are). Without a reference the
    candidate is timed alone, and its ratio is 1. Both run as CUDA graphs, or, where one of them cannot be
    recorded, both without.

    Steps run at learning rate 0, and the state of both and of torch's generators is restored: a network
    trains the same whether it was timed or not.

    Args:
        candidate, reference: a `TimedStep` may have been prepared before, and has its own batch.
        clock: seconds; default: the device's, see `clock_of`.
        on_round: called after every round with the share (0-1) of the rounds that are done.
    """
    own = candidate if isinstance(candidate, TimedStep) else TimedStep(candidate, batch)
    other = reference
    if isinstance(other, TrainingStep):
        other = TimedStep(other, batch)
    device = own.step.device
    with undisturbed(own.step, *([] if other is None else [other.step])):
        pair = alike(own.work, other.work if other is not None else None)
        timed = alternate(
            pair.candidate,
            pair.reference,
            clock=clock or clock_of(device),
            chunk_seconds=chunk_seconds_on(device.type),
            max_seconds=max_seconds,
            max_calls=max_calls,
            fewest_rounds=fewest_rounds,
            on_round=on_round,
        )
    p10, p90 = timed.candidate_p10_p90
    return StepTime(
        step_seconds=timed.candidate_median,
        step_seconds_p10=p10,
        step_seconds_p90=p90,
        step_time_ratio=timed.ratio,
        step_time_ratio_spread=timed.spread,
        step_time_ratio_error=timed.error,
        reference_step_seconds=timed.reference_median,
        timing_seconds=timed.cost_seconds,
        device=str(device),
        resolution=int(own.batch.images.shape[1]),
        batch_size=int(own.batch.images.shape[0]),
        precision=own.precision,
        rounds=timed.rounds,
        mode=pair.mode,
        flag=flags(timed.flag, pair.flag),
    )


def is_uncertain(time: StepTime) -> bool:
    """True if the ratio's own error is what its flag says; other flags stay whenever it is timed."""
    return time.step_time_ratio_error is not None and time.step_time_ratio_error > UNCERTAIN_ERROR


def surer(first: StepTime, second: StepTime) -> StepTime:
    """The one of two times of a step whose ratio has the smaller error; what both cost is added up."""
    chosen = min(first, second, key=lambda time: _error_of(time.step_time_ratio_error))
    return replace(chosen, timing_seconds=first.timing_seconds + second.timing_seconds)


def _error_of(known: float | None) -> float:
    return math.inf if known is None else known


@contextmanager
def undisturbed(*steps: TrainingStep) -> Iterator[None]:
    """Runs steps at learning rate 0 within the block, and restores their tensors and torch's generators."""
    kept = [(step, step.state()) for step in steps]
    cuda = [step.device for step in steps[:1] if step.device.type == "cuda"]
    with torch.random.fork_rng(devices=cuda):
        try:
            for step in steps:
                step.learning_rate.zero_()
            yield
        finally:
            for step, state in kept:
                step.load(state)
