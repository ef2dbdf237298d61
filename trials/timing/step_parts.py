"""One real training step, divided: what its stem, each of its blocks, its top and its update take.

A block that is timed by itself finds other caches and another allocator's state than in a network. Here the
step is the real one, and marks are set where one part ends and the next begins; so the parts add up to it.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from trials.devices.device import clock_of
from trials.timing.alternating import seconds_per_call
from trials.timing.block_table import StepParts
from trials.timing.step_time import undisturbed
from trials.training.step import TrainingStep
from trials.training.synthetic_batch import SyntheticBatch

WARM_UP_CALLS = 2
CHUNK_SECONDS = 0.1  # of the reference, beside each round of the candidate
ROUNDS = 3
STEPS_A_ROUND = 2  # at least

Marks = list[float]


def measure_step_parts(
    candidate: TrainingStep,
    reference: TrainingStep,
    batch: SyntheticBatch,
    *,
    clock: Callable[[], float] | None = None,
    warm_reference: bool = False,
) -> StepParts:
    """Each part's median over steps that are taken in turn with the reference's; both stay as they were.

    Single steps are 5 to 60 % too long now and then, mostly in one part: medians of parts do not see it, the
    median of whole steps may. `warm_reference`: it has taken steps on this batch before.
    """
    device_clock = clock or clock_of(candidate.device)
    run_reference = partial(reference, batch.images, batch.labels)
    with undisturbed(candidate, reference), marked(candidate, clock) as (step, calls):
        warm_up = 0 if warm_reference else WARM_UP_CALLS
        for work, times in (
            (run_reference, warm_up),
            (partial(step, batch.images, batch.labels), WARM_UP_CALLS),
        ):
            for _ in range(times):
                seconds_per_call(work, 1, device_clock)
        seconds = [_chunk(run_reference, device_clock, fewest=1)]
        for _ in range(ROUNDS):
            _chunk(partial(step, batch.images, batch.labels), device_clock, fewest=STEPS_A_ROUND)
            seconds.append(_chunk(run_reference, device_clock, fewest=1))
        parts = medians_of([read() for read in calls[WARM_UP_CALLS:]])
    return _step_parts(parts, statistics.median(seconds))


def _chunk(work: Callable[[], object], clock: Callable[[], float], *, fewest: int) -> float:
    """Seconds of a call, the mean over as many as fill a chunk."""
    first = seconds_per_call(work, 1, clock)
    more = max(fewest, round(CHUNK_SECONDS / max(first, 1e-6))) - 1
    return (first + more * seconds_per_call(work, more, clock)) / (1 + more) if more else first


def medians_of(calls: Sequence[Marks]) -> list[float]:
    """Of each stretch between two marks, its median over the calls."""
    stretches = [[end - begin for begin, end in pairwise(marks)] for marks in calls]
    return [statistics.median(column) for column in zip(*stretches, strict=True)]


def _step_parts(stretches: list[float], reference_seconds: float) -> StepParts:
    before, stem, *parts, stem_backward, update = (seconds / reference_seconds for seconds in stretches)
    blocks = len(parts) // 2
    return StepParts(
        stem=stem + stem_backward,
        forward=tuple(parts[:blocks]),
        top=parts[blocks],
        backward=tuple(reversed(parts[blocks + 1 :])),
        update=before + update,
        reference_seconds=reference_seconds,
    )


@contextmanager
def marked(
    step: TrainingStep, clock: Callable[[], float] | None = None
) -> Iterator[tuple[Callable[[Tensor, Tensor], None], list[Callable[[], Marks]]]]:
    """The step with marks, and for every call of it what reads its 2 N + 6 marks of N blocks (seconds).

    They are where begin: all, the stem, block 1 to N, the top, backward of block N to 1, of the stem, the
    update; and the end.
    """
    times = _Times(step.device, clock)
    calls: list[Callable[[], Marks]] = []

    def mark_output(module: nn.Module, inputs: Any, output: Tensor) -> None:
        times.mark()
        output.register_hook(times.mark)  # called as soon as all of this tensor's gradient is there

    def mark_input(module: nn.Module, inputs: Any) -> None:
        times.mark()

    def run(images: Tensor, labels: Tensor) -> None:
        times.begin()
        step(images, labels)
        times.mark()
        calls.append(times.reader())

    stem = step.network.stem
    blocks = step.network.blocks()
    first_weight = next(stem.parameters())  # its gradient is the last one of the backward pass
    handles = [stem.register_forward_pre_hook(mark_input)]
    handles += [module.register_forward_hook(mark_output) for module in (stem, *blocks)]
    handles.append(first_weight.register_post_accumulate_grad_hook(times.mark))
    try:
        yield run, calls
    finally:
        for handle in handles:
            handle.remove()


class _Times:
    """Marks of one call: the clock's readings; on CUDA events on the stream, which wait for nothing."""

    def __init__(self, device: torch.device, clock: Callable[[], float] | None) -> None:
        self.on_cuda = device.type == "cuda" and clock is None
        self.clock = clock or time.thread_time
        self.marks: list[Any] = []

    def begin(self) -> None:
        self.marks = []
        self.mark()

    def mark(self, *_: Any) -> None:
        if self.on_cuda:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self.marks.append(event)
        else:
            self.marks.append(self.clock())

    def reader(self) -> Callable[[], Marks]:
        """What returns this call's times; on CUDA to be called when the device has done the work."""
        marks, self.marks = self.marks, []
        if not self.on_cuda:
            return lambda: marks
        return lambda: [marks[0].elapsed_time(event) / 1000 for event in marks]
