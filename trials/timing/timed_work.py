"""Work that is timed beside other work: recorded as a CUDA graph beforehand, or called as it is."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from trials.timing.alternating import Work
from trials.training.cuda_graphs import GraphedCalls
from trials.trial import TimingMode


class TimedWork:
    """Calls of some work on inputs that lie on the device, ready to be timed.

    Args:
        work: takes the inputs, returns nothing and never waits for the device.
        calls: the same work through a CUDA graph, where one can be recorded.
    """

    def __init__(self, work: Callable[..., None], calls: GraphedCalls, inputs: tuple[Tensor, ...]) -> None:
        self._work, self._calls, self._inputs = work, calls, inputs

    def prepare(self) -> None:
        """Records the graph, unless it is there or cannot be recorded; on a CPU does nothing.

        That runs the work a few times, so that it is best done while others may still use the device.
        """
        self._calls.record(*self._inputs)

    @property
    def mode(self) -> TimingMode:
        """How the work can be called: as a graph, or launched one operation after the other."""
        return "graph" if self._calls.is_recorded else "eager"

    @property
    def device_type(self) -> str:
        """The kind of device that the inputs lie on."""
        return self._inputs[0].device.type

    @property
    def why_eager(self) -> str | None:
        """The reason why there is no graph; None if there is one, or none was tried."""
        return self._calls.failure

    def called(self, mode: TimingMode) -> Work:
        """A call of the work in a mode; a graph must have been recorded for that of a graph."""
        return partial(self._calls if mode == "graph" else self._work, *self._inputs)


@dataclass(frozen=True)
class Alike:
    """Candidate and reference, to be timed in the same mode."""

    candidate: Work
    reference: Work | None
    mode: TimingMode
    flag: str | None  # why their times are not those of graphs, on a device whose trials run as graphs


def alike(candidate: TimedWork, reference: TimedWork | None) -> Alike:
    """Both as graphs, or both without: single operations beside a graph would be no comparison."""
    sides = {"the network": candidate} | ({} if reference is None else {"the reference": reference})
    for side in sides.values():
        side.prepare()
    eager = [name for name, side in sides.items() if side.mode == "eager"]
    mode: TimingMode = "eager" if eager else "graph"
    return Alike(
        candidate=candidate.called(mode),
        reference=None if reference is None else reference.called(mode),
        mode=mode,
        flag=_flag([(name, sides[name]) for name in eager]),
    )


def _flag(eager: list[tuple[str, TimedWork]]) -> str | None:
    reasons = [f"{name}: {side.why_eager}" for name, side in eager if side.why_eager]
    if reasons:
        return f"timed without CUDA graphs ({'; '.join(reasons)})"
    return "timed without CUDA graphs" if any(side.device_type == "cuda" for _, side in eager) else None


def flags(*each: str | None) -> str | None:
    """All reasons why a time is uncertain as one; None if there are none."""
    return "; ".join(filter(None, each)) or None
