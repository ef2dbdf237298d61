"""Bounds on the host's lead over a GPU, and the time that the device waited for images.

Launching a step takes the host far less than the step takes the GPU. Without a bound it would have launched
a whole epoch within seconds: heartbeats would report what is launched and not what is done, an interruption
would wait for all of it, and batches that are streamed would fill the device's memory, since each lies there
until its step is done.
"""

from collections import deque
from typing import Any

import torch

# After so many steps an event is put on the device's stream, and the host waits for the last but one before
# it: 8 to 11 steps stay queued, which hides what the host does now and then; 4 or 5 where images do not lie
# on the device for good, since each of these steps holds a batch there.
STEPS_BETWEEN_EVENTS = {True: 4, False: 2}
EVENTS_BACK = 2
# Steps of work still queued on a GPU by which it counts as never having waited for images: fewer than stay
# queued, more than the one that is computed while its successor's images are waited for.
BUSY_STEPS = 2


class RunAhead:
    """Waits, when many steps are queued on a CUDA device, until the device has done most of them.

    The step itself stays without a wait, as a CUDA graph demands. On a CPU nothing is queued.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._steps = 0  # since the last event
        self._events: deque[Any] = deque()

    def launched(self, *, is_resident: bool) -> None:
        """A step has been launched; its images lie on the device for good, or only until it is done."""
        self._steps += 1
        if self._device.type != "cuda" or self._steps < STEPS_BETWEEN_EVENTS[is_resident]:
            return
        self._steps = 0
        # A wait that sleeps: the core belongs to the thread that gathers images, and to other workers.
        event = torch.cuda.Event(blocking=True)
        event.record(torch.cuda.current_stream(self._device))
        self._events.append(event)
        if len(self._events) > EVENTS_BACK:
            self._events.popleft().synchronize()


def device_waited(seconds: float, *, left: float, launching: float, steps: int) -> float:
    """The part of an epoch in which the device waited for images, of those in which the host did.

    Args:
        seconds: in which the host waited.
        left: seconds that the device took for what was still queued after the last launch.
        launching: seconds from the first step's launch to the last one's.
        steps: of the epoch.

    Returns:
        All of them or 0: a GPU that still had several steps queued has not waited.
    """
    return 0.0 if left > BUSY_STEPS * launching / steps else seconds
