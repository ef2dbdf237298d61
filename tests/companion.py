"""A process of a test's own, which it talks with, signals and kills.

Processes are forked from one that has loaded the search, for loading takes seconds, and has no threads.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import pytest

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["nas.search", "nas.full_training"])


class Told:
    """The test as its companion meets it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def say(self, line: object) -> None:
        self._connection.send(str(line))

    def wait(self) -> None:
        """Until the test says to go on."""
        self._connection.recv()


class Companion:
    """Runs `work(told, *arguments)` in a process that takes signals as one at a terminal does."""

    def __init__(self, work: Callable[..., None], *arguments: Any) -> None:
        self._connection, theirs = SERVER.Pipe()
        self._process = SERVER.Process(target=_run, args=(work, Told(theirs), *arguments), daemon=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # of the first process, which loads for all
            self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def lines(self) -> Iterator[str]:
        """What it says, until it ends."""
        try:
            while True:
                yield self._connection.recv()
        except (EOFError, ConnectionResetError):
            return

    def says(self, line: str) -> None:
        """Waits until it has said this line."""
        assert line in self.lines(), f"it ended before it said {line}"

    def go_on(self) -> None:
        """Ends its next wait, or the one that it is in."""
        self._connection.send(None)

    def end(self) -> tuple[str, int]:
        """Waits for its end; what it has said by then, and its exit code."""
        said = "\n".join(self.lines())
        self._process.join()
        assert self._process.exitcode is not None
        return said, self._process.exitcode

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kills it and waits until it is gone."""
        self.signal(signal.SIGKILL)
        self._process.join()


def _run(work: Callable[..., None], told: Told, *arguments: Any) -> None:
    # What runs in the background inherits an ignored SIGINT; somebody at a terminal does not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    work(told, *arguments)
