"""One driver for each folder: a kernel lock that names its holder."""

import fcntl
import os
import socket
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from search_spaces.settings.config_error import ConfigError
from trials.log.durable_files import FILE, permissions_of
from trials.log.file_names import LOCK_FILE

TRIES = 3


class RunLockedError(RuntimeError):
    """Another driver works on this run."""


class DriverLock:
    """The lock of a run directory or of a training's folder; use as a context manager.

    Raises:
        RunLockedError: another driver holds it.
        ConfigError: the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._handle: int | None = None

    def __enter__(self) -> Self:
        handle = self._locked()
        while not self._is_the_paths(handle):  # somebody removed the file, or put another in its place
            os.close(handle)
            handle = self._locked()
        os.ftruncate(handle, 0)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        os.write(handle, f"process {os.getpid()} on {socket.gethostname()} since {started}".encode())
        self._handle = handle
        return self

    def _locked(self) -> int:
        """A handle of the file that lies there now, locked."""
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
            handle = os.open(self.folder / LOCK_FILE, flags, permissions_of(self.folder) & FILE)
        except OSError as error:
            raise ConfigError(f"{self.folder}: the run cannot be written here: {error.strerror}") from error
        for _ in range(TRIES):  # whoever only asks who the driver is holds it for an instant
            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel lets go when the holder dies
                return handle
            time.sleep(0.05)
        found = _told(handle) or "unknown"
        os.close(handle)
        raise RunLockedError(
            f"{self.folder}: another driver works on this run ({found}); wait for it, or stop it"
        )

    def _is_the_paths(self, handle: int) -> bool:
        try:
            there = os.stat(self.folder / LOCK_FILE, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(os.fstat(handle), there)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def driver_of(folder: Path) -> str | None:
    """The lock's holder; None if nobody holds it. A starting driver waits out the instant of asking."""
    try:
        handle = os.open(folder / LOCK_FILE, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except OSError:
        return _told(handle) or f"somebody on {socket.gethostname()}"
    finally:
        os.close(handle)


def _told(handle: int) -> str:
    return os.read(handle, 200).decode(errors="replace").strip()
