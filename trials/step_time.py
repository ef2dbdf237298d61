"""The step time S of a network, as its ratio to the space's reference network, measured alternately."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trials.device import clock_of
from trials.step import TrainingStep
from trials.trial import StepTime

WARM_UP_STEPS = 2  # the first builds the kernels' plans and grows the allocator
ROUNDS = 5
CHUNK_SECONDS = 0.1  # single steps scatter by 10-20 % on CPU; chunks of this length by 2-3 %
WIDE_SPREAD = 0.10  # of the ratios, (p90 - p10) / median: measured again, then flagged


@dataclass(frozen=True)
class TimedBatch:
    """A fixed synthetic batch on the device: images (B, H, W, 3) uint8 and labels (B,)."""

    images: Tensor
    labels: Tensor

    @classmethod
    def synthetic(
        cls, *, batch_size: int, resolution: int, num_classes: int, device: torch.device
    ) -> "TimedBatch":
        """Random pixels and labels, the same at every call."""
        generator = torch.Generator().manual_seed(0)
        shape = (batch_size, resolution, resolution, 3)
        return cls(
            torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator).to(device),
            torch.randint(0, num_classes, (batch_size,), generator=generator).to(device),
        )


def measure_step_time(
    candidate: TrainingStep,
    reference: TrainingStep,
    batch: TimedBatch,
    *,
    clock: Callable[[], float] | None = None,
    on_round: Callable[[float], None] | None = None,
) -> StepTime:
    """Seconds of the real training step (forward, loss, backward, update) on data that lies on the device.

    Chunks of steps alternate R C R C ... R between reference and candidate; each candidate chunk is divided
    by the mean of its two neighbours, so that drifts of the clock cancel, and the median of these ratios
    counts. Runs at learning rate 0 and puts both steps' state back: a network trains the same whether it was
    timed or not.
    """
    clock = clock or clock_of(candidate.device)
    kept = [(step, step.state()) for step in (candidate, reference)]
    try:
        for step in (candidate, reference):
            step.learning_rate.zero_()
            _seconds_per_step(step, batch, WARM_UP_STEPS, clock)
        started = clock()
        reference_seconds, candidate_seconds = _rounds(candidate, reference, batch, 1.0, clock, on_round)
        if _spread(_ratios(reference_seconds, candidate_seconds)) > WIDE_SPREAD:
            reference_seconds, candidate_seconds = _rounds(candidate, reference, batch, 2.0, clock, on_round)
        cost = clock() - started
    finally:
        for step, state in kept:
            step.load(state)
    ratios = _ratios(reference_seconds, candidate_seconds)
    spread = _spread(ratios)
    p10, p90 = np.percentile(candidate_seconds, [10, 90])
    return StepTime(
        step_seconds=statistics.median(candidate_seconds),
        step_seconds_p10=float(p10),
        step_seconds_p90=float(p90),
        step_time_ratio=statistics.median(ratios),
        step_time_ratio_spread=spread,
        reference_step_seconds=statistics.median(reference_seconds),
        timing_seconds=cost,
        device=str(candidate.device),
        resolution=int(batch.images.shape[1]),
        batch_size=int(batch.images.shape[0]),
        precision=candidate.precision,
        flag=f"spread {spread:.0%}" if spread > WIDE_SPREAD else None,
    )


def _rounds(
    candidate: TrainingStep,
    reference: TrainingStep,
    batch: TimedBatch,
    factor: float,
    clock: Callable[[], float],
    on_round: Callable[[float], None] | None,
) -> tuple[list[float], list[float]]:
    """Seconds per step of ROUNDS + 1 reference chunks and of the ROUNDS candidate chunks between them."""
    counts = {
        step: max(1, round(factor * CHUNK_SECONDS / max(_seconds_per_step(step, batch, 1, clock), 1e-6)))
        for step in (candidate, reference)
    }
    reference_seconds = [_seconds_per_step(reference, batch, counts[reference], clock)]
    candidate_seconds: list[float] = []
    for i in range(ROUNDS):
        candidate_seconds.append(_seconds_per_step(candidate, batch, counts[candidate], clock))
        reference_seconds.append(_seconds_per_step(reference, batch, counts[reference], clock))
        if on_round is not None:
            on_round((i + 1) / ROUNDS)
    return reference_seconds, candidate_seconds


def _seconds_per_step(step: TrainingStep, batch: TimedBatch, count: int, clock: Callable[[], float]) -> float:
    before = clock()
    for _ in range(count):
        step(batch.images, batch.labels)
    return (clock() - before) / count


def _ratios(reference: Sequence[float], candidate: Sequence[float]) -> list[float]:
    return [2 * c / (reference[i] + reference[i + 1]) for i, c in enumerate(candidate)]


def _spread(ratios: Sequence[float]) -> float:
    p10, p90 = np.percentile(ratios, [10, 90])
    return float((p90 - p10) / np.median(ratios))
