"""Objects in a store: requests, and what the store refuses in words. All of obstore is here."""

import errno
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeVar

from search_spaces.settings.sentences import first_line
from trials.log.durable_files import NameTakenError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")
PIECE = 32 << 20  # bytes of one request: larger objects go in pieces, since a request has 30 s to end
RETRIES: Any = {"max_retries": 6, "retry_timeout": timedelta(seconds=60)}
ADDRESS = re.compile(r"(https?://)(?:[^/\s@]*@)?([^\s?]*)(?:\?\S*)?")
GLOB = re.compile(r"[*?\[]")


class StoreError(OSError):
    """A request that a store does not answer, or refuses; its `strerror` says which and why."""


@dataclass(frozen=True)
class Tag:
    """The version of an object: Google's stores compare its number, the others its ETag."""

    e_tag: str | None
    version: str | None

    def mode(self) -> Any:
        """The mode of a put that replaces this version alone; any version, where a store gives no tags."""
        given = {"e_tag": self.e_tag, "version": self.version}
        return {name: value for name, value in given.items() if value is not None} or "overwrite"


class Objects:
    """The objects below a URL, by key. Every method raises StoreError if it does not answer, or refuses.

    Args:
        url: that of `trials.log.run_places.url_of`, or a bucket's own.
        store: a client of that place; by default it is opened with the first request.
    """

    def __init__(self, url: str, *, store: "ObjectStore | None" = None) -> None:
        self.url = url
        self._opened = store

    def get(self, key: str) -> bytes | None:
        """All bytes of an object; None where there is none."""
        try:
            return self._ask(lambda store: _whole(store, key))
        except FileNotFoundError:
            return None

    def put(self, key: str, data: bytes, *, new: bool = False, over: Tag | None = None) -> Tag:
        """Replaces an object as a whole, or creates a `new` one; returns its tag.

        Args:
            over: the version that is to be replaced, and no other; None: whatever there is.

        Raises:
            NameTakenError: there is an object where a new one was to be, or not the version to be replaced.
        """
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        mode: Any = "create" if new else "overwrite" if over is None else over.mode()
        in_pieces = (
            mode == "overwrite" and len(data) > PIECE
        )  # only one request can be refused on a condition
        try:
            put = self._ask(
                lambda store: store.put(key, data, mode=mode, use_multipart=in_pieces, chunk_size=PIECE)
            )
        except FileNotFoundError as error:
            if over is not None:  # it has been removed
                raise NameTakenError(key) from None
            raise _no_bucket(error) from None
        except (AlreadyExistsError, PreconditionError):
            raise NameTakenError(key) from None
        return Tag(put["e_tag"], put["version"])

    def tag(self, key: str) -> Tag | None:
        """The tag of an object; None where there is none."""
        try:
            found = self._ask(lambda store: store.head(key))
        except FileNotFoundError:
            return None
        return Tag(found["e_tag"], found["version"])

    def remove(self, key: str) -> None:
        """Removes an object, if it is there."""
        try:
            self._ask(lambda store: store.delete(key))
        except FileNotFoundError:
            return

    def tags(self, prefix: str | None = None) -> dict[str, str]:
        """The tag of each object, by key; of those in the folder `prefix` alone, if given."""
        try:
            pages = self._ask(lambda store: list(store.list(prefix)))
        except FileNotFoundError as error:
            raise _no_bucket(error) from None
        return {entry["path"]: plain(entry["e_tag"]) for page in pages for entry in page}

    def folders(self, pattern: str) -> list[str]:
        """The folders whose path fits a pattern with `*`, `?` or `[…]` within its names, in their order."""
        found = [""]
        for name in pattern.strip("/").split("/"):
            found = [path for folder in found for path in self._inside(folder, name)]
        return found

    def _inside(self, folder: str, name: str) -> list[str]:
        if not GLOB.search(name):
            return [f"{folder}/{name}".strip("/")]
        there = self._ask(lambda store: store.list_with_delimiter(folder or None))["common_prefixes"]
        return sorted(path for path in there if fnmatchcase(path.rpartition("/")[2], name))

    def _store(self) -> "ObjectStore":
        if self._opened is None:
            self._opened = open_store(self.url)
        return self._opened

    def _ask(self, request: "Callable[[ObjectStore], T]") -> T:
        """The answer to a request; what the store refuses is an error that says why."""
        store = self._store()  # says what is missing where there is no client
        from obstore import exceptions

        try:
            return request(store)
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError, FileNotFoundError):
            raise
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise StoreError(errno.EACCES, f"the object store refuses: {_words(error)}") from None
        except exceptions.BaseError as error:
            raise StoreError(errno.EAGAIN, f"the object store does not answer: {_words(error)}") from None


def plain(e_tag: str | None) -> str:
    """An ETag that can be compared: Azure's lists give it without the quotes that all else has."""
    return (e_tag or "").strip('"')


def _words(error: Exception) -> str:
    """The first line of what a client says; of addresses neither user nor query, which may be secret."""
    return ADDRESS.sub(r"\1\2", first_line(error))


def _no_bucket(error: FileNotFoundError) -> StoreError:
    return StoreError(errno.EACCES, f"there is no such bucket: {_words(error)}")


def _whole(store: "ObjectStore", key: str) -> bytes:
    found = store.get(key)
    size = found.meta["size"]
    if size <= PIECE:
        return bytes(found.bytes())
    starts = range(0, size, PIECE)
    return b"".join(store.get_range(key, start=at, end=min(at + PIECE, size)) for at in starts)


def open_store(url: str) -> "ObjectStore":
    """A client of the store; credentials come from the environment and the machine's own places.

    Raises:
        StoreError: the client is not installed, or lacks something.
    """
    try:
        from obstore import exceptions
        from obstore.store import from_url
    except ImportError:
        raise StoreError(
            errno.ENOSYS, "runs in object stores need obstore: pip install 'training-aware-nas[store]'"
        ) from None
    try:
        # No options of the client: they would hide those of the environment (AWS_ALLOW_HTTP, say).
        return from_url(url, retry_config=RETRIES)
    except exceptions.BaseError as error:
        raise StoreError(errno.EINVAL, f"the object store cannot be reached: {_words(error)}") from None
