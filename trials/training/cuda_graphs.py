"""CUDA graphs: work on tensors that is captured once and from then on launched as a whole.

A training step of a small network on small images launches about a thousand kernels, which takes longer than
computing them. A graph launches all of them at once, on the same addresses. So everything that changes from
call to call must lie in tensors that stay in place.
"""

import gc
import os
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from search_spaces.settings.sentences import first_line
from trials.devices.device_errors import WITHOUT_GRAPHS, CaptureFailedError

WARM_UP_CALLS = 3  # before a capture, which allows neither cuDNN's choice of kernels nor lazy initialisation

Work = Callable[..., None]


class Recorded(NamedTuple):
    """Work that was captured: `replay` repeats it, `close` gives its memory back; then it must not run."""

    replay: Callable[[], object]
    close: Callable[[], object] = lambda: None


Record = Callable[[Callable[[], None]], Recorded]


def allows_graphs() -> bool:
    """False if the environment says so: see WITHOUT_GRAPHS."""
    name, _, off = WITHOUT_GRAPHS.partition("=")
    return os.environ.get(name) != off


class CudaRecorder:
    """Captures the graphs of one network. They share a memory pool, because only one of them runs at a time.

    The pool ends with the last of them: one that other networks' graphs held open would keep the memory of
    the largest network so far.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._pool: Any = None  # a handle
        self._graphs: weakref.WeakSet[torch.cuda.CUDAGraph] = weakref.WeakSet()  # that hold the pool
        self._stream = _stream_of(device)

    def __call__(self, work: Callable[[], None]) -> Recorded:
        """Captures the work, after WARM_UP_CALLS calls of it.

        Raises:
            CaptureFailedError: it cannot be captured, for want of memory or for what it does.
        """
        # Step 1: warm up on a side stream, as PyTorch's notes on CUDA graphs prescribe.
        current = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(current)
        try:
            with torch.cuda.stream(self._stream):
                for _ in range(WARM_UP_CALLS):
                    work()
        finally:
            current.wait_stream(self._stream)
        torch.cuda.synchronize(self.device)
        # Step 2: release what the warm-up has cached; the graph's own memory pool could not use it. Garbage
        # that holds tensors must not be collected during the capture.
        gc.collect()
        torch.cuda.empty_cache()
        # Step 3: capture. Errors are checked for this thread alone, because another thread may pin memory or
        # read the device's clock meanwhile.
        if self._pool is None or not self._graphs:
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.stream(self._stream):
            try:
                graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
                work()
                graph.capture_end()
            except BaseException as error:
                with suppress(RuntimeError):  # says only that the capture is incomplete
                    graph.capture_end()
                if not isinstance(error, Exception):
                    raise
                raise CaptureFailedError(f"no CUDA graph of its work: {first_line(error)}") from error
        current.wait_stream(self._stream)
        self._graphs.add(graph)
        return Recorded(graph.replay, partial(_reset, graph, self._graphs))


def _reset(graph: torch.cuda.CUDAGraph, graphs: "weakref.WeakSet[torch.cuda.CUDAGraph]") -> None:
    graphs.discard(graph)
    graph.reset()


def recorder_of(device: torch.device) -> Record | None:
    """A recorder for a network on a CUDA device; None on a CPU, or where the environment allows no graphs."""
    return CudaRecorder(device) if device.type == "cuda" and allows_graphs() else None


@lru_cache
def _stream_of(device: torch.device) -> torch.cuda.Stream:
    """The stream of all captures: cuBLAS keeps a workspace (32 MiB on Hopper) for each it was used on."""
    return torch.cuda.Stream(device)


class GraphedCalls:
    """Calls of a function of tensors through a CUDA graph, captured for the shapes of the first call.

    Calls with other shapes run without the graph. `close` gives the graph's memory back at once, and so does
    the end of this object; for that to come with its last use, the work must not refer to whoever holds it.

    Args:
        work: takes tensors on the device, returns nothing and never waits for the device. It may draw from
            torch's default generator, whose state may be set between calls.
        changes: the tensors that the work changes, which must stay in place. Capturing restores them and the
            generator.
        record: captures some work, as a CudaRecorder; None: every call runs without a graph.
    """

    def __init__(self, work: Work, *, changes: Sequence[Tensor], record: Record | None) -> None:
        self._work, self._changes, self._record = work, changes, record
        self._recorded: Recorded | None = None
        self._inputs: tuple[Tensor, ...] = ()

    @property
    def has_recorder(self) -> bool:
        """True if calls run as a graph, which is captured at the first of them at the latest."""
        return self._record is not None

    def record(self, *inputs: Tensor) -> None:
        """Captures the graph for calls of these shapes, if there is none and there is a recorder.

        Raises:
            CaptureFailedError: the work cannot be captured.
        """
        if self._record is not None and self._recorded is None:
            self._capture(self._record, inputs)

    @property
    def replay(self) -> Callable[[], object]:
        """The recorded work, on the inputs that it was recorded with."""
        assert self._recorded is not None, "nothing is recorded"
        return self._recorded.replay

    def close(self) -> None:
        """Gives the graph's memory back; calls from here on capture anew."""
        recorded, self._recorded, self._inputs = self._recorded, None, ()
        if recorded is not None:
            recorded.close()

    def __call__(self, *inputs: Tensor) -> None:
        """One call.

        Raises:
            CaptureFailedError: the work cannot be captured.
        """
        self.record(*inputs)
        if self._recorded is None or not self._fits(inputs):
            self._work(*inputs)
            return
        # The graph reads its inputs from fixed addresses, so the given tensors are copied there first.
        for kept, given in zip(self._inputs, inputs, strict=True):
            kept.copy_(given)
        self._recorded.replay()

    def _fits(self, inputs: tuple[Tensor, ...]) -> bool:
        return [(t.shape, t.dtype) for t in inputs] == [(t.shape, t.dtype) for t in self._inputs]

    def _capture(self, record: Record, inputs: tuple[Tensor, ...]) -> None:
        """Captures the work on copies of the inputs, and restores what the warm-up calls have changed."""
        fixed = tuple(tensor.clone() for tensor in inputs)
        device = fixed[0].device
        kept = [tensor.detach().clone() for tensor in self._changes]
        generator = torch.cuda.default_generators[device.index or 0] if device.type == "cuda" else None
        random_state = (generator or torch.default_generator).get_state()

        def restore() -> None:
            with torch.no_grad():
                for tensor, value in zip(self._changes, kept, strict=True):
                    tensor.copy_(value)
            (generator or torch.default_generator).set_state(random_state)

        try:
            self._recorded = record(partial(self._work, *fixed))
        except CaptureFailedError:
            raise  # this process must not use the device any more, not even to restore
        except Exception:
            restore()
            raise
        restore()
        self._inputs = fixed
