"""Work that is timed beside other work: recorded as a CUDA graph beforehand, or called as it is."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from trials.measurement import Mode
from trials.timing.alternating import Work
from trials.training.cuda_graphs import GraphedCalls


class TimedWork:
    """Calls of some work on inputs that lie on the device, ready to be timed.

    Args:
        work: takes the inputs, returns nothing and never waits for the device.
        calls: the same work through a CUDA graph, where it has a recorder.
        copies: copying the inputs to where the graph reads them is part of the work, as in training.
    """

    def __init__(
        self,
        work: Callable[..., None],
        calls: GraphedCalls,
        inputs: tuple[Tensor, ...],
        *,
        copies: bool = True,
    ) -> None:
        self._work, self._calls, self._inputs, self._copies = work, calls, inputs, copies

    def prepare(self) -> None:
        """Records the graph, unless it is there; without a recorder, as on a CPU, does nothing.

        That runs the work a few times, so that it is best done while others may still use the device.

        Raises:
            CaptureFailedError: the work cannot be captured.
        """
        self._calls.record(*self._inputs)

    @property
    def mode(self) -> Mode:
        """How the work is called: as a graph, or launched one operation after the other."""
        return "graph" if self._calls.has_recorder else "eager"

    @property
    def device_type(self) -> str:
        """The kind of device that the inputs lie on."""
        return self._inputs[0].device.type

    def called(self, mode: Mode) -> Work:
        """A call of the work in a mode; a graph only where there is a recorder."""
        if mode == "eager":
            return partial(self._work, *self._inputs)
        return partial(self._calls, *self._inputs) if self._copies else self._calls.replay

    def close(self) -> None:
        """Gives the graph's memory back."""
        self._calls.close()


@dataclass(frozen=True)
class Alike:
    """Candidate and reference, to be timed in the same mode."""

    candidate: Work
    reference: Work | None
    mode: Mode
    flag: str | None  # why their times are not those of graphs, on a device whose trials run as graphs


def mode_of_both(candidate: TimedWork, reference: TimedWork | None) -> Mode:
    """The mode to time both in: graphs if both can be; single operations beside a graph would not compare."""
    sides = (candidate,) if reference is None else (candidate, reference)
    return "graph" if all(side.mode == "graph" for side in sides) else "eager"


def alike(candidate: TimedWork, reference: TimedWork | None) -> Alike:
    """Both as graphs, recorded by now, or both without.

    Raises:
        CaptureFailedError: one of both cannot be captured.
    """
    sides = (candidate,) if reference is None else (candidate, reference)
    mode = mode_of_both(candidate, reference)
    if mode == "graph":
        for side in sides:
            side.prepare()
    has_graphs = candidate.device_type == "cuda" or any(side.mode == "graph" for side in sides)
    return Alike(
        candidate=candidate.called(mode),
        reference=None if reference is None else reference.called(mode),
        mode=mode,
        flag="timed without CUDA graphs" if mode == "eager" and has_graphs else None,
    )


def flags(*each: str | None) -> str | None:
    """All reasons why a time is uncertain as one; None if there are none."""
    return "; ".join(filter(None, each)) or None
