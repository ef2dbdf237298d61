"""Faults of the Hub, of repositories and of this machine's files, met without a trained network."""

import errno
import hashlib
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hub_server import HubServer, serving_hub

from nas.hub import client, load, names, pull, push
from nas.hub.card import Handing
from nas.hub.new_folder import refuse_taken, unfinished_folder
from search_spaces.settings.config_error import ConfigError

NAME = "alice/flowers"
FILES = dict.fromkeys(names.NEEDED, b"---\nlicense: mit\n---\n")


def with_manifest(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files with a manifest of them."""
    entries = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in files.items()
    }
    manifest = {"format": "training-aware-nas/hub-1", "files": entries}
    return {**files, names.MANIFEST: json.dumps(manifest).encode()}


@pytest.fixture(scope="module")
def one_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """A Hub for the module."""
    with serving_hub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture
def hub(one_hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> HubServer:
    """The Hub, empty; what is pushed and pulled are files of these names with other contents."""

    def write(facts: object, folder: Path, handing: Handing) -> tuple[str, ...]:
        for name, data in with_manifest(FILES).items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(data)
        return (*FILES, names.MANIFEST)

    one_hub.repositories.clear()
    one_hub.requests.clear()
    one_hub.refuses = lambda method, path: None
    monkeypatch.setattr(push, "write_folder", write)
    monkeypatch.setattr(pull, "check_folder", lambda folder, **words: None)
    monkeypatch.setattr(load, "check_folder", lambda folder, **words: None)
    monkeypatch.setattr(pull, "read_yaml", lambda kind, path: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return one_hub


def pushed(name: str = NAME) -> push.PushedNetwork:
    """A push of these files."""
    facts: Any = SimpleNamespace(evaluation=1, finished=SimpleNamespace(best_epoch=1), place="train")
    return push.push(Handing(place=name, license_="mit"), public=False, facts=lambda: facts)


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        ("/api/validate-yaml", "the Hub refuses \\(400: Invalid metadata in README.md"),
        ("/objects/", "the Hub refuses \\(400: Error while uploading"),
    ],
)
def test_errors_that_the_library_wraps_are_refusals(hub: HubServer, refused: str, words: str) -> None:
    hub.refuses = lambda method, path: 400 if path.startswith(refused) else None
    with pytest.raises(ConfigError, match=f"{words}.*; the new repository is there, and empty"):
        pushed()
    hub.refuses = lambda method, path: None
    assert pushed().repository == NAME


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ({names.MANIFEST: b'{"name": "an app"}', names.CARD: b"mine"}, r"something else \(manifest.json\)"),
        ({names.CARD: b"# A card that somebody wrote"}, r"something else \(README.md\)"),
        ({names.CARD: b"---\na: 1\n---\ntext\n---\n"}, r"something else \(README.md\)"),
        ({"LICENSE": b"mine"}, r"something else \(LICENSE\)"),
        ({**with_manifest(FILES), names.ONNX: b"mine"}, None),
        ({**with_manifest({**FILES, names.TIMM: b"old"}), "notes.txt": b"mine"}, None),
        ({".gitattributes": b"", names.CARD: b"---\nlicense: mit\n---\n"}, None),
    ],
    ids=["another manifest", "a card", "a card with a rule", "a licence", "a file of mine", "earlier", "new"],
)
def test_files_of_others_are_neither_replaced_nor_deleted(
    hub: HubServer, there: dict[str, bytes], words: str | None
) -> None:
    repo = hub.begun(NAME, there)
    if words is None:
        pushed()
        assert names.TIMM not in repo.files
        kept = {name: data for name, data in there.items() if data == b"mine"}
        assert {name: repo.files[name] for name in kept} == kept
        return
    with pytest.raises(ConfigError, match=words):
        pushed()
    assert len(repo.commits) == 1
    assert hub.asked("POST") == hub.asked("PUT") == []


def test_a_file_of_mine_with_a_name_of_a_network_is_not_written_over(hub: HubServer) -> None:
    earlier = with_manifest(FILES)
    push._refuse_others(None, (), earlier)
    repo = client.Repository(name=NAME, commit="c", is_private=True, sizes={names.ONNX: 3, names.CARD: 2})
    push._refuse_others(repo, (names.CARD, names.ONNX), (names.CARD, names.ONNX))
    with pytest.raises(ConfigError, match=r"model\.onnx: there, and of no earlier push"):
        push._refuse_others(repo, (names.CARD,), (names.CARD, names.ONNX))


def test_processes_that_load_the_same_commit_at_once_fetch_it_once(hub: HubServer, tmp_path: Path) -> None:
    repo = hub.begun(NAME, with_manifest(FILES))
    with ThreadPoolExecutor(6) as pool:
        folders = set(pool.map(lambda _: load._of_repository(NAME, None), range(6)))
    assert folders == {tmp_path / "cache" / "training-aware-nas" / "hub" / NAME / repo.head}
    fetched = [path for path in hub.asked("GET") if path.endswith(f"/{names.WEIGHTS}")]
    assert len(fetched) == 1


def test_a_load_that_fails_leaves_no_folder(hub: HubServer, tmp_path: Path) -> None:
    hub.begun(NAME, {**with_manifest(FILES), names.RECIPE: b"other"})
    with pytest.raises(ConfigError, match=r"recipe\.yaml"):
        load._of_repository(NAME, None)
    kept = {path.name for path in (tmp_path / "cache" / "training-aware-nas" / "hub").iterdir()}
    assert kept == {".alice--flowers.lock"}


def test_an_architecture_that_is_refused_costs_no_download_of_weights(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(kind: object, path: Path) -> None:
        raise ConfigError("an op that is not trusted")

    monkeypatch.setattr(pull, "read_yaml", refuse)
    hub.begun(NAME, with_manifest(FILES))
    with pytest.raises(ConfigError, match="not trusted"):
        pull.pull(NAME, tmp_path / "here")
    assert not any(path.endswith(names.WEIGHTS) for path in hub.asked("GET"))


def test_what_has_no_room_is_not_downloaded(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.begun(NAME, with_manifest(FILES))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1))
    with pytest.raises(ConfigError, match=r"has room for 0\.0 MB"):
        pull.pull(NAME, tmp_path / "made" / "here")
    assert not (tmp_path / "made").exists()


def test_a_file_without_a_size_is_refused() -> None:
    found = client.Repository(
        name=NAME, commit="c", is_private=True, sizes={names.MANIFEST: None, names.ARCHITECTURE: None}
    )
    with pytest.raises(ConfigError, match="has a size that the Hub does not tell"):
        pull._check_sizes(found, {names.ARCHITECTURE: 3})
    with pytest.raises(ConfigError, match="larger than any"):
        pull.check_manifest_size(found)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "a file of this machine: No space left"),
        (
            PermissionError(errno.EACCES, "Permission denied", "x"),
            r"a file of this machine \(x\): Permission",
        ),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "the Hub does not answer"),
        (TimeoutError("slow"), "the Hub does not answer"),
        (OSError("without a number"), "the Hub does not answer"),
    ],
)
def test_errors_of_files_here_are_not_told_as_the_hubs(hub: HubServer, error: OSError, words: str) -> None:
    with pytest.raises(ConfigError, match=words), client.Hub()._refused(NAME):
        raise error


def test_force_replaces_a_folder_only_if_all_files_below_it_are_a_networks(tmp_path: Path) -> None:
    target = tmp_path / "mine"
    for name, data in with_manifest(FILES).items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(data)
    refuse_taken(target, force=True)
    (target / "weights" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds something"), unfinished_folder(target, force=True):
        raise AssertionError("it was begun")
    assert (target / "weights" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_that_was_filled_meanwhile_is_left_as_it_is(tmp_path: Path, force: bool) -> None:
    target = tmp_path / "above" / "mine"

    def fill() -> None:
        with unfinished_folder(target, force=force) as folder:
            (folder / "new").write_text("new")
            target.mkdir()
            (target / "theirs").write_text("theirs")

    with pytest.raises(ConfigError, match="holds something"):
        fill()
    assert [path.name for path in target.parent.iterdir()] == ["mine"]
    assert (target / "theirs").read_text() == "theirs"


def test_the_folder_in_which_one_is_cannot_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="cannot be replaced by a new one"):
        refuse_taken(Path("."))


def test_folders_that_were_made_for_one_that_failed_are_gone(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="failed"), unfinished_folder(tmp_path / "p" / "q" / "r"):
        raise ConfigError("failed")
    assert list(tmp_path.iterdir()) == []
