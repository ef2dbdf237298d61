"""The training step time S of a network, measured in turn with the space's reference network."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch

from trials.devices.device import clock_of
from trials.timing.alternating import FEWEST_ROUNDS, alternate, chunk_seconds_on
from trials.training.step import TrainingStep
from trials.training.synthetic_batch import SyntheticBatch
from trials.trial import StepTime


def measure_step_time(
    candidate: TrainingStep,
    reference: TrainingStep | None,
    batch: SyntheticBatch,
    *,
    clock: Callable[[], float] | None = None,
    max_seconds: float | None = None,
    max_calls: float = 0.0,
    fewest_rounds: int = FEWEST_ROUNDS,
    on_round: Callable[[float], None] | None = None,
    reference_batch: SyntheticBatch | None = None,
) -> StepTime:
    """Times the real training step (forward, loss, backward, update) on a batch that lies on the device.

    Chunks of steps alternate R C R C … R between reference and candidate. Each candidate chunk is divided by
    both of its neighbours, so that drifts of the clock cancel, and the median of these ratios is the result
    (`alternate`, whose limits `max_seconds`, `max_calls` and `fewest_rounds` are). Without a reference the
    candidate is timed alone, and its ratio is 1.

    Steps run at learning rate 0, and the state of both and of torch's generators is restored: a network
    trains the same whether it was timed or not.

    Args:
        clock: seconds; default: the device's, see `clock_of`.
        on_round: called after every round with the share (0-1) of the rounds that are done.
        reference_batch: the reference's own batch, where its images have another size; default: `batch`.
    """
    steps = [candidate] if reference is None else [candidate, reference]
    batches = [batch, reference_batch or batch]
    with undisturbed(*steps):
        calls = [
            partial(step.graphed(step), own.images, own.labels)
            for step, own in zip(steps, batches, strict=False)
        ]
        timed = alternate(
            calls[0],
            calls[1] if reference is not None else None,
            clock=clock or clock_of(candidate.device),
            chunk_seconds=chunk_seconds_on(candidate.device.type),
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
        device=str(candidate.device),
        resolution=int(batch.images.shape[1]),
        batch_size=int(batch.images.shape[0]),
        precision=candidate.precision,
        rounds=timed.rounds,
        flag=timed.flag,
    )


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
