"""SIGTERM while a training runs, as a scheduler sends it to what it takes off a machine."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODE = 128 + signal.SIGTERM


class TerminatedError(KeyboardInterrupt):
    """SIGTERM has come: as Ctrl-C, so that what is kept is written."""


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Raises TerminatedError where the program happens to be when SIGTERM comes within the block."""
    if threading.current_thread() is not threading.main_thread():  # others are not told of signals
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise TerminatedError

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
