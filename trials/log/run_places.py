"""The places of runs: folders of this machine, and URLs of object stores with their mirrors here."""

import os
import re
from pathlib import Path

from search_spaces.settings.config_error import ConfigError
from trials.devices.cache_folder import cache_folder
from trials.log.bucket_files import MARKER, BucketFiles, marked
from trials.log.durable_files import DurableFiles
from trials.log.object_store import Objects

SCHEMES = ("s3", "gs", "az")
URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/+(.*)")  # a path loses one of the two slashes
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # of each part of a URL
FILES = (".yaml", ".parquet", ".html", ".json")  # endings of files in runs
WEIGHTS = ".safetensors"  # ending of files that are read where they lie


def run_folder(place: str | Path) -> Path:
    """The folder in which a run is read and written; of one in an object store its mirror, up to date.

    Raises:
        ConfigError: a place that is no folder and in no object store that is known; or the store does not
            answer, or refuses.
    """
    url = url_of(place)
    if url is None:
        return Path(place)
    mirror = _mirror_of(url)
    files = BucketFiles(mirror, url)
    try:
        files.refresh()
    except OSError as error:
        raise ConfigError(f"{url}: {error.strerror}") from error
    return mirror


def local_file(place: str) -> str:
    """The path of a run, or of a file in one: of those in an object store, in the mirror.

    Weights keep their URL: `trials.training.weights_file` reads them there.

    Raises:
        ConfigError: as `run_folder`.
    """
    if (url := url_of(place)) is None:
        return place
    run, _, name = url.rpartition("/")
    if Path(name).suffix == WEIGHTS:
        return url
    if Path(name).suffix in FILES:
        return str(run_folder(run) / name)
    return str(run_folder(url))


def object_at(place: str | Path) -> bytes | None:
    """The bytes of one file in an object store; None where there is none.

    Raises:
        ConfigError: as `url_of`.
        OSError: the store does not answer, or refuses.
    """
    url = url_of(place)
    assert url is not None, f"{place} is no URL"
    folder, _, name = url.rpartition("/")
    return Objects(folder).get(name)


def folders_like(pattern: str | Path) -> list[str]:
    """The URLs of folders in an object store that fit a pattern, as in `s3://bucket/runs/*`, in their order.

    Raises:
        OSError: the store does not answer, or refuses.
    """
    match = URL.fullmatch(str(pattern))
    assert match is not None, f"{pattern} is no URL"
    bucket, _, path = match[2].partition("/")
    place = f"{match[1].lower()}://{bucket}"
    return [f"{place}/{found}" for found in Objects(place).folders(path)]


def states_at(place: str | Path) -> tuple[Path, DurableFiles]:
    """A folder of states, and its files: of one in an object store nothing is kept on this machine.

    Raises:
        ConfigError: as `url_of`.
    """
    url = url_of(place)
    if url is None:
        return Path(place), DurableFiles()
    folder = _mirror_of(url)
    return folder, BucketFiles(folder, url, keeps_copies=False)


def is_in_store(place: str | Path) -> bool:
    """True of a URL of an object store that is known."""
    match = URL.fullmatch(str(place))
    return match is not None and match[1].lower() in SCHEMES


def url_of(place: str | Path) -> str | None:
    """The URL that a place names; None of a folder.

    Raises:
        ConfigError: it is a URL, but of no object store that is known, or with odd names.
    """
    match = URL.fullmatch(str(place))
    if match is None or (len(match[1]) == 1 and os.name == "nt"):
        return None
    scheme, rest = match[1].lower(), match[2].rstrip("/")
    url = f"{scheme}://{rest}"
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise ConfigError(f"{url}: no place that is known: take a folder, or a URL that begins with {known}")
    names = rest.split("/")
    if len(names) < 2 or not all(NAME.fullmatch(name) for name in names):
        raise ConfigError(
            f"{url}: a bucket and a path in it are expected, as in {scheme}://bucket/runs/first, of letters, "
            "digits, dots, hyphens and underscores"
        )
    return url


def check_reached(place: str | Path) -> None:
    """Refuses a URL whose store cannot be read from here; nothing is written.

    Raises:
        ConfigError: as `url_of`; or the store does not answer, or refuses.
    """
    if (url := url_of(place)) is None:
        return
    try:
        Objects(url).tags("reached")  # a folder in which there is nothing
    except OSError as error:
        raise ConfigError(f"{url}: {error.strerror}") from error


def files_of(folder: Path) -> DurableFiles:
    """The files of the run in this folder: a mirror's are also in the bucket."""
    for place in (folder, *folder.parents):
        marker = place / MARKER
        if marker.is_file():
            return BucketFiles(place, marked(marker).get("url", ""))
    return DurableFiles()


def place_of(folder: Path | str) -> str:
    """The run as people name it: its folder, or the URL that the folder mirrors."""
    if is_in_store(folder):
        return str(url_of(folder))
    folder = Path(folder)
    for place in (folder, *folder.parents):
        marker = place / MARKER
        if marker.is_file():
            inner = folder.relative_to(place).as_posix()
            url = str(marked(marker).get("url", place))
            return url if inner == "." else f"{url}/{inner}"
    return str(folder)


def _mirror_of(url: str) -> Path:
    scheme, _, rest = url.partition("://")
    return cache_folder("runs") / scheme / rest
