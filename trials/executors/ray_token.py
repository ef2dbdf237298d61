"""Ray's token, without which nobody may give it code to run: a file that only its owner reads."""

import os
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

BYTES = 32  # as Ray's own


def keep_token_private(home: Path | None = None) -> None:
    """Makes Ray's token file one that only its owner may read; where there is none yet, makes the file.

    Ray itself, when it first starts, writes it with the usual rights, so that everybody on this machine could
    read it. Left alone are a token in the environment or in another file, and a home that cannot be written.
    """
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        return
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return
    file = (home or Path.home()) / ".ray" / "auth_token"
    with suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            _create(file)
        elif stat.S_IMODE(file.stat().st_mode) & 0o077:
            file.chmod(0o600)


def _create(file: Path) -> None:
    """Writes a new token; one that another process has made meanwhile stays."""
    descriptor, name = tempfile.mkstemp(prefix="auth_token-", dir=file.parent)  # with mode 0600
    try:
        with os.fdopen(descriptor, "w") as new:
            new.write(secrets.token_hex(BYTES))
        with suppress(FileExistsError):
            os.link(name, file)
    finally:
        os.unlink(name)
