"""A training's network pushed to the Hub: checked, written to a folder, uploaded in one commit."""

import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from nas.hub import names
from nas.hub.card import Handing
from nas.hub.card_facts import CardFacts
from nas.hub.client import Hub, Repository
from nas.hub.folder import manifest_of, write_folder
from nas.hub.pull import check_manifest_size
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.sentences import some

OF_THE_HUB = (".gitattributes", names.CARD)  # of a repository that was made on the Hub's page
MOST_METADATA = 4096  # bytes of a card that the Hub has begun


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
    earlier = () if before is None else _earlier_push(hub, before)
    if before is not None:
        _check_visibility(before, public=public)
    found = facts()
    if found.evaluation is None:
        key = "data.source" if found.config.test is None else "test"
        raise ConfigError(
            f"{found.place}: not pushed: its card would have no confusion and no calibration: "
            f"{found.no_evaluation}\nWhere the images are, `nas export --format card` keeps both with the "
            f"training; `nas train --run` with `--set {key}=IMAGES` records another place of theirs"
        )
    with tempfile.TemporaryDirectory(prefix="nas-push-") as folder:
        on_progress("writing the card and its files")
        files = write_folder(found, Path(folder), handing)
        size = sum((Path(folder) / name).stat().st_size for name in files)
        _refuse_others(before, earlier, files)
        on_progress(f"uploading {len(files)} files, {size / 1e6:,.1f} MB")
        if before is None:
            hub.create(repository, private=not public)
        try:
            url = hub.commit(
                repository,
                Path(folder),
                files,
                delete=sorted(set(earlier) - set(files)),
                message=f"Weights of epoch {found.finished.best_epoch}, card and records",
                parent=None if before is None else before.commit,
            )
        except ConfigError as error:
            if before is not None:
                raise
            raise ConfigError(f"{error}; the new repository is there, and empty") from None
    return PushedNetwork(repository=repository, url=url, private=not public, files=files, bytes=size)


def _earlier_push(hub: Hub, found: Repository) -> tuple[str, ...]:
    """Files of an earlier push that are there; none in an empty repository.

    Raises:
        ConfigError: the repository holds something else.
    """
    others = sorted(set(found.sizes) - set(OF_THE_HUB))
    with tempfile.TemporaryDirectory(prefix="nas-push-") as folder:
        if names.MANIFEST in found.sizes:
            check_manifest_size(found)
            hub.download(found, names.MANIFEST, Path(folder))
            try:
                earlier = manifest_of(Path(folder), name=found.name)
            except ConfigError:  # a file of this name alone is no push
                raise _something_else(found, [names.MANIFEST]) from None
            return tuple(name for name in (*earlier, names.MANIFEST) if name in found.sizes)
        if others:
            raise _something_else(found, others)
        if (size := found.sizes.get(names.CARD, 0)) is None or size > MOST_METADATA:
            raise _something_else(found, [names.CARD])
        if names.CARD in found.sizes:
            hub.download(found, names.CARD, Path(folder))
            if not _is_metadata((Path(folder) / names.CARD).read_bytes()):
                raise _something_else(found, [names.CARD])
    return (names.CARD,) if names.CARD in found.sizes else ()


def _something_else(found: Repository, files: list[str]) -> ConfigError:
    return ConfigError(
        f"{found.name}: this repository holds something else ({some(files)}); choose another name"
    )


def _is_metadata(card: bytes) -> bool:
    """True of a card that the Hub has begun: metadata between two lines of hyphens, and no text."""
    lines = [line.strip() for line in card.decode(errors="replace").strip().splitlines()]
    return not lines or (len(lines) > 1 and lines[0] == lines[-1] == "---" and "---" not in lines[1:-1])


def _check_visibility(found: Repository, *, public: bool) -> None:
    """Refuses a repository that more, or fewer, can see than was said."""
    if not found.is_private and not public:
        raise ConfigError(f"{found.name}: everybody can see this repository; --public says that you mean it")
    if found.is_private and public:
        raise ConfigError(
            f"{found.name}: this repository is private; make it public on its page on the Hub, or leave out "
            "--public"
        )


def _refuse_others(before: Repository | None, earlier: Collection[str], files: Collection[str]) -> None:
    """Refuses to write over a file that is of no earlier push."""
    there = set() if before is None else set(before.sizes)
    if before is not None and (taken := sorted((there & set(files)) - set(earlier))):
        raise ConfigError(
            f"{before.name}: {some(taken)}: there, and of no earlier push; rename or remove it on its page "
            "on the Hub, or choose another name"
        )
