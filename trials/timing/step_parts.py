"""Times the parts of a real training step: its stem, each of its blocks, its top and its update.

A block that is timed by itself finds other caches and another state of the allocator than in a network. Here
the whole step runs, with time marks between its parts, so that the parts add up to the step.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from trials.devices.device import clock_of
from trials.timing.alternating import seconds_per_call
from trials.timing.block_table import StepParts
from trials.timing.step_time import TimedStep, undisturbed
from trials.timing.timed_work import TimedWork, alike
from trials.training.step import TrainingStep
from trials.training.synthetic_batch import SyntheticBatch

WARM_UP_CALLS = 2
CHUNK_SECONDS = 0.1  # of either network in each round
ROUNDS = 3
MIN_STEPS = 2  # of the candidate in each round

Marks = list[float]  # seconds, ascending


def measure_step_parts(
    candidate: TrainingStep,
    reference: TrainingStep | TimedStep,
    batch: SyntheticBatch,
    *,
    clock: Callable[[], float] | None = None,
    warm_reference: bool = False,
) -> StepParts:
    """The median time of each part, over steps taken in turn with the reference's.

    Single steps are sometimes 5 to 60 % too long, mostly in one part. That does not change medians of parts,
    but may change the median of whole steps. The state of both steps is restored.

    On CUDA the marked step is a graph, as it is in trials: launched one by one, the parts of a network on
    small images would be the gaps between their launches. If one of both steps cannot be recorded, neither
    is.

    Args:
        clock: seconds, for tests; default: the device's.
        warm_reference: the reference has taken steps on this batch before, and needs no warm-up.
    """
    device_clock = clock or clock_of(candidate.device)
    other = reference if isinstance(reference, TimedStep) else TimedStep(reference, batch)
    with undisturbed(candidate, other.step), marked(candidate, clock) as (step, calls):
        marked_work = TimedWork(step, candidate.graphed(step), (batch.images, batch.labels))
        pair = alike(marked_work, other.work)
        run_reference = pair.reference
        assert run_reference is not None, "two were given"
        found: list[Callable[[], Marks]] = []

        def take_step() -> None:
            pair.candidate()
            if pair.mode == "graph":
                # The next replay overwrites the events, so they are read at once.
                device_clock()
                marks = calls[-1]()
                found.append(lambda: marks)
            else:
                found.append(calls[-1])

        # Step 1: warm up both.
        for work, times in (
            (run_reference, 0 if warm_reference else WARM_UP_CALLS),
            (take_step, WARM_UP_CALLS),
        ):
            for _ in range(times):
                seconds_per_call(work, 1, device_clock)
        # Step 2: chunks in turn, beginning and ending with the reference.
        seconds = [_chunk(run_reference, device_clock, fewest=1)]
        for _ in range(ROUNDS):
            _chunk(take_step, device_clock, fewest=MIN_STEPS)
            seconds.append(_chunk(run_reference, device_clock, fewest=1))
        # Step 3: medians of all parts and of the reference's chunks; now eager steps' events are read, too.
        parts = medians_of([read() for read in found[WARM_UP_CALLS:]])
    return _step_parts(parts, statistics.median(seconds))


def _chunk(work: Callable[[], object], clock: Callable[[], float], *, fewest: int) -> float:
    """Mean seconds of a call, over as many calls as fill a chunk and at least `fewest`."""
    first = seconds_per_call(work, 1, clock)
    more = max(fewest, round(CHUNK_SECONDS / max(first, 1e-6))) - 1
    return (first + more * seconds_per_call(work, more, clock)) / (1 + more) if more else first


def medians_of(calls: Sequence[Marks]) -> list[float]:
    """The median over the calls of each interval between two neighbouring marks."""
    stretches = [[end - begin for begin, end in pairwise(marks)] for marks in calls]
    return [statistics.median(column) for column in zip(*stretches, strict=True)]


def _step_parts(stretches: list[float], reference_seconds: float) -> StepParts:
    """The intervals between the marks of `marked`, sorted by part and divided by the reference's step."""
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
    """The step with time marks between its parts.

    For N blocks there are 2 N + 6 marks, in this order: the beginnings of the step, the stem, block 1 to N
    and the top; the beginnings of backward of block N to 1 and of the stem, and of the update; the end.

    Yields:
        A function that takes a step, and a list to which every call of it adds a function that reads the
        call's marks. If the function is captured as a graph, the last one reads the marks of the latest
        replay.
    """
    times = Times(step.device, clock)
    calls: list[Callable[[], Marks]] = []

    def mark_output(module: nn.Module, inputs: Any, output: Tensor) -> None:
        times.mark()
        output.register_hook(times.mark)  # called as soon as this tensor's gradient is complete

    def mark_input(module: nn.Module, inputs: Any) -> None:
        times.mark()

    def run(images: Tensor, labels: Tensor) -> None:
        times.begin()
        step(images, labels)
        times.mark()
        calls.append(times.reader())

    stem = step.network.stem
    blocks = step.network.blocks()
    # The gradient of the stem's first weight is the last one that the backward pass computes.
    first_weight = step.leaf_of(next(stem.parameters()))
    handles = [stem.register_forward_pre_hook(mark_input)]
    handles += [module.register_forward_hook(mark_output) for module in (stem, *blocks)]
    handles.append(first_weight.register_post_accumulate_grad_hook(times.mark))
    try:
        yield run, calls
    finally:
        for handle in handles:
            handle.remove()


class Times:
    """Marks of one call: readings of the clock, or on CUDA events in the stream, which do not wait."""

    def __init__(self, device: torch.device, clock: Callable[[], float] | None) -> None:
        self.on_cuda = device.type == "cuda" and clock is None
        self.clock = clock or time.thread_time
        self.marks: list[Any] = []
        self.stream: torch.cuda.Stream | None = None  # in which the step runs

    def begin(self) -> None:
        """Forgets earlier marks and makes the first one of a call."""
        self.marks = []
        self.stream = torch.cuda.current_stream() if self.on_cuda else None
        self.mark()

    def mark(self, *_: Any) -> None:
        """Makes a mark now; takes the arguments of any hook."""
        if not self.on_cuda:
            self.marks.append(self.clock())
            return
        # External events become nodes of a captured graph, which record them anew in each replay. Hooks of
        # the backward pass run in a thread of their own, whose current stream may be another one.
        event = torch.cuda.Event(enable_timing=True, external=True)
        with torch.cuda.stream(self.stream):
            event.record()
        self.marks.append(event)

    def reader(self) -> Callable[[], Marks]:
        """A function that returns this call's times; on CUDA it must be called after the device is done."""
        marks, self.marks = self.marks, []
        if not self.on_cuda:
            return lambda: marks
        return lambda: [marks[0].elapsed_time(event) / 1000 for event in marks]
