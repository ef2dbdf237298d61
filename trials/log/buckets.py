"""Runs in object stores: the bucket holds the run, and a folder of this machine mirrors it.

All that reads or writes a run works on the mirror; what is written goes to the bucket first, and is durable
when the bucket has taken it. A part is created only where nothing has its name (If-None-Match), which is what
keeps two drivers apart: see `trials.log.log_end`. The mirror can be deleted at any time. States of trials and
trainings, which are large and of use for whoever goes on alone, are in the bucket only.
"""

import errno
import json
import os
import re
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.settings.json_text import json_value
from search_spaces.settings.unfinished_files import is_unfinished
from search_spaces.settings.yaml_files import ConfigError
from trials.devices.cache_folder import cache_folder
from trials.log.durable_files import PRIVATE, DurableFiles, NameTakenError
from trials.log.file_names import LOCK_FILE
from trials.log.object_store import Objects

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = ("s3", "gs", "az")
URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/+(.*)")  # a path loses one of the two slashes
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # of each part of a URL
FILES = (".yaml", ".parquet", ".html", ".json")  # endings of files in runs
MARKER = ".bucket"  # in a mirror: what it mirrors
LOCAL = frozenset({MARKER, LOCK_FILE, "ray"})  # files and folders of mirrors alone, also of one in another
IN_BUCKET_ALONE = re.compile(r"(^|/)checkpoints?/")  # keys of which a mirror has no copy
WEIGHTS = ".safetensors"  # ending of files that are read where they lie
AT_ONCE = 32  # requests
PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds, before something that is missing is listed again
SECONDS_BETWEEN_VIEWS = 10.0  # each costs two requests


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
            return BucketFiles(place, _marked(marker).get("url", ""))
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
            url = str(_marked(marker).get("url", place))
            return url if inner == "." else f"{url}/{inner}"
    return str(folder)


def _mirror_of(url: str) -> Path:
    scheme, _, rest = url.partition("://")
    return cache_folder("runs") / scheme / rest


def _marked(marker: Path) -> dict[str, Any]:
    try:
        found = json_value(marker.read_bytes())
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}


