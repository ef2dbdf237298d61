"""Every operation on files that have to outlive a crash: of a run's log, of weights, reports and tables."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from search_spaces.settings.unfinished_files import unfinished_name


class Disk(Protocol):
    """The single steps of which all operations on a log's files are made; tests let each of them fail."""

    def make_folder(self, path: Path) -> None:
        """Makes a folder that was not there."""
        ...

    def create(self, path: Path) -> int:
        """Opens a new file for writing."""
        ...

    def open(self, path: Path) -> int:
        """Opens a file that is there for reading."""
        ...

    def write(self, handle: int, data: bytes) -> None:
        """Writes all of the data."""
        ...

    def sync(self, handle: int) -> None:
        """Returns when what was written is on the disk."""
        ...

    def close(self, handle: int) -> None:
        """Gives the handle back."""
        ...

    def rename(self, path: Path, target: Path) -> None:
        """Replaces the target in one step."""
        ...

    def sync_folder(self, folder: Path) -> None:
        """Returns when a folder's entries are on the disk."""
        ...

    def remove(self, path: Path) -> None:
        """Removes a file."""
        ...

    def remove_folder(self, path: Path) -> None:
        """Removes an empty folder."""
        ...

    def list(self, folder: Path) -> list[Path]:
        """Entries of a folder."""
        ...

    def read(self, path: Path) -> bytes:
        """All of a file."""
        ...


class SystemDisk:
    """Steps of the operating system. A symbolic link in the place of a file is never followed."""

    def make_folder(self, path: Path) -> None:
        """Makes a folder that was not there."""
        os.mkdir(path)

    def create(self, path: Path) -> int:
        """Opens a new file for writing."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)

    def open(self, path: Path) -> int:
        """Opens a file that is there for reading."""
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def write(self, handle: int, data: bytes) -> None:
        """Writes all of the data, however little the system takes at once."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]

    def sync(self, handle: int) -> None:
        """Waits until what was written is on the disk."""
        os.fsync(handle)

    def close(self, handle: int) -> None:
        """Gives the handle back."""
        os.close(handle)

    def rename(self, path: Path, target: Path) -> None:
        """Replaces the target in one step."""
        os.replace(path, target)

    def sync_folder(self, folder: Path) -> None:
        """Waits until a folder's entries (what was created, renamed or removed in it) are on the disk."""
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def remove(self, path: Path) -> None:
        """Removes a file, or the link itself."""
        os.unlink(path)

    def remove_folder(self, path: Path) -> None:
        """Removes an empty folder."""
        os.rmdir(path)

    def list(self, folder: Path) -> list[Path]:
        """Entries of a folder, by name."""
        return sorted(folder.iterdir())

    def read(self, path: Path) -> bytes:
        """All bytes of a file."""
        handle = self.open(path)
        with os.fdopen(handle, "rb") as file:
            return file.read()


class DurableFiles:
    """Writes that are on the disk when they return, and that no reader ever sees in part."""

    def __init__(self, disk: Disk | None = None) -> None:
        self._disk: Disk = disk or SystemDisk()

    def make_folder(self, path: Path) -> None:
        """A folder with its parents, on the disk; nothing where it is there."""
        if path.is_dir():
            return
        self.make_folder(path.parent)
        with suppress(FileExistsError):
            self._disk.make_folder(path)
        self._disk.sync_folder(path.parent)

    def write(self, path: Path, data: bytes, *, durable: bool = True) -> None:
        """Replaces `path` as a whole: temporary name, sync, rename, sync of the folder.

        Without `durable` the file is replaced as a whole too, but may be lost with the machine's power.
        """
        temporary = unfinished_name(path)
        try:
            handle = self._disk.create(temporary)
            try:
                self._disk.write(handle, data)
                if durable:
                    self._disk.sync(handle)
            finally:
                self._disk.close(handle)
            self._disk.rename(temporary, path)
        except BaseException:
            with suppress(OSError):
                self._disk.remove(temporary)
            raise
        if durable:
            self._disk.sync_folder(path.parent)

    def sync(self, path: Path) -> None:
        """Puts a file that was written without `durable` on the disk."""
        handle = self._disk.open(path)
        try:
            self._disk.sync(handle)
        finally:
            self._disk.close(handle)
        self._disk.sync_folder(path.parent)

    def sync_folder(self, folder: Path) -> None:
        """Puts a folder's entries (what was created, renamed or removed in it) on the disk."""
        self._disk.sync_folder(folder)

    def read(self, path: Path) -> bytes:
        """All bytes of a file."""
        return self._disk.read(path)

    def list(self, folder: Path) -> list[Path]:
        """Names in a folder, temporary files included."""
        return self._disk.list(folder)

    def move(self, path: Path, target: Path) -> None:
        """Renames a file, and puts that on the disk; may be repeated after it failed half-way."""
        try:
            self._disk.rename(path, target)
        except FileNotFoundError:
            if not target.is_file():
                raise
        self._disk.sync_folder(target.parent)
        self._disk.sync_folder(path.parent)

    def remove(self, path: Path) -> None:
        """Removes a file, if it is there."""
        with suppress(FileNotFoundError):
            self._disk.remove(path)

    def remove_tree(self, folder: Path) -> None:
        """Removes a folder and all that is in it; links in it are removed, not followed."""
        for path in self.list(folder):
            if path.is_dir() and not path.is_symlink():
                self.remove_tree(path)
            else:
                self.remove(path)
        self._disk.remove_folder(folder)
