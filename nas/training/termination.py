"""Signals that end a training: of a scheduler that needs the machine, of a terminal that is lost."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class TerminatedError(KeyboardInterrupt):
    """A signal to end has come; it is handled as Ctrl-C, so that what is kept is written."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Raises TerminatedError where the program happens to be when one of SIGNALS comes within the block.

    One that is ignored stays so: nohup lets a training outlive its terminal.
    """
    if threading.current_thread() is not threading.main_thread():  # others get no signals
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise TerminatedError(number)

    heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
