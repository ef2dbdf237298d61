"""Files of a run in an object store: the bucket holds the run, and a folder of this machine mirrors it.

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
from trials.log.durable_files import PRIVATE, DurableFiles, NameTakenError
from trials.log.file_names import LOCK_FILE, SEARCH_FILE, TRIALS_FILE
from trials.log.object_store import Objects, StoreError, Tag, plain

if TYPE_CHECKING:
    from obstore.store import ObjectStore

MARKER = ".bucket"  # in a mirror: what it mirrors
LOCAL = frozenset({MARKER, LOCK_FILE, "ray"})  # files and folders of mirrors alone, also of one in another
IN_BUCKET_ALONE = re.compile(r"(^|/)checkpoints?/")  # keys of which a mirror has no copy
AT_ONCE = 32  # requests
PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds, before something that is missing is listed again
TRIES = 5  # to replace an object that others may replace, too
SECONDS_BETWEEN_VIEWS = 10.0  # each costs two requests
UNLISTED = (SEARCH_FILE, TRIALS_FILE)  # asked for where a list of a run has them not


def marked(marker: Path) -> dict[str, Any]:
    """The URL that a folder mirrors, and its files' tags, by its marker; nothing by a damaged one."""
    try:
        found = json_value(marker.read_bytes())
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}


class BucketFiles(DurableFiles):
    """Files of a run in an object store, and of its mirror; each method promises what DurableFiles does."""

    seconds_between_views = SECONDS_BETWEEN_VIEWS
    have_locks = False
    lists_at_once = False

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
        self._replaced: dict[str, Tag] = {}  # of objects that this process has replaced

    # ------------------------------------------------------------------ the mirror

    def refresh(self) -> None:
        """Brings the mirror up to date with the bucket.

        Raises:
            OSError: the store does not answer, or refuses.
        """
        self._etags = self._marked_etags()
        there = {**self._seen, **self._listed()}  # a list may come late
        missed = [key for key in UNLISTED if there and self._is_mirrored(key) and key not in there]
        wanted = [key for key, etag in there.items() if not self._has(key, etag)]
        self._mirror.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for key, data in zip(wanted, pool.map(self.objects.get, wanted), strict=True):
                if data is not None:  # None: removed since it was listed
                    self._keep(key, data)
                    self._etags[key] = there[key]
            for key, data in zip(missed, pool.map(self.objects.get, missed), strict=True):
                if data is not None:
                    self._found(key, data)
                    there[key] = ""
        self._drop_others(there.keys())
        self._write_marker()

    def _marked_etags(self) -> dict[str, str]:
        return dict(marked(self._mirror / MARKER).get("etags", {}))

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

    def _put(self, key: str, data: bytes, *, new: bool = False, over: Tag | None = None) -> Tag:
        tag = self.objects.put(key, data, new=new, over=over)
        if self._is_mirrored(key):
            self._etags[key] = self._seen[key] = plain(tag.e_tag)
            self._keep(key, data)
        return tag

    def _key(self, path: Path) -> str:
        return path.relative_to(self._mirror).as_posix()

    def make_folder(self, path: Path, mode: int | None = None) -> None:
        """Makes it in the mirror alone: a bucket has no folders."""
        path.mkdir(parents=True, exist_ok=True)

    def write(self, path: Path, data: bytes, *, durable: bool = True) -> None:
        """Replaces an object as a whole."""
        self._put(self._key(path), data)

    def replace(
        self, path: Path, data: bytes, is_overtaken: Callable[[], bool], *, durable: bool = True
    ) -> bool:
        """Replaces an object, but never that of a newer driver, however late the request arrives."""
        key = self._key(path)
        for _ in range(TRIES):
            # What was there before the question was put by no driver that began after it.
            there = self._replaced.pop(key, None) or self.objects.tag(key)
            if is_overtaken():
                return False
            try:
                self._replaced[key] = self._put(key, data, new=there is None, over=there)
                return True
            except NameTakenError:  # by an older driver, or the answer to an own request was lost
                continue
        raise StoreError(errno.EIO, f"the object store does not replace {key} on a condition (If-Match)")

    def create(self, path: Path, data: bytes) -> None:
        """A new object, never in the place of another; may be repeated after an answer was lost."""
        key = self._key(path)
        for seconds in PAUSES:
            try:
                self._put(key, data, new=True)
                return
            except NameTakenError:
                there = self.objects.get(key)
            if there is not None:
                self._found(key, there)
                if there != data:
                    raise NameTakenError(str(path))
                return
            self._sleep(
                seconds
            )  # of two requests at once, an own one that was given up among them, S3 takes none
        raise StoreError(errno.EAGAIN, f"the object store refuses {key} as if it were there, and it is not")

    def exists(self, path: Path) -> bool:
        """True if there is such an object."""
        return self.objects.tag(self._key(path)) is not None

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
