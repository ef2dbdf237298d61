"""SIGINT and SIGTERM while a search runs: the first drains, a second one hurries."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from analysis.numbers import counted
from trials.log.continuing import continue_command

GRACE_SECONDS = 10.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SearchStoppedError(RuntimeError):
    """A signal asked the search to stop. All that was acknowledged is recorded.

    Attributes:
        exit_code: 130 after SIGINT, 143 after SIGTERM.
    """

    def __init__(self, signal_number: int, folder: Path, *, trials: int, in_flight: int) -> None:
        name = signal.Signals(signal_number).name
        left = f", {in_flight} in flight will run again" if in_flight else ""
        if trials or in_flight:
            recorded = f"{counted(trials, 'trial')} recorded{left}"
            super().__init__(f"stopped by {name}: {recorded}; this continues:\n  {continue_command(folder)}")
        else:
            super().__init__(f"stopped by {name} before the first trial; the same command begins it")
        self.exit_code = 128 + signal_number


class StopRequest:
    """Listens to signals while it is entered. After the first, nothing new is to be begun.

    When `grace` seconds have passed since, or at a second signal, KeyboardInterrupt is raised where the
    program happens to be: files are written so that this harms nothing. At the first one it is raised if
    nothing is in flight, so that there is nothing to wait for.

    Attributes:
        signal_number: of the first signal; None before.
        in_flight: number of trials that are running, as the search's loop says; None before there is one.
    """

    def __init__(
        self, *, grace: float = GRACE_SECONDS, say: Callable[[str], None] = lambda message: None
    ) -> None:
        self.signal_number: int | None = None
        self.in_flight: int | None = None
        self._grace = grace
        self._say = say
        self._before: dict[int, Any] = {}

    @property
    def is_made(self) -> bool:
        """True if nothing new is to be begun."""
        return self.signal_number is not None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # others get no signals
            self._before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGALRM)}
            self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            for number, handler in self._before.items():
                signal.signal(number, handler)
            self._before = {}

    def listen(self) -> None:
        """Listens again, where somebody (as Ray when it starts) has taken the signals."""
        if self._before:
            for number in SIGNALS:
                signal.signal(number, self._asked)
            signal.signal(signal.SIGALRM, self._grace_is_over)

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if self.is_made:
            raise KeyboardInterrupt
        self.signal_number = number
        if self.in_flight == 0:
            raise KeyboardInterrupt
        signal.setitimer(signal.ITIMER_REAL, max(self._grace, 0.001))
        self._say(f"stopping: trials in flight have {self._grace:g} s to end; a second signal stops at once")

    def _grace_is_over(self, number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt
