"""Full trainings in object stores: continued from another machine, fenced, refused, and with a store away."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from caches import new_cache
from conftest import Nas
from fault_store import Fault, FaultyStore
from folders import files_of
from full_trainings import CONFIG, RECIPE, curve
from small_networks import SMALL
from store_server import SECRET

from nas.events import EpochDone
from nas.hub.card_facts import card_facts
from nas.hub.evaluated import FILE as EVALUATION
from nas.training.config import FILE
from nas.training.fence import DRIVERS, Fence
from nas.training.result import TrainingResult, training_figures
from nas.training.train import train_fully
from nas.training.training_events import TrainingEvent
from search_spaces.settings.yaml_files import yaml_text
from trials.log.bucket_files import BucketFiles
from trials.log.log_end import FencedError
from trials.log.object_store import Objects, StoreError
from trials.log.run_places import run_folder
from trials.training.weights_file import load_tensors

pytestmark = pytest.mark.usefixtures("as_a_worker")

SHORT = replace(CONFIG, recipe=replace(RECIPE, epochs=2))
URL = "s3://bucket/train/first"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    """The same training on a disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nas.training.saving.SECONDS_BETWEEN_STATES", 0.0)  # two states, as where it is stopped
        return train_fully(SHORT, tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Goes to a machine of that name, with a cache of its own."""
    return lambda name: monkeypatch.setenv("XDG_CACHE_HOME", new_cache(tmp_path / name))


def stop_after_one(event: TrainingEvent) -> None:
    if isinstance(event, EpochDone):
        raise KeyboardInterrupt


# ---------------------------------------------------------------------- where it goes on


def test_a_training_goes_on_on_another_machine_with_the_curve_it_would_have_had(
    server: None, whole: TrainingResult, elsewhere: Callable[[str], None], tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_fully(SHORT, run_folder(URL), on_event=stop_after_one)
    elsewhere("second")
    result = train_fully(SHORT, run_folder(URL))
    assert curve(result) == curve(whole)
    assert training_figures(result).weights == f"{URL}/weights/best.safetensors"
    for name in ("best", "last"):
        expected, _ = load_tensors(whole.folder / "weights" / f"{name}.safetensors")
        found, _ = load_tensors(Path(f"{URL}/weights/{name}.safetensors"))
        assert all(torch.equal(found[key], expected[key]) for key in expected)
    there = Objects(URL)
    numbers = {f"{DRIVERS}/000001.json", f"{DRIVERS}/000002.json"}
    assert there.tags().keys() == (files_of(whole.folder).keys() - {"lock"}) | numbers
    assert not list((tmp_path / "second").rglob("epoch-*"))  # states are in the bucket alone
    assert not [key for key in there.tags() if SECRET.encode() in (there.get(key) or b"")]


def test_a_newer_driver_ends_an_older_one_before_it_writes_anything_more(
    server: None, whole: TrainingResult, elsewhere: Callable[[str], None]
) -> None:
    url = "s3://bucket/train/fenced"
    written: dict[str, str] = {}

    def begin_another(event: TrainingEvent) -> None:
        if isinstance(event, EpochDone):
            elsewhere("second")
            assert curve(train_fully(SHORT, run_folder(url))) == curve(whole)
            written.update(Objects(url).tags())

    elsewhere("first")
    with pytest.raises(FencedError, match=r"s3://bucket/train/fenced: another driver has begun"):
        train_fully(SHORT, run_folder(url), on_event=begin_another)
    assert Objects(url).tags() == written


def test_of_drivers_that_begin_at_once_each_has_a_number_and_the_newest_goes_on(tmp_path: Path) -> None:
    store = FaultyStore()

    def fence(name: str, **changes: object) -> Fence:
        client: object = FaultyStore(store.inner, **changes)  # type: ignore[arg-type]
        return Fence(tmp_path / name, BucketFiles(tmp_path / name, URL, store=client))  # type: ignore[arg-type]

    first, second = fence("first"), fence("second", lag=9)  # whose list has not the first one's object
    first.claim()
    first.check()
    second.claim()
    second.check()
    with pytest.raises(FencedError, match="another driver has begun on this training"):
        first.check()
    with pytest.raises(StoreError):
        fence("third", faults=(Fault(0, "lost"),)).claim()
    assert len(Objects(URL, store=store.inner).tags(DRIVERS)) == 2


# ---------------------------------------------------------------------- commands


@pytest.fixture
def words(tmp_path: Path) -> tuple[str, ...]:
    (tmp_path / "small.yaml").write_text(yaml_text(SMALL, header=""))
    (tmp_path / "recipe.yaml").write_text(yaml_text(RECIPE, header=""))
    return (
        "train", "small.yaml", "--data", "digits", "--recipe", "recipe.yaml",
        "--set", "data.fraction=0.25", "--set", "recipe.epochs=1", "--set", "recipe.num_training_stages=1",
    )  # fmt: skip


def test_commands_take_trainings_and_weights_in_a_bucket(
    server: None, words: tuple[str, ...], nas: Nas, elsewhere: Callable[[str], None], tmp_path: Path
) -> None:
    url = "s3://bucket/train/typed"
    code, printed, said = nas(*words, "--run", url)
    assert code == 0, said
    assert f"nas evaluate {url}/weights/best.safetensors --data IMAGES" in " ".join(printed.split())
    elsewhere("second")
    for command in (
        ("evaluate", f"{url}/weights/best.safetensors", "--data", "digits"),
        ("export", url),
        ("export", f"{url}/weights/best.safetensors", "--format", "torch", "-o", "w.safetensors"),
        ("train", "--run", url),
        (*words, "--run", "run", "--init", f"{url}/weights/best.safetensors"),
    ):
        code, printed, more = nas(*command)
        assert code == 0, more
        assert SECRET not in said + printed + more
    tags = Objects(url).tags()
    refused = [
        ((*words, "--run", url, "--set", "seed=5"), "was begun with another configuration"),
        ((*words, "--run", url, "--ray-address", "auto"), "meet in a folder that all hosts share"),
        ((*words, "--run", f"{url}-2", "--log", "tensorboard"), "its files lie in the run"),
        ((*words, "--run", "ftp://host/train"), "begins with s3://, gs://, az://"),
        ((*words, "--run", "s3://no-such-bucket/train"), "s3://no-such-bucket/train: "),
        (("train", "--run", f"{url}-2"), f"{url}-2: no training to resume here"),
        (("evaluate", f"{url}/weights/worst.safetensors", "--data", "digits"), "there is no such object"),
    ]
    for typed, expected in refused:
        code, _, more = nas(*typed)
        assert (code, expected in " ".join(more.split())) == (2, True), more
    assert Objects(url).tags() == tags
    assert Objects(f"{url}-2").tags() == {}


@pytest.mark.parametrize(
    ("name", "key", "code"),
    [
        ("list", "", 2),  # when it is opened
        ("create", DRIVERS, 2),
        ("create", FILE, 74),
        ("put", "weights/best.safetensors", 74),
        ("put", "checkpoint/epoch-000001.safetensors", 74),
        ("put", "result.json", 74),
    ],
)
def test_a_store_that_does_not_answer_ends_a_training_which_goes_on_once_it_does(
    name: str, key: str, code: int, words: tuple[str, ...], nas: Nas, monkeypatch: pytest.MonkeyPatch,
    elsewhere: Callable[[str], None],
) -> None:  # fmt: skip
    store = FaultyStore()
    monkeypatch.setattr("trials.log.object_store.open_store", lambda url: store)

    def lose(request: object) -> None:
        at = store.requests[-1]
        if (at.name, at.key.startswith(key)) == (name, True) and not store.faults:
            store.faults = (Fault(at.number, "answered_not"),)

    store.watch = lose
    elsewhere("first")
    ended, _, said = nas(*words, "--run", URL)
    assert ended == code, said
    assert "the object store does not answer" in " ".join(said.split())
    assert "Traceback" not in said
    elsewhere("second")
    ended, _, said = nas(*words, "--run", URL)
    assert ended == 0, said


def test_a_training_in_a_store_has_a_card_and_its_evaluation_lies_there_too(
    server: None, elsewhere: Callable[[str], None]
) -> None:
    elsewhere("first")
    url = "s3://bucket/train/card"
    train_fully(SHORT, run_folder(url))
    elsewhere("second")
    facts = card_facts(run_folder(url))
    assert facts.evaluation is not None
    assert facts.place == url
    assert Objects(url).get(EVALUATION) is not None
