"""Work on the device's tensors as CUDA graphs: recorded once, from then on launched as a whole.

A small network's step on small images is some thousand kernels, which take longer to launch one by one than
to compute. A graph repeats them with the same addresses, so that everything that changes from call to call
has to lie in tensors that stay where they are.
"""

import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress

import torch
from torch import Tensor

from trials.devices.device import is_out_of_memory

WARM_UP_CALLS = 3  # on a side stream: kernels' plans are built, which a recording may not do

Work = Callable[..., None]
Record = Callable[[Callable[[], None]], Callable[[], object]]  # some work in, what repeats it out


class CudaRecorder:
    """Records graphs of one device. All lie in one pool of memory: only one of them runs at a time."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream(device)

    def __call__(self, work: Callable[[], None]) -> Callable[[], object]:
        """What repeats the work. The work itself is done WARM_UP_CALLS times."""
        current = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            for _ in range(WARM_UP_CALLS):
                work()
        current.wait_stream(self._stream)
        torch.cuda.synchronize(self.device)
        torch.cuda.empty_cache()  # the graph's pool cannot take what the warm-up has left in the ordinary one
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.stream(self._stream):
            # Of this thread alone: another one may pin memory or read the device's clock meanwhile.
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            try:
                work()
            except BaseException:
                with suppress(RuntimeError):  # says only that the recording is incomplete
                    graph.capture_end()
                raise
            graph.capture_end()
        current.wait_stream(self._stream)
        return graph.replay


class GraphedCalls:
    """Calls of a function of tensors; the first shapes it sees are recorded, others run as they are.

    Args:
        work: takes tensors on the device, returns nothing and never waits for the device. It may draw from
            torch's default generator, whose state may be set between calls.
        changes: the tensors that the work changes. They keep their places; recording leaves them, and the
            generator, as they were.
        record: None, and every call runs as it is.
    """

    def __init__(self, work: Work, *, changes: Sequence[Tensor], record: Record | None) -> None:
        self._work, self._changes, self._record = work, changes, record
        self._replay: Callable[[], object] | None = None
        self._inputs: tuple[Tensor, ...] = ()

    def __call__(self, *inputs: Tensor) -> None:
        """One call; a recording that fails (of an operation that cannot be recorded) is given up for good."""
        if self._record is not None and self._replay is None:
            self._try_to_record(self._record, inputs)
        if self._replay is None or not self._fits(inputs):
            self._work(*inputs)
            return
        for kept, given in zip(self._inputs, inputs, strict=True):
            kept.copy_(given)
        self._replay()

    def _fits(self, inputs: tuple[Tensor, ...]) -> bool:
        return [(t.shape, t.dtype) for t in inputs] == [(t.shape, t.dtype) for t in self._inputs]

    def _try_to_record(self, record: Record, inputs: tuple[Tensor, ...]) -> None:
        fixed = tuple(tensor.clone() for tensor in inputs)
        device = fixed[0].device
        kept = [tensor.detach().clone() for tensor in self._changes]
        generator = torch.cuda.default_generators[device.index or 0] if device.type == "cuda" else None
        random_state = (generator or torch.default_generator).get_state()
        try:
            self._replay = record(lambda: self._work(*fixed))
            self._inputs = fixed
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            self._record = None
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            warnings.warn(f"no CUDA graph, steps are launched one by one: {reason}", stacklevel=3)
        finally:
            with torch.no_grad():
                for tensor, value in zip(self._changes, kept, strict=True):
                    tensor.copy_(value)
            (generator or torch.default_generator).set_state(random_state)
