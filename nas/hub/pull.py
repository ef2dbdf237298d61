"""A network pulled from the Hub into a folder: the files of its manifest alone, by their digests."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nas.hub import names
from nas.hub.client import Hub, Repository
from nas.hub.folder import check_folder, manifest_of, refuse_taken, unfinished_folder
from search_spaces.settings.config_error import ConfigError

MOST_MANIFEST = 1 << 20  # bytes


@dataclass(frozen=True, kw_only=True)
class PulledNetwork:
    """A network in a folder, with the commit that it came from."""

    repository: str
    commit: str
    folder: str
    files: tuple[str, ...]
    bytes: int


def pull(
    repository: str,
    folder: Path,
    *,
    revision: str | None = None,
    on_progress: Callable[[str], object] = lambda what: None,
) -> PulledNetwork:
    """Downloads a network that was pushed into a new folder; nothing is left behind where that fails.

    Raises:
        ConfigError: the name or the revision is none, the folder holds something, there is no such network,
            it is damaged, the Hub refuses or does not answer.
    """
    names.check_repository(repository)
    if revision is not None:
        names.check_revision(revision)
    refuse_taken(folder)
    hub = Hub()
    on_progress(f"asking the Hub about {repository}")
    return _pulled(hub, seen(hub, repository, revision), folder, on_progress)


def seen(hub: Hub, repository: str, revision: str | None) -> Repository:
    """A repository that is there, at a revision.

    Raises:
        ConfigError: there is none that can be seen; the Hub refuses or does not answer.
    """
    found = hub.repository(repository, revision=revision)
    if found is None:
        raise ConfigError(
            f"{repository}: there is no such repository, or it is private and no token that may read it is "
            "here "
            "(`hf auth login`)"
        )
    return found


def _pulled(hub: Hub, found: Repository, folder: Path, on_progress: Callable[[str], object]) -> PulledNetwork:
    if names.MANIFEST not in found.sizes:
        raise ConfigError(
            f"{found.name}: holds no network that nas push has written ({names.MANIFEST} is missing)"
        )
    if (found.sizes[names.MANIFEST] or 0) > MOST_MANIFEST:
        raise ConfigError(
            f"{found.name}: {names.MANIFEST}: damaged: it is larger than any; take another copy"
        )
    with unfinished_folder(folder) as temporary:
        hub.download(found, names.MANIFEST, temporary)
        manifest = manifest_of(temporary, name=found.name)
        for name, (_, size) in manifest.items():
            there = found.sizes.get(name, -1)
            if there is not None and there != size:
                what = (
                    "is missing" if there == -1 else f"has {there:,} bytes, and {size:,} in {names.MANIFEST}"
                )
                raise ConfigError(f"{found.name}: {name} {what}; take another revision")
        total = sum(size for _, size in manifest.values())
        on_progress(f"downloading {len(manifest)} files, {total / 1e6:,.1f} MB")
        for name in manifest:
            hub.download(found, name, temporary)
        shutil.rmtree(temporary / ".cache", ignore_errors=True)  # the library's notes on its downloads
        on_progress("comparing digests")
        check_folder(temporary, name=found.name)
    return PulledNetwork(
        repository=found.name,
        commit=found.commit,
        folder=str(folder),
        files=(*manifest, names.MANIFEST),
        bytes=total,
    )


def pulled_commit(hub: Hub, found: Repository, folder: Path) -> Path:
    """The folder, which holds this commit of a repository: as pulled before, or now.

    Raises:
        ConfigError: as `pull`.
    """
    if not folder.is_dir():
        _pulled(hub, found, folder, lambda what: None)
    return folder
