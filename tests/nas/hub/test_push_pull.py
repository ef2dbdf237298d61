"""nas push and nas pull as a user types them, against a server that answers as the Hugging Face Hub does."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from conftest import Nas
from handed import train_to_hand_on
from hub_server import READER, TOKEN, HubServer, serving_hub

from nas.hub import names
from nas.hub.load import load, weights_of
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.output_files import PNG
from trials.training.weights_file import load_weights

NAME = "alice/flowers"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training without test images."""
    return train_to_hand_on(tmp_path_factory.mktemp("push") / "train")


@pytest.fixture(scope="module")
def one_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """A Hub for the module."""
    with serving_hub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture(scope="module", autouse=True)
def drawn_small() -> Iterator[None]:
    """Pictures are drawn in the tests of cards: here they would take most of the time."""
    from nas.hub import folder

    def draw(figures: object, path: Path, **words: object) -> None:
        path.write_bytes(PNG)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("draw_training", "draw_confusion", "draw_calibration"):
            patch.setattr(folder, name, draw)
        yield


@pytest.fixture
def hub(one_hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> HubServer:
    """The Hub, empty, and a cache of this test's own."""
    one_hub.repositories.clear()
    one_hub.requests.clear()
    one_hub.refuses = lambda method, path: None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own_cache"))
    return one_hub


@pytest.fixture(scope="module")
def pushed_files(
    one_hub: HubServer, trained: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """The files of a push, for tests that pull."""
    from nas.hub.card import Handing
    from nas.hub.card_facts import card_facts
    from nas.hub.folder import write_folder

    folder = tmp_path_factory.mktemp("files")
    files = write_folder(card_facts(trained), folder, Handing(place=NAME, license_="mit"))
    return {name: (folder / name).read_bytes() for name in files}


def left(folder: Path) -> set[str]:
    """All that lies in a folder, but for caches."""
    return {path.name for path in folder.iterdir()} - {"own_cache"}


def test_a_push_is_one_commit_of_all_files_to_a_private_repository(
    hub: HubServer, nas: Nas, trained: Path
) -> None:
    code, out, said = nas("push", trained, NAME, "--license", "mit", "--json")
    assert code == 0, said
    pushed, repo = json.loads(out), hub.repositories[NAME]
    assert repo.private
    assert pushed["private"]
    assert len(repo.commits) == 2  # the Hub's own first one, and this
    assert pushed["url"].endswith(repo.head)
    assert set(repo.files) == {*pushed["files"], ".gitattributes"}
    assert set(names.NEEDED) <= set(pushed["files"])
    assert repo.files[names.CARD].startswith(b"---\nlicense: mit\n")
    assert f'load("{NAME}")' in repo.files[names.CARD].decode()
    uploaded = b"".join(repo.files.values())
    assert TOKEN.encode() not in uploaded + out.encode() + said.encode()
    assert str(trained.parent).encode() not in uploaded
    assert b"/home/somebody" not in uploaded


def test_what_was_pushed_is_pulled_and_taken_by_commands_at_once(
    hub: HubServer, nas: Nas, trained: Path, tmp_path: Path
) -> None:
    assert nas("push", trained, NAME, "--license", "mit", "--public")[0] == 0
    assert not hub.repositories[NAME].private
    code, out, said = nas("pull", NAME)
    assert code == 0, said
    assert "nas describe flowers" in out
    assert {path.name for path in (tmp_path / "flowers").iterdir()} == {
        name.partition("/")[0] for name in (*names.FILES, names.MANIFEST) if name != names.ONNX
    }
    ours = load_weights(trained / "weights" / "best.safetensors")
    found = load_weights(tmp_path / "flowers" / names.WEIGHTS)
    assert found.architecture == ours.architecture
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in ours.tensors.items())
    assert json.loads(nas("describe", "flowers", "--json")[1])["num_classes"] == 10
    assert json.loads(nas("evaluate", "flowers", "--data", "digits", "--json")[1])["images"] == 1438
    assert nas("export", "flowers", "--format", "timm", "-o", "timm.json")[0] == 0
    assert nas("describe", "flowers/architecture.yaml")[0] == 0
    from pictures import write_folder

    write_folder(tmp_path / "pictures", per_class=1)
    assert json.loads(nas("predict", "flowers", "pictures", "-o", "p.csv", "--json")[1])["unreadable"] == 0


def test_a_second_push_replaces_the_first_and_deletes_what_it_does_not_have(
    hub: HubServer, nas: Nas, trained: Path, pushed_files: dict[str, bytes]
) -> None:
    before = {**damaged(pushed_files, **{names.ONNX: ENTRY}), names.ONNX: b"old", "notes.txt": b"mine"}
    before[names.CARD] = b"old"
    repo = hub.begun(NAME, before)
    assert nas("push", trained, NAME, "--license", "apache-2.0")[0] == 0
    assert names.ONNX not in repo.files
    assert repo.files["notes.txt"] == b"mine"
    assert b"license: apache-2.0" in repo.files[names.CARD]
    assert len(repo.commits) == 2


def test_a_dry_run_shows_the_card_and_asks_nobody(
    hub: HubServer, nas: Nas, trained: Path, tmp_path: Path
) -> None:
    code, out, said = nas("push", trained, NAME, "--dry-run")
    assert code == 0, said
    assert out.startswith("---\nlibrary_name")
    assert "No licence was given: this is a preview" in out
    assert "license: missing; --license is needed to push" in said
    assert json.loads(nas("push", trained, NAME, "--dry-run", "--json")[1])["needs_license"]
    with_license = nas("push", trained, NAME, "--dry-run", "--license", "mit")
    assert "missing" not in with_license[2]
    assert with_license[1].startswith("---\nlicense: mit")
    assert hub.requests == []
    assert left(tmp_path) == set()


@pytest.mark.parametrize(
    ("files", "private", "options", "words"),
    [
        ({"model.bin": b""}, True, (), "holds something else (model.bin)"),
        ({}, False, (), "everybody can see this repository; --public says"),
        ({}, True, ("--public",), "this repository is private"),
    ],
    ids=["something else", "public", "private"],
)
def test_a_repository_of_something_else_or_of_another_visibility_is_refused_before_anything_is_uploaded(
    files: dict[str, bytes], private: bool, options: tuple[str, ...], words: str, hub: HubServer, nas: Nas,
    trained: Path, pushed_files: dict[str, bytes],
) -> None:  # fmt: skip
    repo = hub.begun(NAME, files or pushed_files, private=private)
    code, out, said = nas("push", trained, NAME, "--license", "mit", *options)
    assert (code, out) == (2, "")
    assert words in said
    assert len(repo.commits) == 1
    assert hub.asked("POST") == hub.asked("PUT") == []


def test_a_card_in_a_folder_is_replaced_only_when_that_is_asked_for(
    hub: HubServer, nas: Nas, trained: Path, tmp_path: Path
) -> None:
    words = ("export", trained, "--format", "card", "-o", "mine", "--license")
    assert nas(*words, "mit")[0] == 0
    code, _, said = nas(*words, "apache-2.0")
    assert code == 2
    assert "holds a network that was handed on" in said
    code, out, said = nas(*words, "apache-2.0", "--force", "--json")
    assert code == 0, said
    assert json.loads(out)["file"] == "mine"
    assert "license: apache-2.0" in (tmp_path / "mine" / names.CARD).read_text()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    assert nas(*words, "mit", "--force")[0] == 2
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"
    assert left(tmp_path) == {"mine"}
    code, out, _ = nas(*words[:4], "--license", "mit")
    assert out.startswith("---\nlicense: mit")
    assert hub.requests == []


def test_without_a_token_nothing_is_asked(
    hub: HubServer, nas: Nas, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "")
    code, _, said = nas("push", trained, NAME, "--license", "mit")
    assert code == 2
    assert "`hf auth login`" in said
    assert hub.requests == []


def test_a_token_that_may_not_write_is_told_and_stands_in_no_message(
    hub: HubServer, nas: Nas, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", READER)
    code, _, said = nas("push", trained, NAME, "--license", "mit")
    assert code == 2
    assert "needs the right to write" in said
    assert READER not in said
    assert hub.repositories == {}


def test_a_refusal_that_repeats_the_token_is_shown_without_it(hub: HubServer, nas: Nas) -> None:
    hub.refuses = lambda method, path: 418
    code, _, said = nas("pull", NAME)
    assert code == 2
    assert "the Hub refuses (418" in said
    assert TOKEN not in said


def test_a_commit_that_is_refused_leaves_what_was_there(
    hub: HubServer, nas: Nas, trained: Path, pushed_files: dict[str, bytes]
) -> None:
    repo = hub.begun(NAME, pushed_files)
    hub.refuses = lambda method, path: 409 if "/commit/" in path else None
    code, _, said = nas("push", trained, NAME, "--license", "mit")
    assert code == 2
    assert "the Hub refuses (409" in said
    assert len(repo.commits) == 1
    code, _, said = nas("push", trained, "alice/new", "--license", "mit")
    assert code == 2
    assert said.rstrip().endswith("; the new repository is there, and empty")
    hub.refuses = lambda method, path: None
    assert nas("push", trained, "alice/new", "--license", "mit")[0] == 0


def test_a_pull_of_a_private_repository_needs_its_token(
    hub: HubServer, nas: Nas, pushed_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub.begun(NAME, pushed_files)
    monkeypatch.setenv("HF_TOKEN", "")
    code, _, said = nas("pull", NAME)
    assert code == 2
    assert "there is no such repository, or it is private" in said
    assert left(tmp_path) == set()


def test_an_earlier_revision_is_pulled_by_its_commit(
    hub: HubServer, nas: Nas, pushed_files: dict[str, bytes], tmp_path: Path
) -> None:
    repo = hub.begun(NAME, pushed_files)
    first = repo.head
    repo.add({"README.md": b"gone"}, "all is gone")
    assert nas("pull", NAME)[0] == 2
    code, out, said = nas("pull", NAME, "--revision", first, "-o", "first", "--json")
    assert code == 0, said
    assert json.loads(out)["commit"] == first
    code, _, said = nas("pull", NAME, "--revision", "v9", "-o", "second")
    assert code == 2
    assert "no revision 'v9'" in said
    assert left(tmp_path) == {"first"}


def damaged(files: dict[str, bytes], **changes: object) -> dict[str, bytes]:
    """The files with a manifest in which entries are replaced; None removes one."""
    manifest = json.loads(files[names.MANIFEST])
    manifest["files"] |= {name: entry for name, entry in changes.items() if entry is not None}
    for name in [name for name, entry in changes.items() if entry is None]:
        del manifest["files"][name]
    return {**files, names.MANIFEST: json.dumps(manifest).encode()}


ENTRY = {"sha256": "0" * 64, "bytes": 4}
OTHER = {names.RECIPE: b"#" * 1000}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no manifest", "holds no network that nas push has written"),
        ("a path upwards", "'../../evil.py' is no file of a network"),
        ("an absolute path", "'/tmp/evil.py' is no file of a network"),
        ("a pickle", "'weights/best.pt' is no file of a network"),
        ("no weights", "weights/best.safetensors is missing"),
        ("another digest", "recipe.yaml: damaged: not as the manifest has it"),
        ("another size", "recipe.yaml has 1,000 bytes"),
        ("weights that are a pickle", "these are not weights that nas train wrote"),
        ("no JSON", "manifest.json: damaged"),
        ("another version", "manifest.json: damaged"),
    ],
)
def test_a_repository_that_is_not_as_it_was_pushed_is_refused_and_leaves_nothing(
    name: str, words: str, hub: HubServer, nas: Nas, pushed_files: dict[str, bytes], tmp_path: Path
) -> None:
    hub.begun(NAME, not_as_pushed(name, pushed_files))
    code, out, said = nas("pull", NAME, "-o", "here")
    assert (code, out) == (2, "")
    assert words in said
    assert left(tmp_path) == set()


def not_as_pushed(name: str, files: dict[str, bytes]) -> dict[str, bytes]:
    """A repository with one fault."""
    import hashlib
    import pickle

    size = len(files[names.RECIPE])
    pickled = pickle.dumps({"a": 1})
    of_pickle = {"sha256": hashlib.sha256(pickled).hexdigest(), "bytes": len(pickled)}
    return {
        "no manifest": {each: data for each, data in files.items() if each != names.MANIFEST},
        "a path upwards": damaged({**files, "../../evil.py": b"evil"}, **{"../../evil.py": ENTRY}),
        "an absolute path": damaged(files, **{"/tmp/evil.py": ENTRY}),
        "a pickle": damaged({**files, "weights/best.pt": b"evil"}, **{"weights/best.pt": ENTRY}),
        "no weights": damaged(files, **{names.WEIGHTS: None}),
        "another digest": {**files, names.RECIPE: b"#" * size},
        "another size": {**files, **OTHER},
        "weights that are a pickle": damaged({**files, names.WEIGHTS: pickled}, **{names.WEIGHTS: of_pickle}),
        "no JSON": {**files, names.MANIFEST: b"{"},
        "another version": {**files, names.MANIFEST: b'{"format": "training-aware-nas/hub-9", "files": {}}'},
    }[name]


def test_a_network_is_loaded_by_the_name_of_its_repository_once_for_a_commit(
    hub: HubServer,
    pushed_files: dict[str, bytes],
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    repo = hub.begun(NAME, pushed_files)
    ours = load_weights(trained / "weights" / "best.safetensors").network().eval()
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(load(NAME)(images), ours(images))
    asked = len(hub.requests)
    assert weights_of(NAME).num_classes == 10
    assert len(hub.requests) == asked + 1  # which commit is the newest
    assert weights_of(NAME, revision=repo.head).num_classes == 10
    assert len(hub.requests) == asked + 1
    cached = tmp_path / "own_cache" / "training-aware-nas" / "hub" / NAME / repo.head / names.WEIGHTS
    cached.write_bytes(cached.read_bytes()[:-1] + b"x")
    assert not load(NAME, revision=repo.head).training  # a copy that is damaged is fetched again
    assert len(hub.requests) > asked + 1
    assert left(cached.parents[4]) == {".alice--flowers.lock", "alice"}


def test_a_network_is_loaded_from_a_folder_and_from_its_file(trained: Path, tmp_path: Path) -> None:
    assert weights_of(trained).num_classes == weights_of(trained / names.WEIGHTS).num_classes == 10
    assert not load(trained).training
    with pytest.raises(ConfigError, match="no weights are there"):
        load(tmp_path / "nowhere")


def test_where_the_library_is_missing_commands_say_what_to_install(
    nas: Nas, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nas.hub import client

    monkeypatch.setattr(client, "find_spec", lambda name: None)
    for words in (("push", trained, NAME, "--license", "mit"), ("pull", NAME)):
        code, _, said = nas(*words)
        assert code == 2
        assert "huggingface_hub is not installed here; pip install -e '.[hub]'" in said
    assert nas("push", trained, NAME, "--dry-run")[0] == 0


def test_a_hub_that_does_not_answer_is_told_in_a_sentence(
    hub: HubServer, nas: Nas, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    code, _, said = nas("pull", NAME)
    assert code == 2
    assert "the Hub does not answer" in said
    assert left(tmp_path) == set()
