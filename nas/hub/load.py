"""A trained network in one line: from a folder, a weights file or a repository of the Hub."""

import re
from pathlib import Path

from nas.hub import names
from nas.hub.client import Hub
from nas.hub.folder import best_weights_in, check_folder
from nas.hub.pull import is_whole, pulled_commit, seen
from search_spaces.networks.network import Network
from search_spaces.settings.config_error import ConfigError
from trials.devices.cache_folder import cache_folder
from trials.log.run_places import is_in_store
from trials.training.weights_file import WeightsFile, load_weights

COMMIT = re.compile(r"[0-9a-f]{40}")


def load(place: str | Path, *, revision: str | None = None) -> Network:
    """The network with its weights, in evaluation mode, on the CPU.

    Images are (N, 3, S, S), (x - 128) / 128 of RGB pixels of 0-255, and outputs logits (N, K).

    Args:
        place: a folder of `nas train` or `nas pull`, a weights file, or a repository, USER/NAME; a folder of
            that name comes first.
        revision: of a repository: a branch, a tag or a commit; a commit loaded before needs no network.

    Raises:
        ConfigError: there are no weights, they are damaged, or the Hub refuses or does not answer.
    """
    return weights_of(place, revision=revision).network().eval()


def weights_of(place: str | Path, *, revision: str | None = None) -> WeightsFile:
    """The weights with their architecture, the names of their classes and their resolution; as `load`.

    Raises:
        ConfigError: as `load`.
    """
    path = Path(place)
    if (best := best_weights_in(path)) is not None:
        return load_weights(best)
    if path.is_file() or is_in_store(place):
        return load_weights(path)
    if not names.is_repository(str(place)):
        raise ConfigError(
            f"{place}: no weights are there: a folder of nas train or nas pull, a .safetensors file, or a "
            "repository "
            "of the Hub (USER/NAME) is expected"
        )
    return load_weights(_of_repository(str(place), revision) / names.WEIGHTS)


def _of_repository(name: str, revision: str | None) -> Path:
    """The folder of a repository's commit in the cache, where its digests still hold."""
    if revision is not None:
        names.check_revision(revision)
    cached = cache_folder("hub") / name
    if revision is not None and COMMIT.fullmatch(revision) and is_whole(folder := cached / revision):
        check_folder(folder, name=f"{name} ({folder})")
        return folder
    hub = Hub()
    found = seen(hub, name, revision)
    if not COMMIT.fullmatch(found.commit):
        raise ConfigError(f"{name}: the Hub names no commit, but {found.commit!r}")
    folder = pulled_commit(hub, found, cached / found.commit)
    check_folder(folder, name=f"{name} ({folder})")
    return folder
