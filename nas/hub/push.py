"""A training's network pushed to the Hub: checked, written to a folder, uploaded in one commit."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nas.hub import names
from nas.hub.card import Handing
from nas.hub.card_facts import CardFacts
from nas.hub.client import Hub, Repository
from nas.hub.folder import write_folder
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.sentences import some

OF_THE_HUB = (".gitattributes", names.CARD, "LICENSE")  # of a repository that was made on the Hub's page


@dataclass(frozen=True, kw_only=True)
class PushedNetwork:
    """A network on the Hub.

    Attributes:
        url: of the commit.
    """

    repository: str
    url: str
    private: bool
    files: tuple[str, ...]
    bytes: int


def push(
    handing: Handing,
    *,
    public: bool,
    facts: Callable[[], CardFacts],
    on_progress: Callable[[str], object] = lambda what: None,
) -> PushedNetwork:
    """Uploads all files of a network in one commit, to a new repository or over an earlier push.

    What can be refused is refused before the weights are evaluated, and before anything is uploaded.

    Args:
        handing: its place is the repository.
        public: whether everybody may see it.
        facts: reads the training, and evaluates its weights if nobody has.

    Raises:
        ConfigError: a name or the licence is wrong, a record, the images or a token is missing, the
            repository is not what it has to be, the Hub refuses or does not answer.
    """
    repository = names.check_repository(handing.place)
    names.check_license(handing.license_, handing.license_link)
    hub = Hub()
    hub.check_token()
    on_progress(f"asking the Hub about {repository}")
    before = hub.repository(repository)
    if before is not None:
        _check_repository(before, public=public)
    found = facts()
    if found.evaluation is None:
        raise ConfigError(
            f"{found.place}: not pushed: its card would have no confusion and no calibration, for the "
            "images are "
            f"not there: {found.no_evaluation}\nWhere they are, `nas export --format card` keeps both with "
            "the "
            "training; `nas train --run` with `--set data.source=IMAGES` records another place of theirs"
        )
    with tempfile.TemporaryDirectory(prefix="nas-push-") as folder:
        on_progress("writing the card and its files")
        files = write_folder(found, Path(folder), handing)
        size = sum((Path(folder) / name).stat().st_size for name in files)
        on_progress(f"uploading {len(files)} files, {size / 1e6:,.1f} MB")
        if before is None:
            hub.create(repository, private=not public)
        try:
            url = hub.commit(
                repository,
                Path(folder),
                files,
                delete=_left_over(before, files),
                message=f"Weights of epoch {found.finished.best_epoch}, card and records",
                parent=None if before is None else before.commit,
            )
        except ConfigError as error:
            if before is not None:
                raise
            raise ConfigError(f"{error}; the new repository is there, and empty") from None
    return PushedNetwork(repository=repository, url=url, private=not public, files=files, bytes=size)


def _check_repository(found: Repository, *, public: bool) -> None:
    """Refuses a repository of something else, and one that more, or fewer, can see than was said."""
    others = sorted(set(found.sizes) - set(OF_THE_HUB))
    if others and names.MANIFEST not in found.sizes:
        raise ConfigError(
            f"{found.name}: this repository holds something else ({some(others)}); choose another name"
        )
    if not found.is_private and not public:
        raise ConfigError(f"{found.name}: everybody can see this repository; --public says that you mean it")
    if found.is_private and public:
        raise ConfigError(
            f"{found.name}: this repository is private; make it public on its page on the Hub, or leave out "
            "--public"
        )


def _left_over(before: Repository | None, files: tuple[str, ...]) -> list[str]:
    """Files of an earlier push that this one does not have."""
    there = set() if before is None else set(before.sizes)
    return sorted((there & set(names.FILES)) - set(files))
