"""Names under which files are written before they get their own: no reader sees half a file."""

import os
import secrets
from pathlib import Path


def unfinished_name(path: Path) -> Path:
    """A name beside `path`, of this process, to write under before renaming."""
    return path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")


def is_unfinished(path: Path) -> bool:
    """True of a name that `unfinished_name` gave, in any process."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


def sweep(folder: Path) -> None:
    """Removes what killed processes left half-written in a folder; for the holder of its lock."""
    for path in folder.iterdir():
        if is_unfinished(path):
            path.unlink(missing_ok=True)
