"""Lists the files of an image source: a path, folder, glob or fsspec URL."""

import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import fsspec

from search_spaces.settings.sentences import first_line

PARQUET_SUFFIX = ".parquet"
# Keys under which fsspec's file systems report a file's version, the most reliable first.
_VERSIONS = (
    "etag",
    "ETag",
    "blob_id",
    "sha256",
    "mtime",
    "last_modified",
    "LastModified",
    "updated",
    "created",
)


class MissingSourceError(ValueError):
    """Nothing is there where an image source is named."""


class SourceFile(NamedTuple):
    """One file of a source."""  # a tuple, since there may be millions

    path: str  # on its file system
    relative: str  # to the source's folder
    size: int  # bytes
    version: str  # time or etag: changes when the content does

    @property
    def suffix(self) -> str:
        """The suffix of the file's name in lower case, with the dot."""
        dot = self.relative.rfind(".")
        return self.relative[dot:].lower() if dot > self.relative.rfind("/") + 1 else ""

    @property
    def parts(self) -> list[str]:
        """The folders below the source's, and the file's name."""
        return self.relative.split("/")


@dataclass(frozen=True)
class Listing:
    """All files of a source except hidden ones, sorted by path."""

    source: str
    files: tuple[SourceFile, ...]
    filesystem: Any
    is_folder: bool
    folders: tuple[str, ...] = ()  # below a local folder, by path; an object store has none of its own
    # Local folders that are links to another folder of the source, and that folder. They are not read twice.
    linked: tuple[tuple[str, str], ...] = ()

    def read(self, file: SourceFile) -> bytes:
        """The content of a file."""
        with self.filesystem.open(file.path, "rb") as opened:
            return opened.read()

    def identity(self, files: Iterable[SourceFile]) -> list[list[Any]]:
        """JSON values that change when one of these files does: path, size and version of each."""
        protocol = self.filesystem.unstrip_protocol("/")
        return [[protocol, f.path, f.size, f.version] for f in files]


def list_files(source: str) -> Listing:
    """Lists the files of a source.

    Raises:
        MissingSourceError: there is nothing.
        ValueError: a folder is empty, files cannot be read, or a package for the protocol is missing.
    """
    here = os.path.expanduser(source)
    try:
        if os.path.exists(here):  # then it is no URL, whatever its name looks like
            filesystem, path = fsspec.filesystem("file"), os.path.abspath(here)
        else:
            filesystem, path = fsspec.core.url_to_fs(here)
    except ImportError as error:
        raise ValueError(f"{source}: a package is missing: {_first_line(error)}") from error
    except Exception as error:  # file systems raise what their services do
        raise ValueError(f"{source}: {_first_line(error)}") from error
    try:
        return _listed(source, filesystem, path)
    except FileNotFoundError as error:
        raise _missing(source) from error
    except ValueError:
        raise
    except Exception as error:  # file systems raise what their services do
        raise ValueError(f"{source}: cannot be read: {_first_line(error)}") from error


def list_folder(folder: str | os.PathLike[str]) -> Listing:
    """Lists a local folder, which may be empty."""
    return _local_tree(str(folder), fsspec.filesystem("file"), os.path.abspath(folder))


def _listed(source: str, filesystem: Any, path: str) -> Listing:
    if filesystem.isdir(path):
        if isinstance(filesystem, fsspec.implementations.local.LocalFileSystem):
            listing = _local_tree(source, filesystem, path)
        else:
            found = sorted(_remote_tree(filesystem, path), key=lambda file: file.relative)
            listing = Listing(source, tuple(found), filesystem, is_folder=True)
        if not listing.files:
            raise ValueError(f"{source}: this folder is empty")
        return listing
    if filesystem.exists(path):
        names = [path]
    else:
        names = [name for name in sorted(filesystem.glob(path)) if not filesystem.isdir(name)]
    if not names:
        raise _missing(source)
    # Names of folders count as far as they differ: of data/*/0.parquet they say the split.
    above = os.path.commonpath([os.path.dirname(name) for name in names])
    files = tuple(_file(name, os.path.relpath(name, above), filesystem.info(name)) for name in names)
    return Listing(source, files, filesystem, is_folder=False)


def _missing(source: str) -> MissingSourceError:
    return MissingSourceError(f"{source}: there is no such file or folder, and no file of that pattern")


def _remote_tree(filesystem: Any, root: str) -> Iterator[SourceFile]:
    for path, info in filesystem.find(root, detail=True).items():
        relative = path.removeprefix(root.rstrip("/")).lstrip("/")
        if not _is_hidden(relative):
            yield _file(path, relative, info)


def _local_tree(source: str, filesystem: Any, root: str) -> Listing:
    """Lists a local folder; follows links, but enters no folder twice: links may loop.

    A link to a file that is gone counts as a file, which cannot be read.
    """
    entered: dict[tuple[int, int], str] = {}
    files: list[SourceFile] = []
    linked: list[tuple[str, str]] = []
    # Links come last: of a folder and a link to it, the folder's own name is the one that counts.
    waiting = deque([""])
    while waiting:
        folder = waiting.popleft()
        status = os.stat(os.path.join(root, folder))
        other = entered.setdefault((status.st_dev, status.st_ino), folder)
        if other != folder:
            if not f"{folder}/".startswith(f"{other}/" if other else ""):  # a loop holds nothing new
                linked.append((folder, other))
            continue
        below: list[str] = []
        links: list[str] = []
        with os.scandir(os.path.join(root, folder)) as entries:
            for entry in entries:
                relative = f"{folder}/{entry.name}" if folder else entry.name
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    (links if entry.is_symlink() else below).append(relative)
                elif entry.is_file():
                    info = entry.stat()
                    files.append(SourceFile(entry.path, relative, info.st_size, _times(info)))
                elif entry.is_symlink():
                    files.append(SourceFile(entry.path, relative, 0, "gone"))
        waiting.extendleft(sorted(below, reverse=True))
        waiting.extend(sorted(links))
    return Listing(
        source,
        tuple(sorted(files, key=lambda file: file.relative)),
        filesystem,
        is_folder=True,
        folders=tuple(sorted(filter(None, entered.values()))),
        linked=tuple(linked),
    )


def _file(path: str, relative: str, info: Mapping[str, Any]) -> SourceFile:
    """A file with the size and version that fsspec reports (`info`)."""
    # A local file is asked itself: fsspec reports its time as a float, which loses nanoseconds.
    if "ino" in info and stat.S_ISREG(os.stat(path).st_mode):
        status = os.stat(path)
        return SourceFile(path, relative, status.st_size, _times(status))
    version = next((str(info[key]) for key in _VERSIONS if info.get(key)), "")
    return SourceFile(path, relative, int(info.get("size") or 0), version)


def _times(status: os.stat_result) -> str:
    """The version of a local file: when it was written, which programs can set back, and when changed."""
    return f"{status.st_mtime_ns} {status.st_ctime_ns}"


def _is_hidden(relative: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(relative).parts)


def _first_line(error: BaseException) -> str:
    return first_line(error)[:200]
