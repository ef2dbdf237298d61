"""Every file operation of a run's log, in one place; and a lock between processes of a host."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Waits until no other process holds this file, and holds it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the kernel lets go when the holder dies
        yield


class DurableFiles:
    """Writes that are on the disk when they return, and that no reader ever sees in part."""

    def write(self, path: Path, data: bytes, *, durable: bool = True) -> None:
        """Replaces `path` as a whole: temporary name, sync, rename, sync of the folder.

        Without `durable` the file is replaced as a whole too, but may be lost with the machine's power.
        """
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        if durable:
            self.sync_folder(path.parent)

    def sync(self, path: Path) -> None:
        """Puts a file that was written without `durable` on the disk."""
        with path.open("rb") as file:
            os.fsync(file.fileno())
        self.sync_folder(path.parent)

    def sync_folder(self, folder: Path) -> None:
        """Puts a folder's entries (renames in it) on the disk."""
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def list(self, folder: Path) -> list[Path]:
        """The files of a folder by name, temporary ones included."""
        return sorted(folder.iterdir())

    def move(self, path: Path, target: Path) -> None:
        """Renames a file, and puts that on the disk."""
        os.replace(path, target)
        self.sync_folder(target.parent)
        self.sync_folder(path.parent)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)
