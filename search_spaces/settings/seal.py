"""A file's own SHA-256, written into it: one changed bit anywhere in the file is noticed.

The digest is of all bytes of the file, with zeros in the place of the digest itself.
"""

import hashlib
import json
import re
from collections.abc import Mapping

MARK = "sha256 of the rest: "
OPEN_SEAL = MARK + "0" * 64  # put in by whoever makes the file, and closed by `sealed`
_SEAL = re.compile(MARK.encode() + rb"([0-9a-f]{64})")


class BrokenSealError(ValueError):
    """A file is not as it was written."""


def sealed_json(content: Mapping[str, object]) -> str:
    """The text of a JSON file with its seal."""
    return sealed((json.dumps({**content, "seal": OPEN_SEAL}, indent=1) + "\n").encode()).decode()


def sealed_text(text: str) -> str:
    """A text whose seal is a comment of YAML, at its end."""
    return sealed(f"{text}# {OPEN_SEAL}\n".encode()).decode()


def sealed(data: bytes) -> bytes:
    """The file with its open seal closed."""
    place = data.rfind(OPEN_SEAL.encode())
    assert place >= 0, "the file has no open seal"
    start, end = place + len(MARK), place + len(OPEN_SEAL)
    return data[:start] + hashlib.sha256(data).hexdigest().encode() + data[end:]


def has_seal(data: bytes) -> bool:
    """True if a seal is found; a changed bit may have hidden it."""
    return _last_seal(data) is not None


def check_seal(data: bytes) -> None:
    """Refuses a file that is not as it was sealed.

    Raises:
        BrokenSealError: it has no seal, or another digest.
    """
    found = _last_seal(data)
    if found is None:
        raise BrokenSealError("its seal is gone")
    whole = hashlib.sha256(data[: found.start(1)])
    whole.update(b"0" * 64)
    whole.update(data[found.end(1) :])
    if whole.hexdigest().encode() != found[1]:
        raise BrokenSealError("its bytes are not those that were written")


def _last_seal(data: bytes) -> re.Match[bytes] | None:
    """The last of the file: a file may quote another one's text before its own seal."""
    place = data.rfind(MARK.encode())
    return _SEAL.match(data, place) if place >= 0 else None
