"""A disk that fails on purpose, and that knows what a loss of power would leave of it."""

import errno
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from trials.durable_files import SystemDisk

TEMPORARY = re.compile(r"\.\d+\.[0-9a-f]{8}\.tmp$")


class Crash(BaseException):
    """The driver is dead: nothing catches this, and nothing is done to files after it."""


@dataclass(frozen=True)
class Operation:
    """One step of the disk."""

    number: int
    name: str
    path: Path


@dataclass(frozen=True)
class Fault:
    """What happens at operation `at`: `before`, `after` and `torn` kill; an error number is raised.

    An error may come `forever` after. Only steps that take space or change something run into a full disk.
    """

    at: int
    kind: str | int
    forever: bool = False

    def strikes(self, number: int) -> bool:
        """Whether the step of this number meets it."""
        return number == self.at or (self.forever and number > self.at)


@dataclass
class Node:
    """A file: what it holds, and what of it would survive a loss of power."""

    data: bytes = b""
    synced: bytes = b""


@dataclass(frozen=True)
class Image:
    """Files and folders that a crash leaves, relative to the parent of the run."""

    files: dict[Path, bytes]
    folders: frozenset[Path]

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for images that differ in the names of temporary files alone."""
        files = sorted((TEMPORARY.sub(".tmp", str(path)), data) for path, data in self.files.items())
        return tuple(files), self.folders

    def write(self, parent: Path) -> None:
        """Puts it on the real disk."""
        for folder in sorted(self.folders):
            (parent / folder).mkdir(parents=True, exist_ok=True)
        for path, data in self.files.items():
            (parent / path).write_bytes(data)


@dataclass
class FaultyDisk:
    """The real disk below `parent`, without the time that syncing takes; see Fault."""

    parent: Path
    fault: Fault | None = None
    watch: Callable[[Operation, "FaultyDisk", bytes], None] = lambda operation, disk, data: None
    operations: int = 0
    is_dead: bool = False
    _disk: SystemDisk = field(default_factory=SystemDisk)
    _open: dict[int, Path] = field(default_factory=dict)
    _entries: dict[Path, Node] = field(default_factory=dict)
    _durable: dict[Path, Node] = field(default_factory=dict)
    _folders: set[Path] = field(default_factory=set)
    _durable_folders: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        for path in self.parent.rglob("*"):
            if path.is_dir():
                self._folders.add(path)
            elif path.name != "lock":
                data = path.read_bytes()
                self._entries[path] = Node(data, data)
        self._durable, self._durable_folders = dict(self._entries), set(self._folders)

    # ------------------------------------------------------------------ what a crash leaves

    def image(self) -> Image:
        """After the death of the process: all that was written."""
        return self._image({path: node.data for path, node in self._entries.items()}, self._folders)

    def torn_image(self, handle_path: Path, data: bytes) -> Image:
        """After a death within a write: a part of the data."""
        files = {path: node.data for path, node in self._entries.items()}
        files[handle_path] = files[handle_path] + data[: len(data) // 2]
        return self._image(files, self._folders)

    def power_images(self) -> Iterator[Image]:
        """After a loss of power: without what was not synced; and with names that came before contents."""
        durable = {path: node.synced for path, node in self._durable.items()}
        yield self._image(durable, self._durable_folders)
        yield self._image({path: node.synced for path, node in self._entries.items()}, self._folders)

    def _image(self, files: dict[Path, bytes], folders: set[Path]) -> Image:
        held = {path: data for path, data in files.items() if path.parent in folders | {self.parent}}
        return Image(
            {path.relative_to(self.parent): data for path, data in held.items()},
            frozenset(path.relative_to(self.parent) for path in folders),
        )

    # ------------------------------------------------------------------ the steps

    def _step(self, name: str, path: Path, data: bytes = b"") -> None:
        if self.is_dead:
            raise Crash
        operation = Operation(self.operations, name, path)
        self.operations += 1
        self.watch(operation, self, data)
        fault = self.fault
        if fault is None or (
            operation.number != fault.at and not (fault.forever and operation.number > fault.at)
        ):
            return
        if isinstance(fault.kind, int):
            if fault.kind != errno.ENOSPC or name in ("make_folder", "create", "write", "sync", "rename"):
                raise OSError(fault.kind, os.strerror(fault.kind), str(path))
        elif fault.kind == "before":
            self._die()

    def _done(self) -> None:
        fault = self.fault
        if fault is not None and fault.kind == "after" and self.operations == fault.at + 1:
            self._die()

    def _die(self) -> None:
        self.is_dead = True
        for handle in self._open:
            os.close(handle)
        raise Crash

    def make_folder(self, path: Path) -> None:
        self._step("make_folder", path)
        self._disk.make_folder(path)
        self._folders.add(path)
        self._done()

    def create(self, path: Path) -> int:
        self._step("create", path)
        handle = self._disk.create(path)
        self._entries[path] = Node()
        self._open[handle] = path
        self._done()
        return handle

    def open(self, path: Path) -> int:
        self._step("open", path)
        handle = self._disk.open(path)
        self._open[handle] = path
        self._done()
        return handle

    def write(self, handle: int, data: bytes) -> None:
        path = self._open[handle] if handle in self._open else Path()
        self._step("write", path, data)
        if self.fault is not None and self.fault.kind == "torn" and self.operations == self.fault.at + 1:
            self._disk.write(handle, data[: len(data) // 2])
            self._die()
        self._disk.write(handle, data)
        self._entries[path].data += data
        self._done()

    def sync(self, handle: int) -> None:
        path = self._open.get(handle, Path())
        self._step("sync", path)
        self._entries[path].synced = self._entries[path].data
        self._done()

    def close(self, handle: int) -> None:
        if self.is_dead:
            raise Crash
        self._open.pop(handle)
        self._disk.close(handle)  # frees the handle alone, so it is no step that could fail

    def rename(self, path: Path, target: Path) -> None:
        self._step("rename", path)
        self._disk.rename(path, target)
        self._entries[target] = self._entries.pop(path)
        self._done()

    def sync_folder(self, folder: Path) -> None:
        self._step("sync_folder", folder)
        self._durable = {path: node for path, node in self._durable.items() if path.parent != folder}
        self._durable |= {path: node for path, node in self._entries.items() if path.parent == folder}
        self._durable_folders = {path for path in self._durable_folders if path.parent != folder}
        self._durable_folders |= {path for path in self._folders if path.parent == folder}
        self._done()

    def remove(self, path: Path) -> None:
        self._step("remove", path)
        self._disk.remove(path)
        self._entries.pop(path, None)
        self._done()

    def remove_folder(self, path: Path) -> None:
        self._step("remove_folder", path)
        (path / "lock").unlink(missing_ok=True)
        self._disk.remove_folder(path)
        self._folders.discard(path)
        self._done()

    def list(self, folder: Path) -> list[Path]:
        self._step("list", folder)
        found = self._disk.list(folder)
        self._done()
        return found

    def read(self, path: Path) -> bytes:
        self._step("read", path)
        data = self._disk.read(path)
        self._done()
        return data
