"""Waiting while the disk is full; after a while the search stops, and can be continued."""

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from trials.log.continuing import continue_command
from trials.log.run_places import place_of

DISK_WAIT_SECONDS = 600.0  # for which a search waits by default
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
PASSING = FULL | {errno.EAGAIN}  # an object store that does not answer

T = TypeVar("T")


class LogNotWrittenError(RuntimeError):
    """The disk does not take the log. All that was acknowledged is in it."""


@dataclass(frozen=True)
class Patience:
    """Patience with a full disk: seconds to wait for space, by default none.

    `say` gets a sentence that it waits and one that it went on; `give_up` ends the wait early.
    """

    seconds: float = 0.0
    between: float = 5.0
    say: Callable[[str], None] = lambda message: None
    give_up: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def retry_while_full(self, folder: Path, action: Callable[[], T]) -> T:
        """Result of the action, which is tried again while the disk is full.

        Raises:
            LogNotWrittenError: the disk stays full, or refuses for another reason.
        """
        deadline: float | None = None
        while True:
            try:
                done = action()
            except OSError as error:
                if error.errno not in PASSING:
                    raise LogNotWrittenError(_sentence(folder, error)) from error
                now = self.clock()
                if deadline is None:
                    deadline = now + self.seconds
                    self._announce(folder, error)
                if now >= deadline or self.give_up():
                    raise LogNotWrittenError(_sentence(folder, error)) from error
                self.sleep(min(self.between, max(deadline - now, 0.0)))
                continue
            if deadline is not None:
                self.say("it is written now; the search goes on")
            return done

    def _announce(self, folder: Path, error: OSError) -> None:
        if self.seconds > 0:
            then = "Make space, and" if error.errno in FULL else "Once it answers,"
            self.say(
                f"{place_of(folder)}: {error.strerror}; trying again every {self.between:g} s for "
                f"{self.seconds / 60:.3g} min. {then} the search goes on by itself"
            )


def _sentence(folder: Path, error: OSError) -> str:
    if not folder.is_dir():
        return (
            f"{folder}: the run's folder is gone, and what was recorded with it. If it was moved, put it "
            f"back, and this continues:\n  {continue_command(folder)}"
        )
    reason = error.strerror or str(error)
    return (
        f"{place_of(folder)}: the log cannot be written: {reason}. Nothing that was recorded is lost; mend "
        f"that, and this continues:\n  {continue_command(folder)}"
    )
