"""A network pulled from the Hub into a folder: the files of its manifest alone, by their digests."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nas.hub import names
from nas.hub.client import Hub, Repository
from nas.hub.folder import check_digests, check_folder, manifest_of
from nas.hub.new_folder import refuse_taken, unfinished_folder
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.unfinished_files import unfinished_name
from search_spaces.settings.yaml_files import read_yaml
from trials.devices.file_lock import locked

MOST_MANIFEST = 1 << 20  # bytes, also of an architecture


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
    check_manifest_size(found)
    with unfinished_folder(folder) as temporary:
        hub.download(found, names.MANIFEST, temporary)
        manifest = manifest_of(temporary, name=found.name)
        sizes = {name: size for name, (_, size) in manifest.items()}
        _check_sizes(found, sizes)
        total = sum(sizes.values())
        if total > (free := shutil.disk_usage(temporary).free):
            raise ConfigError(
                f"{found.name}: has {total / 1e6:,.1f} MB, and {folder} has room for {free / 1e6:,.1f} MB"
            )
        on_progress(f"downloading {len(manifest)} files, {total / 1e6:,.1f} MB")
        # The architecture first: one that is refused, as for an op that is not trusted, costs no weights.
        for name in sorted(manifest, key=lambda each: each != names.ARCHITECTURE):
            hub.download(found, name, temporary)
            if name == names.ARCHITECTURE:
                check_digests(temporary, name=found.name, only=(name,))
                read_yaml(Architecture, temporary / name)
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


def check_manifest_size(found: Repository) -> None:
    """Refuses a manifest that is larger than any, before it is downloaded.

    Raises:
        ConfigError: it is.
    """
    size = found.sizes[names.MANIFEST]
    if size is None or size > MOST_MANIFEST:
        raise ConfigError(
            f"{found.name}: {names.MANIFEST}: damaged: it is larger than any; take another copy"
        )


def _check_sizes(found: Repository, sizes: Mapping[str, int]) -> None:
    """Compares the sizes in a manifest (bytes, by name) with those that the Hub tells."""
    for name, size in sizes.items():
        if name not in found.sizes:
            raise ConfigError(f"{found.name}: {name} is missing; take another revision")
        if (there := found.sizes[name]) != size:
            has = "a size that the Hub does not tell" if there is None else f"{there:,} bytes"
            raise ConfigError(
                f"{found.name}: {name} has {has}, and {size:,} in {names.MANIFEST}; take another revision"
            )
    if sizes[names.ARCHITECTURE] > MOST_MANIFEST:
        raise ConfigError(
            f"{found.name}: {names.ARCHITECTURE}: damaged: it is larger than any; take another copy"
        )


def pulled_commit(hub: Hub, found: Repository, folder: Path) -> Path:
    """The folder CACHE/USER/NAME/COMMIT, which holds this commit of a repository: as pulled before, or now.

    Processes that want the same commit wait for the first of them. A copy that is damaged is replaced.

    Raises:
        ConfigError: as `pull`.
    """
    try:
        folder.parents[2].mkdir(parents=True, exist_ok=True)
        with locked(folder.parents[2] / f".{found.name.replace('/', '--')}.lock"):
            if folder.is_dir() and not is_whole(folder):
                damaged = unfinished_name(folder)
                folder.rename(damaged)
                shutil.rmtree(damaged, ignore_errors=True)
            if not folder.is_dir():
                _pulled(hub, found, folder, lambda what: None)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written: {error.strerror or error}") from error
    except ConfigError:
        if (
            not folder.is_dir()
        ):  # a process of another host, which this lock does not hold, may have it by now
            raise
    return folder


def is_whole(folder: Path) -> bool:
    """True of a folder whose files are as its manifest has them."""
    try:
        check_digests(folder, name=str(folder))
    except ConfigError:
        return False
    return True
