"""Lists the files of an image source (path, folder, glob or fsspec URL) and picks those for training."""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import fsspec

from search_spaces.settings.sentences import first_line

PARQUET_SUFFIX = ".parquet"
TRAIN = "train"
# Splits that a search must not see, by the names that they have on the Hugging Face hub.
HELD_OUT = frozenset({"test", "testing", "val", "valid", "validation", "dev", "eval", "evaluation"})
SPLITS = HELD_OUT | {TRAIN, "training"}
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
    folders: tuple[
        str, ...
    ] = ()  # below a local folder, by their path; an object store has none of their own

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
    try:
        filesystem, path = fsspec.core.url_to_fs(os.path.expanduser(source))
    except ImportError as error:
        raise ValueError(f"{source}: a package is missing: {_first_line(error)}") from error
    except ValueError as error:
        raise ValueError(f"{source}: {_first_line(error)}") from error
    try:
        return _listed(source, filesystem, path)
    except FileNotFoundError as error:
        raise _missing(source) from error
    except ValueError:
        raise
    except Exception as error:  # file systems raise what their services do
        raise ValueError(f"{source}: cannot be read: {_first_line(error)}") from error


def _listed(source: str, filesystem: Any, path: str) -> Listing:
    local = isinstance(filesystem, fsspec.implementations.local.LocalFileSystem)
    if filesystem.isdir(path):
        found, folders = _local_tree(path) if local else (_remote_tree(filesystem, path), [])
        files = tuple(sorted(found, key=lambda file: file.relative))
        if not files:
            raise ValueError(f"{source}: this folder is empty")
        return Listing(source, files, filesystem, is_folder=True, folders=tuple(sorted(folders)))
    if filesystem.exists(path):
        names = [path]
    else:
        names = [name for name in sorted(filesystem.glob(path)) if not filesystem.isdir(name)]
    if not names:
        raise _missing(source)
    files = tuple(_file(name, PurePosixPath(name).name, filesystem.info(name)) for name in names)
    return Listing(source, files, filesystem, is_folder=False)


def _missing(source: str) -> MissingSourceError:
    return MissingSourceError(f"{source}: there is no such file or folder, and no file of that pattern")


def _remote_tree(filesystem: Any, root: str) -> Iterator[SourceFile]:
    for path, info in filesystem.find(root, detail=True).items():
        relative = path.removeprefix(root.rstrip("/")).lstrip("/")
        if not _is_hidden(relative):
            yield _file(path, relative, info)


def _local_tree(root: str) -> tuple[list[SourceFile], list[str]]:
    """All files and folders below a local one; follows links, but enters no folder twice: links may loop."""
    seen: set[tuple[int, int]] = set()
    files, folders = [], []
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        status = os.stat(os.path.join(root, folder))
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        if folder:
            folders.append(folder)
        with os.scandir(os.path.join(root, folder)) as entries:
            for entry in entries:
                relative = f"{folder}/{entry.name}" if folder else entry.name
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    waiting.append(relative)
                elif entry.is_file():
                    info = entry.stat()
                    files.append(SourceFile(entry.path, relative, info.st_size, str(info.st_mtime_ns)))
    return files, folders


def _file(path: str, relative: str, info: Mapping[str, Any]) -> SourceFile:
    """A file with the size and version that fsspec reports (`info`)."""
    # A local file is asked itself: fsspec reports its time as a float, which loses nanoseconds.
    if "ino" in info and stat.S_ISREG(os.stat(path).st_mode):
        status = os.stat(path)
        return SourceFile(path, relative, status.st_size, str(status.st_mtime_ns))
    version = next((str(info[key]) for key in _VERSIONS if info.get(key)), "")
    return SourceFile(path, relative, int(info.get("size") or 0), version)


def _is_hidden(relative: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(relative).parts)


def _first_line(error: BaseException) -> str:
    return first_line(error)[:200]


# ---------------------------------------------------------------------- splits


def split_name(part: str) -> str | None:
    """The split that a file's or folder's name mentions: cifar10-train-00000-of-00002.parquet is train."""
    words = re.split(r"[^a-z]+", part.lower())
    found = next((word for word in words if word in SPLITS), None)
    return TRAIN if found == "training" else found


def training_files(listing: Listing, files: Sequence[SourceFile]) -> tuple[SourceFile, ...]:
    """The Parquet files to train on.

    If any file's path names the train split, only those are taken; otherwise the files that name no split; a
    file that was named itself is taken whatever its split.

    Raises:
        ValueError: a folder holds only test or validation splits.
    """
    by_split: dict[str | None, list[SourceFile]] = {}
    for file in files:
        # The innermost name that mentions a split decides: train/val-00000.parquet is val.
        names = [split_name(part) for part in reversed(file.parts)]
        by_split.setdefault(next((name for name in names if name), None), []).append(file)
    if TRAIN in by_split:
        return tuple(by_split[TRAIN])
    if None in by_split:
        return tuple(by_split[None])
    if listing.is_folder or len(by_split) > 1:
        found = ", ".join(sorted(name for name in by_split if name))
        raise ValueError(
            f"{listing.source}: holds only {found}, which a search must not see; give the folder that holds "
            "the training images, or name a file if it is meant"
        )
    return tuple(files)


def training_root(listing: Listing, pictures: Sequence[SourceFile]) -> str:
    """The folder whose subfolders are the classes: the train split's, or the source itself ("").

    A folder with the name of a split counts as a split only if all its pictures lie in subfolders; otherwise
    it is a class that happens to have this name.

    Raises:
        ValueError: there are only test or validation splits.
    """
    holds_folders: dict[str, bool] = {}  # by folder: whether all of its pictures lie in subfolders
    for file in pictures:
        folder, _, rest = file.relative.rpartition("/")[0].partition("/")
        holds_folders[folder] = holds_folders.get(folder, True) and rest != ""
    splits = {
        folder: split_name(folder)
        for folder, is_split in holds_folders.items()
        if folder.lower() in SPLITS and is_split
    }
    train = [folder for folder, name in splits.items() if name == TRAIN]
    if train:
        return train[0]
    if splits:
        raise ValueError(
            f"{listing.source}: holds only {', '.join(sorted(splits))}, which a search must not see; give "
            "the folder whose sub-folders are the classes of the training images"
        )
    return ""
