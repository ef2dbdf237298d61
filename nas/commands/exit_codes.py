"""Exit codes of all commands: the table that docs/scripts.md shows."""

from dataclasses import dataclass
from signal import SIGHUP, SIGINT, SIGTERM

EXIT_DONE, EXIT_FAILED, EXIT_WRONG_INPUT, EXIT_NOT_WRITTEN, EXIT_LOCKED = 0, 1, 2, 74, 75
OF_SIGNALS = 128  # and the signal's number


@dataclass(frozen=True)
class ExitCode:
    """A code, what it means, and what a script may do then."""

    code: int
    meaning: str
    then: str


EXIT_CODES = (
    ExitCode(EXIT_DONE, "done", "go on"),
    ExitCode(
        EXIT_FAILED,
        "it ran and failed: a strategy, a training, Ray, a device; `nas doctor` or `nas verify` found a "
        "fault; with a traceback: a defect of this program",
        "read the message: it has the command that goes on, where there is one",
    ),
    ExitCode(
        EXIT_WRONG_INPUT,
        "wrong input: an option, a file, images, a folder; nothing was begun",
        "mend what the message names",
    ),
    ExitCode(
        EXIT_NOT_WRITTEN,
        "the disk is full, or the object store does not answer; what was recorded is kept",
        "make room, then the same command",
    ),
    ExitCode(
        EXIT_LOCKED,
        "another process works on this folder",
        "wait for it, or follow it: `nas status RUN --watch`",
    ),
    ExitCode(OF_SIGNALS + SIGHUP, "stopped by SIGHUP: the terminal is gone", "the same command goes on"),
    ExitCode(OF_SIGNALS + SIGINT, "stopped by SIGINT: Ctrl-C", "the command in the message goes on"),
    ExitCode(OF_SIGNALS + SIGTERM, "stopped by SIGTERM", "the command in the message goes on"),
)
