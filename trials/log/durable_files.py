"""Every operation on files that have to outlive a crash: of a run's log, of weights, reports and tables."""

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from search_spaces.settings.unfinished_files import unfinished_name

# A file system without hard links (FAT, some network and user file systems) is left with looking first.
NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})
PRIVATE, SHARED = 0o700, 0o777  # permissions of folders, less what the process masks
FILE = 0o666
LOOKS, SECONDS_BETWEEN_LOOKS = 100, 0.02  # at a folder in which another driver replaces a file


class Disk(Protocol):
    """The single steps of which all operations on a log's files are made; tests let each of them fail."""

    def make_folder(self, path: Path, mode: int) -> None:
        """Makes a folder that was not there, with these permissions."""
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

    def link(self, path: Path, target: Path) -> None:
        """Gives a file a second name, which nothing has yet."""
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
    """Steps of the operating system. A symbolic link in the place of a file is never followed.

    Who may read a folder may read its files: a private run's are private, too.
    """

    def make_folder(self, path: Path, mode: int) -> None:
        """Makes a folder that was not there, with these permissions."""
        os.mkdir(path, mode)

    def create(self, path: Path) -> int:
        """Opens a new file for writing."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(path, flags, permissions_of(path.parent) & FILE)

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

    def link(self, path: Path, target: Path) -> None:
        """Gives a file a second name, which nothing has yet."""
        try:
            os.link(path, target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
            os.rename(path, target)

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


def permissions_of(folder: Path) -> int:
    """The permissions of what is made in a folder: its own."""
    return folder.stat().st_mode & SHARED


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Keeps other drivers from replacing files in a folder, for moments; not one that has been stopped there.

    The lock is of the folder itself, which nobody removes as they may a file.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for _ in range(LOOKS):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(SECONDS_BETWEEN_LOOKS)
            except OSError:  # a file system without locks
                break
        yield
    finally:
        os.close(handle)


class NameTakenError(Exception):
    """Another file has this name already, with other contents."""


class DurableFiles:
    """Writes that are on the disk when they return, and that no reader ever sees in part."""

    seconds_between_views = 2.0  # how often a run's views are worth replacing
    have_locks = True  # of the kernel, which keep two drivers of one folder apart
    lists_at_once = True  # names what has just been written, and not what has just been removed

    def __init__(self, disk: Disk | None = None) -> None:
        self._disk: Disk = disk or SystemDisk()

    def make_folder(self, path: Path, mode: int | None = None) -> None:
        """A folder with its parents, on the disk; nothing where it is there.

        Args:
            mode: its permissions (parents have their parents'); by default those of the folder that it is in.
        """
        if path.is_dir():
            return
        self.make_folder(path.parent)
        with suppress(FileExistsError):
            self._disk.make_folder(path, permissions_of(path.parent) if mode is None else mode)
        self._disk.sync_folder(path.parent)

    def write(self, path: Path, data: bytes, *, durable: bool = True) -> None:
        """Replaces `path` as a whole: temporary name, sync, rename, sync of the folder.

        Without `durable` the file is replaced as a whole too, but may be lost with the machine's power.
        """
        temporary = unfinished_name(path)
        try:
            self._write_unfinished(temporary, data, durable=durable)
            self._disk.rename(temporary, path)
        except BaseException:
            with suppress(OSError):
                self._disk.remove(temporary)
            raise
        if durable:
            self._disk.sync_folder(path.parent)

    def replace(
        self, path: Path, data: bytes, is_overtaken: Callable[[], bool], *, durable: bool = True
    ) -> bool:
        """Replaces `path` as `write` does, unless another driver has begun. Returns whether it was replaced.

        A driver that begins after the question waits with this file until it is replaced, where the kernel
        has locks.
        """
        temporary = unfinished_name(path)
        try:
            self._write_unfinished(temporary, data, durable=durable)
            with _held(path.parent):
                is_mine = not is_overtaken()
                if is_mine:
                    self._disk.rename(temporary, path)
        except BaseException:
            with suppress(OSError):
                self._disk.remove(temporary)
            raise
        if not is_mine:
            with suppress(OSError):
                self._disk.remove(temporary)
        elif durable:
            self._disk.sync_folder(path.parent)
        return is_mine

    def create(self, path: Path, data: bytes) -> None:
        """A new file as a whole, never in the place of another; may be repeated after it failed half-way.

        Raises:
            NameTakenError: there is one of this name, and it says something else.
        """
        temporary = unfinished_name(path)
        try:
            self._write_unfinished(temporary, data, durable=True)
            try:
                self._disk.link(temporary, path)
            except FileExistsError:
                if self._disk.read(path) != data:
                    raise NameTakenError(str(path)) from None
        finally:
            with suppress(OSError):
                self._disk.remove(temporary)
        self._disk.sync_folder(path.parent)

    def _write_unfinished(self, temporary: Path, data: bytes, *, durable: bool) -> None:
        """The data under a name that no reader takes for a file's own."""
        handle = self._disk.create(temporary)
        try:
            self._disk.write(handle, data)
            if durable:
                self._disk.sync(handle)
        finally:
            self._disk.close(handle)

    def names(self, folder: Path) -> list[str]:
        """Names of the files in a folder, in their order; none where it is not there."""
        return sorted(path.name for path in self.list(folder)) if folder.is_dir() else []

    def refresh(self) -> None:
        """Makes known what others have written; on a disk nothing is to be done."""

    def look_again(self, paths: Iterable[Path]) -> bool:
        """Looks for files that were not found; True if there are some. A disk knows its files."""
        return False

    def close(self) -> None:
        """After the last of these files was written."""

    def exists(self, path: Path) -> bool:
        """True if there is such a file."""
        return path.exists()

    def read_back(self, path: Path) -> bytes:
        """All bytes of a file that was just written."""
        return self.read(path)

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
