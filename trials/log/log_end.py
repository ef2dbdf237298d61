"""The end of a run's log, at which one driver writes: a driver that finds its next position taken stops.

The idea is that of SlateDB's RFC 0001: a driver begins with a record of its own at the position that the one
before it would write next. Of two that work at once, however they came to, the older one's next write fails.
"""

import os
import socket
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from trials.log.disk_wait import LogNotWrittenError, Patience
from trials.log.driver_lock import RunLockedError
from trials.log.durable_files import DurableFiles, NameTakenError
from trials.log.parts import PART_NAME, PARTS, Part, PartKind, part_bytes, part_name, read_part
from trials.log.row_types import DriverRow, EpochRow, LogRow
from trials.log.run_places import place_of
from trials.log.tables import DamagedPartError, NewerLogError

T = TypeVar("T")


class FencedError(RunLockedError):
    """Another driver has begun on this run since; this one must write nothing more."""


class LogEnd:
    """The next position of a log, for the driver that has claimed it.

    Attributes:
        position: of the next record.
        driver: this driver's number.
        identity: the digest of what the run is, which every part carries.
        is_fenced: whether another driver has begun since.
    """

    def __init__(self, folder: Path, files: DurableFiles, patience: Patience) -> None:
        self.position = self.driver = 0
        self.identity = ""
        self.is_fenced = False
        self._folder, self._parts = folder, folder / PARTS
        self._files, self._patience = files, patience

    @property
    def newest(self) -> Path:
        """The file of the last record."""
        return self._path(self.position - 1)

    def claim(self, *, seen: int, newest: int, driver: int) -> bool:
        """Begins with that number at the log's end; False where another driver has written there meanwhile.

        Args:
            seen: the highest position of which there is a file.
            newest: the highest position that was ever taken. Where that is another one, the driver before may
                be about to write after either, and both are claimed.
        """
        self.driver = driver
        row: DriverRow = {
            "number": driver,
            "process": os.getpid(),
            "host": socket.gethostname(),
            "started_at": datetime.now(UTC),
        }
        try:
            for position in sorted({seen + 1, newest + 1}):
                self.position = position
                self.append("driver", row)
        except FencedError:
            self.is_fenced = False
            return False
        # The driver before may have gone on since its log was read, and sealed what it wrote: a position that
        # was taken, and is free again, says nothing. Its newest part is always there.
        written = self._patience.retry_while_full(self._folder, lambda: self._files.names(self._parts))
        return not any(PART_NAME.fullmatch(name) and name > self.newest.name for name in written)

    def append(self, kind: PartKind, row: LogRow, epochs: Sequence[EpochRow] = ()) -> Path:
        """Makes a record durable at the next position; returns its file.

        Raises:
            FencedError: another driver has taken the position.
            LogNotWrittenError: the disk does not take it.
        """
        if self.is_fenced:
            raise self._fenced()
        path = self._path(self.position)
        part = Part(self.position, kind, self.driver, self.identity, row, list(epochs))
        data = part_bytes(part)
        self._carried_out(lambda: self._files.create(path, data), own=data)
        self.position += 1
        return path

    def carry_out(self, action: Callable[[], T]) -> T:
        """The result of an action on files that another driver would write, too.

        Raises:
            FencedError: another driver has begun.
            LogNotWrittenError: the disk does not take it.
        """
        if self.is_overtaken():
            raise self._fenced()
        return self._carried_out(action)

    def replace(self, path: Path, data: bytes, *, durable: bool) -> None:
        """Replaces a file of the run's, but never one of a newer driver.

        Raises:
            FencedError, LogNotWrittenError: as `carry_out`.
        """
        next_part = self._path(self.position)

        def replaced() -> bool:
            return self._files.replace(path, data, lambda: self._files.exists(next_part), durable=durable)

        if self.is_fenced or not self._carried_out(replaced):
            self.is_fenced = True
            raise self._fenced()

    def is_overtaken(self) -> bool:
        """True if another driver has begun."""
        self.is_fenced = self.is_fenced or self._is_taken()
        return self.is_fenced

    def _carried_out(self, action: Callable[[], T], *, own: bytes | None = None) -> T:
        try:
            return self._patience.retry_while_full(self._folder, action)
        except (NameTakenError, LogNotWrittenError) as error:
            # A driver that begins sweeps away what this one had not finished, and the disk refuses the rest.
            if isinstance(error, LogNotWrittenError) and not self._is_taken(but_for=own):
                raise
            self.is_fenced = True
            raise self._fenced() from None

    def _is_taken(self, *, but_for: bytes | None = None) -> bool:
        """True if another driver has written at the next position; False where that cannot be asked.

        Bytes `but_for` are this driver's own: its part had its name already when the folder was not synced.
        """
        path = self._path(self.position)
        try:
            return self._files.exists(path) and (but_for is None or self._files.read_back(path) != but_for)
        except OSError:
            return False

    def _path(self, position: int) -> Path:
        return self._parts / part_name(position)

    def _fenced(self) -> FencedError:
        try:
            path = self._path(self.position)
            part = read_part(path, self._files.read_back(path))
            other = f"driver {part.driver}"
            if part.kind == "driver":
                other += f": process {part.start['process']} on {part.start['host']}"
        except (OSError, DamagedPartError, NewerLogError):
            other = "another driver"
        return FencedError(
            f"{place_of(self._folder)}: another driver has begun on this run ({other}); this one, number "
            f"{self.driver}, stops and leaves the run to it. Nothing that was recorded is lost"
        )
