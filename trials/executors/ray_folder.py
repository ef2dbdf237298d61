"""The folder of a local Ray's files, whose path has to be short: sockets lie in it."""

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

LONGEST_SOCKET = 103 if sys.platform == "darwin" else 107  # bytes of a socket's path
PREFIX = "ray-"
# What Ray appends: its session, with the largest process number, and the socket with the longest name.
APPENDED = f"/{PREFIX}12345678/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
SHORT = ("/tmp", "/var/tmp", "/dev/shm")  # taken where the usual folder's path is too long


class LongFolderError(ValueError):
    """No folder has a path that is short enough for Ray's sockets."""


def ray_folder(usual: str | None = None, others: Sequence[str] = SHORT) -> tuple[Path, str]:
    """The folder in which Ray may put its files, and a sentence if it is not the usual one.

    `usual` is $RAY_TMPDIR, or else the folder of temporary files ($TMPDIR).

    Raises:
        LongFolderError: its path is too long, and no other folder can be written.
    """
    usual = usual or os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    most = LONGEST_SOCKET - len(APPENDED)
    if len(os.fsencode(usual)) <= most:
        return Path(usual), ""
    for folder in others:
        if len(folder) <= most and os.access(folder, os.W_OK | os.X_OK):
            return Path(folder), (
                f"Ray's files are in {folder}: the path of {usual} has more than the {most} bytes that its "
                "sockets allow"
            )
    raise LongFolderError(
        f"{usual}: Ray's sockets need a folder whose path has at most {most} bytes; name one in RAY_TMPDIR"
    )
