"""Servers of a local Ray that end while it starts: noticed, and stood in for until the start has failed.

Ray's client waits for a gcs_server that has gone: for ever, or for a minute, and then it ends the whole
process. It gives up at once where another one listens at the same port.
"""

import logging
import os
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from trials.executors.ray_guard import processes_of

SERVERS = ("raylet", "gcs_server")  # without one of which Ray is dead; it does without its other processes
SECONDS_BETWEEN_LOOKS = 0.05
PORT, SESSION, NODE = "--gcs_server_port=", "--session-dir=", "--node-id="  # arguments of a gcs_server


class StartWatch:
    """Watches the servers of the local Ray whose files are in `folder` while it starts; none without /proc.

    Attributes:
        ended: the sentence about the first server that has ended; empty where none has.
        known: the commands of the servers that run, by process.
    """

    def __init__(self, folder: Path) -> None:
        self.ended = ""
        self.known: dict[int, list[str]] = {}
        self._folder = folder
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="start of Ray", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(SECONDS_BETWEEN_LOOKS):
            there = _servers_of(self._folder)
            for pid in self.known.keys() - there.keys():
                command = self.known.pop(pid)
                name = Path(command[0]).name
                self.ended = self.ended or f"its {name} ended while it started"
                # Silence the log of Ray's client from here on; its next start sets the level again.
                logging.getLogger("ray").setLevel(logging.CRITICAL)
                if name == "gcs_server":
                    _stand_in(command)
            self.known |= there


def _servers_of(folder: Path) -> dict[int, list[str]]:
    """The commands of the servers that this process has started and that run, by process.

    For a moment, the children of a raylet bear its name: they are none.
    """
    found = {}
    for pid in processes_of(folder):
        with suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
            status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            if command and Path(command[0]).name in SERVERS and int(status[1]) == os.getpid():
                found[pid] = command
    return found


def _stand_in(command: list[str]) -> None:
    """Starts such a gcs_server at the same port, which knows nothing; it is ended with what is left of Ray.

    Where it had no port yet, nobody knows it, and nobody waits for it for ever.
    """
    given = {
        name: part.removeprefix(name) for part in command for name in (SESSION, NODE) if part.startswith(name)
    }
    with suppress(OSError, KeyError):
        port = (Path(given[SESSION]) / f"gcs_server_port_{given[NODE]}").read_text().strip()
        again = [PORT + port if part.startswith(PORT) else part for part in command]
        subprocess.Popen(
            again, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
