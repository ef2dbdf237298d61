"""Figures of a search's live view: the best reward so far as a line of blocks, and how busy devices are."""

import time
from collections.abc import Callable, Sequence

from trials.trial import Progress

BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], *, width: int) -> str:
    """A line of at most `width` blocks, each the last of its share of the values, from lowest to highest."""
    if not values:
        return ""
    columns = min(width, len(values))
    shown = [values[(i + 1) * len(values) // columns - 1] for i in range(columns)]
    low, high = min(shown), max(shown)
    steps = len(BLOCKS) - 1
    levels = [round((value - low) / (high - low) * steps) if high > low else 0 for value in shown]
    return "".join(BLOCKS[level] for level in levels)


class DeviceUse:
    """The share of the workers' time, since the first was seen, in which they had a trial to compute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()
        self._busy: dict[int, int] = {}  # slot → trial
        self._slots: set[int] = set()
        self._held = self._used = 0.0

    def progress(self, event: Progress) -> None:
        """A trial is heard of: its slot computes, unless it waits for others to time."""
        self._advance()
        slot = event.slot or 0
        self._slots.add(slot)
        if event.phase == "waiting":
            self._busy.pop(slot, None)
        else:
            self._busy[slot] = event.trial_id

    def ended(self, trial_id: int) -> None:
        """A trial has left its slot."""
        self._advance()
        self._busy = {slot: trial for slot, trial in self._busy.items() if trial != trial_id}

    @property
    def share(self) -> float | None:
        """The share so far, 0 to 1; None before the first second."""
        self._advance()
        return self._used / self._held if self._held >= 1 else None

    def _advance(self) -> None:
        now = self._clock()
        self._held += (now - self._last) * len(self._slots)
        self._used += (now - self._last) * len(self._busy)
        self._last = now
