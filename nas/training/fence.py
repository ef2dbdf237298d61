"""One driver for each training in an object store, where no lock of a machine reaches: the newest one."""

import json
import os
import socket
import uuid
from datetime import UTC, datetime
from pathlib import Path

from search_spaces.settings.json_text import json_value
from trials.log.durable_files import DurableFiles, NameTakenError
from trials.log.log_end import FencedError
from trials.log.run_places import place_of

DRIVERS = "drivers"  # in the training's folder: an object for each start, created where there was none


class Fence:
    """This driver's number in a training, from 1; nothing where a lock keeps drivers apart.

    A driver begins by creating the next number's object. Whoever finds the number after its own there stops
    before it writes anything more: the newer one goes on from what is in the bucket.
    """

    def __init__(self, folder: Path, files: DurableFiles) -> None:
        self._folder, self._files = folder, files
        self._number = 0

    def claim(self) -> None:
        """Takes the next number; of several that begin at once each takes its own.

        Raises:
            StoreError: the store does not answer, or refuses.
        """
        if self._files.have_locks:
            return
        facts = {
            "process": os.getpid(),
            "host": socket.gethostname(),
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "id": uuid.uuid4().hex,  # a create whose answer was lost is known again by its contents
        }
        listed = [name for name in self._files.names(self._folder / DRIVERS) if name[:6].isdecimal()]
        self._number = max((int(name[:6]) for name in listed), default=0)
        while True:
            self._number += 1
            try:
                self._files.create(self._path(self._number), json.dumps(facts).encode())
            except NameTakenError:
                continue
            return

    def check(self) -> None:
        """Refuses to go on once a newer driver has begun.

        Raises:
            FencedError: one has.
            StoreError: the store does not answer, or refuses.
        """
        newer = self._path(self._number + 1)
        if self._files.have_locks or not self._files.exists(newer):
            return
        try:
            facts = json_value(self._files.read_back(newer))
            which = f"process {facts['process']} on {facts['host']}, {facts['started_at']}"
        except (ValueError, KeyError, TypeError):
            which = "its file does not say which"
        raise FencedError(
            f"{place_of(self._folder)}: another driver has begun on this training ({which}); this one stops "
            "and leaves it to that, which goes on from what was saved"
        )

    def _path(self, number: int) -> Path:
        return self._folder / DRIVERS / f"{number:06d}.json"
