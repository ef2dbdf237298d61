"""Files that a command writes: one that exists is replaced only when that was asked for.

Commands ask before they compute, so that nothing is lost.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from search_spaces.settings.config_error import ConfigError

PNG = b"\x89PNG\r\n\x1a\n"  # with which a picture begins


def refuse_existing(*files: Path | None, force: bool) -> None:
    """Refuses to replace a file unasked; None is standard output.

    Raises:
        ConfigError: one of the files exists and `force` is not given, or is a folder.
    """
    for path in files:
        if path is not None:
            _refuse_place(path)
        if path is not None and path.exists() and not force:
            raise ConfigError(f"{path}: this file exists; choose another -o, or replace it with --force")


def refuse_other_kind(path: Path, *, beginning: bytes, kind: str) -> None:
    """Refuses to replace a file of another kind; one that begins like this is replaced unasked.

    Raises:
        ConfigError: the file is of another kind, or a folder, or cannot be written.
    """
    _refuse_place(path)
    try:
        if path.is_file() and path.stat().st_size:
            with path.open("rb") as file:
                found = file.read(len(beginning))
            if found != beginning:
                raise ConfigError(f"{path}: this file is no {kind}; choose another -o")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}; choose another -o") from None


@contextmanager
def writing(output: Path) -> Iterator[None]:
    """Makes the folder of a file that is written within the block, and says which file could not be written.

    Raises:
        ConfigError: the folder, or the file, cannot be written.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise ConfigError(f"{output}: cannot be written: {error.strerror or error}") from error


def _refuse_place(path: Path) -> None:
    """Refuses a folder, and a place where no file can be made."""
    if path.is_dir():
        raise ConfigError(f"{path}: this is a folder; name a file in it with -o")
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not above.is_dir():
        raise ConfigError(f"{path}: {above.name} is a file; choose another -o")
    if not os.access(path if path.exists() else above, os.W_OK):
        raise ConfigError(f"{path}: cannot be written: Permission denied; choose another -o")
