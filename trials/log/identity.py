"""The identity of a run: the search file and the files that a search depends on, as its log records them.

The record is the truth, and `search.yaml` a copy of it for people. Whoever reads or continues a run compares.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.json_text import json_value
from trials.log.file_names import SEARCH_FILE
from trials.log.row_types import IdentityRow


@dataclass(frozen=True)
class Identity:
    """The identity of a run.

    Attributes:
        search: the text of the search file, as last recorded.
        earlier: its earlier texts: a killed driver may have left one of them in search.yaml.
        files: the SHA-256 of each file that the search depends on, by name.
    """

    search: str
    earlier: tuple[str, ...]
    files: Mapping[str, str]


def identity_row(search: str, files: Mapping[str, bytes]) -> IdentityRow:
    """The record of a search file and of the contents of files, by name."""
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
    return {"search": search, "files": json.dumps(digests), "recorded_at": datetime.now(UTC)}


def identity_of(records: list[IdentityRow]) -> Identity | None:
    """The identity that a run's records give, in their order; None where nothing is recorded."""
    if not records:
        return None
    *before, last = records
    earlier = tuple(row["search"] for row in before if row["search"] != last["search"])
    return Identity(last["search"], earlier, _digests(last))


def _digests(row: IdentityRow) -> dict[str, str]:
    """The digests of files that a record of the run's identity holds.

    Raises:
        ConfigError: they do not read, though the record is sealed: another program wrote it.
    """
    try:
        return {str(name): str(digest) for name, digest in json_value(row["files"]).items()}
    except (ValueError, AttributeError) as error:
        raise ConfigError(f"the log's record of the run is not as this program writes it ({error})") from None


def changed_files(folder: Path, identity: Identity, *, may_be_gone: str = "") -> list[str]:
    """The files, but for search.yaml, that are not as they were recorded; a sentence for each."""
    found = []
    for name, digest in identity.files.items():
        try:
            now = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except FileNotFoundError:
            if name != may_be_gone:
                found.append(f"{name}: is gone")
        except OSError as error:
            found.append(f"{name}: cannot be read: {error.strerror}")
        else:
            if now != digest:
                found.append(f"{name}: its bytes are not those that were recorded")
    return found


def is_search_file_changed(folder: Path, identity: Identity) -> bool:
    """True if search.yaml says something else than was ever recorded, or is gone."""
    try:
        text = (folder / SEARCH_FILE).read_bytes()
    except OSError:
        return True
    return text not in {known.encode() for known in (identity.search, *identity.earlier)}


def refuse_changed_files(folder: Path, identity: Identity, *, may_be_gone: str = "") -> None:
    """Refuses a run of which a file that the search depends on is not as it was recorded.

    Raises:
        ConfigError: naming each.
    """
    if changed := changed_files(folder, identity, may_be_gone=may_be_gone):
        lines = "\n".join(f"  {line}" for line in changed)
        raise ConfigError(
            f"{folder}: not as its log has recorded it:\n{lines}\nPut these back from a copy of the run; "
            "nothing was changed"
        )


def refuse_changed(folder: Path, identity: Identity) -> None:
    """Likewise of these files and of search.yaml, which a reader does not use as it is.

    Raises:
        ConfigError: naming each.
    """
    refuse_changed_files(folder, identity)
    if is_search_file_changed(folder, identity):
        raise ConfigError(
            f"{folder}/{SEARCH_FILE}: not as the log has recorded it: nas verify {folder} --repair puts it "
            f"back. If you mean the change: nas search {folder}/{SEARCH_FILE} --run {folder} takes what may "
            "change"
        )


def identity_digest(row: IdentityRow) -> str:
    """The digest of a record of what the run is, which each part written under it carries."""
    text = json.dumps([row["search"], _digests(row)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
