"""The Hugging Face Hub through its own library, huggingface_hub, which is no dependency of this package.

Tokens are where that library keeps them (`hf auth login`, HF_TOKEN), and stand in no message.
"""

import errno
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.sentences import first_line

PACKAGE = "huggingface_hub"
TRANSPORT = (
    "httpx",
    "httpx2",
    "httpcore",
    "httpcore2",
    "requests",
    "urllib3",
    "urllib",
    "ssl",
    "socket",
)  # of its versions
NOT_LET_IN = (401, 403)
UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN)


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A repository of a model at one commit."""

    name: str
    commit: str
    is_private: bool
    sizes: dict[str, int | None]  # bytes of its files, by name


class Hub:
    """The Hub, for one command.

    Raises:
        ConfigError: the library is not installed.
    """

    def __init__(self) -> None:
        if find_spec(PACKAGE) is None:
            raise ConfigError(
                f"the package {PACKAGE} is not installed here; pip install -e '.[hub]' in the repository"
            )
        self._library: Any = import_module(PACKAGE)
        self._api: Any = self._library.HfApi(library_name="training-aware-nas")

    def check_token(self) -> None:
        """Refuses to go on without a token.

        Raises:
            ConfigError: there is none.
        """
        if not self._library.get_token():
            raise ConfigError(
                "no token of the Hugging Face Hub is here, and nothing was uploaded: `hf auth login` keeps "
                "one, or "
                "HF_TOKEN holds it; it needs the right to write"
            )

    def repository(self, name: str, *, revision: str | None = None) -> Repository | None:
        """A repository as it is now, or at a revision; None where there is none that can be seen.

        Raises:
            ConfigError: the Hub does not answer, or refuses; there is no such revision.
        """
        errors = import_module(f"{PACKAGE}.errors")
        with self._refused(name, revision=revision):
            try:
                info = self._api.model_info(name, revision=revision, files_metadata=True)
            except errors.GatedRepoError:
                raise
            except errors.RepositoryNotFoundError as error:
                if _status(error) == 403:
                    raise
                return None
        files = {each.rfilename: each.size for each in info.siblings or ()}
        return Repository(name=name, commit=info.sha, is_private=bool(info.private), sizes=files)

    def create(self, name: str, *, private: bool) -> None:
        """Makes a new repository.

        Raises:
            ConfigError: the Hub does not answer, or refuses.
        """
        with self._refused(name):
            self._api.create_repo(name, private=private, repo_type="model")

    def commit(
        self,
        name: str,
        folder: Path,
        files: tuple[str, ...],
        *,
        delete: list[str],
        message: str,
        parent: str | None,
    ) -> str:
        """Uploads files of a folder, and deletes others, in one commit on `parent`; its URL.

        Raises:
            ConfigError: the Hub does not answer, or refuses: no file has changed there then.
        """
        library = self._library
        adds = [library.CommitOperationAdd(each, str(folder / each)) for each in files]
        deletes = [library.CommitOperationDelete(each) for each in delete]
        # Of a commit the library raises these two also where the Hub refuses a file or the card's metadata.
        with self._refused(name, also=(RuntimeError, ValueError)), warnings.catch_warnings():
            # The curves of a training are a Parquet file, which the library takes for a data set's.
            warnings.filterwarnings("ignore", message="It seems that you are about to commit a data file")
            done = self._api.create_commit(
                name, [*adds, *deletes], commit_message=message, parent_commit=parent, repo_type="model"
            )
        return str(done.commit_url)

    def download(self, repository: Repository, file: str, folder: Path) -> None:
        """Downloads one file of a repository's commit into a folder, under its name there.

        Raises:
            ConfigError: the Hub does not answer, or refuses.
        """
        with self._refused(repository.name):
            self._api.hf_hub_download(
                repository.name, file, revision=repository.commit, local_dir=str(folder)
            )

    @contextmanager
    def _refused(
        self, name: str, *, revision: str | None = None, also: tuple[type[Exception], ...] = ()
    ) -> Iterator[None]:
        """Says in a sentence what the library's errors mean; its own mistakes keep their traceback.

        Args:
            also: kinds of errors that are refusals here, though they have no status of their own.
        """
        try:
            yield
        except Exception as error:
            if (status := _status(error)) is not None or _is_of_transport(error):
                reason = self._reason(error, status, revision)
            elif isinstance(error, OSError):
                where = f" ({error.filename})" if error.filename else ""
                reason = f"a file of this machine{where}: {error.strerror or self._words(error)}"
            elif isinstance(error, also):
                reason = self._reason_of_cause(error)
            else:
                raise
            raise ConfigError(f"{name}: {reason}") from None

    def _reason_of_cause(self, error: Exception) -> str:
        """The reason of an error that wraps another one, or none."""
        cause = error.__cause__
        if isinstance(cause, Exception) and _status(cause) is None and _is_of_transport(cause):
            return self._reason(cause, None, None)
        status = _status(cause) if isinstance(cause, Exception) else None
        return f"the Hub refuses ({f'{status}: ' if status else ''}{self._words(error)})"

    def _reason(self, error: Exception, status: int | None, revision: str | None) -> str:
        kind = type(error).__name__
        if status is None:
            return f"the Hub does not answer ({kind}: {self._words(error)}); the same command tries again"
        if kind == "RevisionNotFoundError":
            return f"there is no revision {revision!r}; a branch, a tag or a commit is expected"
        if kind == "GatedRepoError":
            return "its owner lets in only whom they know: ask for access on its page, then `hf auth login`"
        if status in NOT_LET_IN:
            return (
                "the Hub does not let this token do that: it needs the right to write to this user's or "
                "organization's repositories; `hf auth login` keeps another one"
            )
        return f"the Hub refuses ({status}: {self._words(error)})"

    def _words(self, error: Exception) -> str:
        """An error's first lines as one, without the token, wherever a library may have put it."""
        token, said = self._library.get_token(), " ".join(str(error).split())
        said = said or first_line(error)
        return (said.replace(token, "…") if token else said)[:200]


def _status(error: Exception) -> int | None:
    """The HTTP status that an error of the library is of; None of another error."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _is_of_transport(error: Exception) -> bool:
    """True of an error of the network, by whichever library the Hub's own one uses for it."""
    packages = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    if isinstance(error, ConnectionError | TimeoutError) or packages & set(TRANSPORT):
        return True
    # Files of this machine have a number of their error, and a kind of Python's.
    is_file = PACKAGE not in packages and getattr(error, "errno", None) not in (None, *UNREACHABLE)
    return isinstance(error, OSError) and not is_file