class BucketFiles(DurableFiles):
    """Files of a run in an object store, and of its mirror; each method promises what DurableFiles does."""

    seconds_between_views = SECONDS_BETWEEN_VIEWS
    have_locks = False

    def __init__(
        self,
        mirror: Path,
        url: str,
        *,
        store: "ObjectStore | None" = None,
        sleep: Callable[[float], None] = time.sleep,
        keeps_copies: bool = True,
    ) -> None:
        super().__init__()
        self.objects = Objects(url, store=store)
        self._sleep = sleep
        self._mirror, self._url = mirror, url
        self._keeps_copies = keeps_copies
        self._etags = self._marked_etags()  # by key: of what the mirror holds
        self._seen: dict[str, str] = {}  # of these what this process has put or found, whatever a list says

    # ------------------------------------------------------------------ the mirror

    def refresh(self) -> None:
        """Brings the mirror up to date with the bucket.

        Raises:
            OSError: the store does not answer, or refuses.
        """
        self._etags = self._marked_etags()
        there = {**self._seen, **self._listed()}  # a list may come late
        wanted = [key for key, etag in there.items() if not self._has(key, etag)]
        self._mirror.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for key, data in zip(wanted, pool.map(self.objects.get, wanted), strict=True):
                if data is not None:  # None: removed since it was listed
                    self._keep(key, data)
                    self._etags[key] = there[key]
        self._drop_others(there.keys())
        self._write_marker()

    def _marked_etags(self) -> dict[str, str]:
        return dict(_marked(self._mirror / MARKER).get("etags", {}))

    def _listed(self) -> dict[str, str]:
        """The tag of each object below the run."""
        return {key: tag for key, tag in self.objects.tags().items() if self._is_mirrored(key)}

    def _is_mirrored(self, key: str) -> bool:
        return self._keeps_copies and not IN_BUCKET_ALONE.search(key)

    def _has(self, key: str, etag: str) -> bool:
        return bool(etag) and self._etags.get(key) == etag and (self._mirror / key).is_file()

    def _keep(self, key: str, data: bytes) -> None:
        path = self._mirror / key
        if ".." in path.parts or not path.is_relative_to(self._mirror):
            raise OSError(errno.EINVAL, f"an object has a name that is none of a run's: {key}")
        path.parent.mkdir(parents=True, exist_ok=True)
        super().write(path, data, durable=False)

    def _drop_others(self, keys: Iterable[str]) -> None:
        """Removes files of the mirror that the bucket has not; folders stay."""
        known = set(keys)
        for folder, _, names in os.walk(self._mirror):
            for name in names:
                path = Path(folder) / name
                key = path.relative_to(self._mirror).as_posix()
                if key not in known and not LOCAL.intersection(key.split("/")) and not is_unfinished(path):
                    path.unlink(missing_ok=True)
        self._etags = {key: etag for key, etag in self._etags.items() if key in known}

    def _write_marker(self) -> None:
        text = json.dumps({"url": self._url, "etags": self._etags})
        super().write(self._mirror / MARKER, text.encode(), durable=False)

    # ------------------------------------------------------------------ files

    def _put(self, key: str, data: bytes, *, new: bool = False) -> None:
        tag = self.objects.put(key, data, new=new)
        if self._is_mirrored(key):
            self._etags[key] = self._seen[key] = tag
            self._keep(key, data)

    def _key(self, path: Path) -> str:
        return path.relative_to(self._mirror).as_posix()

    def make_folder(self, path: Path, mode: int | None = None) -> None:
        """Makes it in the mirror alone: a bucket has no folders."""
        path.mkdir(parents=True, exist_ok=True)

    def write(self, path: Path, data: bytes, *, durable: bool = True) -> None:
        """Replaces an object as a whole."""
        self._put(self._key(path), data)

    def create(self, path: Path, data: bytes) -> None:
        """A new object, never in the place of another; may be repeated after an answer was lost."""
        key = self._key(path)
        try:
            self._put(key, data, new=True)
        except NameTakenError:
            there = self.objects.get(key)
            if there is not None:
                self._found(key, there)
            if there != data:
                raise NameTakenError(str(path)) from None

    def exists(self, path: Path) -> bool:
        """True if there is such an object."""
        return self.objects.exists(self._key(path))

    def names(self, folder: Path) -> list[str]:
        """Names of the objects below a folder, in their order, by a new list of the bucket."""
        prefix = self._key(folder)
        keys = self.objects.tags(None if prefix == "." else prefix)
        return sorted(Path(key).relative_to(prefix).as_posix() for key in keys)

    def read_back(self, path: Path) -> bytes:
        """All bytes of an object, as the store has them."""
        data = self.objects.get(self._key(path))
        if data is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return data

    def sync_folder(self, folder: Path) -> None:
        """Nothing: what the bucket has taken is durable."""

    def move(self, path: Path, target: Path) -> None:
        """Puts an object under another name; may be repeated after it failed half-way."""
        if path.is_file():
            data = path.read_bytes()
            self._put(self._key(target), data)
        elif not target.is_file():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        self.remove(path)

    def remove(self, path: Path) -> None:
        """Removes an object, if it is there."""
        key = self._key(path)
        self.objects.remove(key)
        self._etags.pop(key, None)
        self._seen.pop(key, None)
        path.unlink(missing_ok=True)

    def look_again(self, paths: Iterable[Path]) -> bool:
        """Asks for objects that a list did not have; True if there are some."""
        keys = [self._key(path) for path in paths]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = {
                key: data for key, data in zip(keys, pool.map(self.objects.get, keys), strict=True) if data
            }
        for key, data in found.items():
            self._found(key, data)
        return bool(found) or self._listed_later()

    def _listed_later(self) -> bool:
        """Lists again, a few times; True once there is more than before."""
        for seconds in PAUSES:
            self._sleep(seconds)
            if self._listed().keys() - self._etags.keys():
                self.refresh()
                return True
        return False

    def _found(self, key: str, data: bytes) -> None:
        """An object that no list has had yet."""
        if self._is_mirrored(key):
            self._keep(key, data)
            self._etags[key] = self._seen[key] = ""

    def close(self) -> None:
        """Notes what the mirror holds, so that the next start fetches only what has changed."""
        self._write_marker()
