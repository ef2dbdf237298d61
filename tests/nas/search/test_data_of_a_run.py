"""The images of a search and of a training are recorded, and have to be the same when it goes on."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from log_files import forget_identity
from pictures import encoded, write_folder

from nas.events import SearchEvent
from nas.search.config import SearchConfig, read_search_config
from nas.search.recorded_config import recorded_config
from nas.search.search import IMAGES_NOT_RECORDED, search
from nas.training.config import TrainingConfig
from nas.training.train import train_fully
from nas.training.training_events import TrainingBegun, TrainingEvent
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import read_yaml
from trials.executors.in_process import in_process
from trials.images.config import DataConfig
from trials.images.packed import default_cache
from trials.log.file_names import DATA_FILE, IMAGES_FILE
from trials.recipe import Ramp, Recipe
from trials.training.weights_file import load_weights
from trials.trial import Notice

pytestmark = pytest.mark.usefixtures("as_a_worker")
SHORT = ["baseline=1", "finalists=null", "recipe.epochs=1", "recipe.warmup_epochs=0", "recipe.resolution=16",
         "recipe.batch_size=8", "data.minival=0.25"]  # fmt: skip


def config_of(source: Path, *, trials: int) -> SearchConfig:
    return read_search_config("quick", overrides=[*SHORT, f"data.source={source}", f"budget.trials={trials}"])


def training_of(tmp_path: Path) -> TrainingConfig:
    """A training of two epochs on animals, tested on others."""
    space = read_search_config("quick").space
    test = tmp_path / "test"
    for i, name in enumerate(("cat", "cow", "dog")):
        (test / name).mkdir(parents=True)
        for j in range(2):
            (test / name / f"{j}.png").write_bytes(encoded(1000 + 10 * i + j))
    return TrainingConfig(
        architecture=space.decode(space.smallest()),
        data=DataConfig(source=str(write_folder(tmp_path / "animals")), minival=0.25),
        recipe=Recipe(epochs=2, batch_size=8, resolution=Ramp(16, 16), warmup_epochs=0, precision="fp32"),
        test=str(test),
    )


def notes_of(config: TrainingConfig, run: Path) -> tuple[str, ...]:
    """Sentences about the images at a training's start."""
    events: list[TrainingEvent] = []
    train_fully(config, run, on_event=events.append)
    return next(event.notes for event in events if isinstance(event, TrainingBegun))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda test: (test / "cat" / "0.png").unlink(), "1 image removed: cat/0.png"),
        (lambda test: (test / "cat" / "0.png").write_bytes(encoded(77)), "1 image replaced: cat/0.png"),
        (lambda test: (test / "cat" / "0.png").rename(test / "dog" / "9.png"), "1 image added: dog/9.png"),
    ],
)
def test_a_training_is_tested_on_the_images_with_which_it_began(
    change: Callable[[Path], object], words: str, tmp_path: Path
) -> None:
    config, run = training_of(tmp_path), tmp_path / "run"
    assert notes_of(config, run) == ()
    change(tmp_path / "test")
    with pytest.raises(ConfigError, match=rf"the test images are not those that this training.*\n  {words}"):
        train_fully(config, run)


def test_the_images_of_a_training_may_lie_elsewhere_when_it_goes_on(tmp_path: Path) -> None:
    config, run = training_of(tmp_path), tmp_path / "run"
    train_fully(config, run)
    source, test = ((tmp_path / name).rename(tmp_path / f"new {name}") for name in ("animals", "test"))
    moved = replace(config, data=replace(config.data, source=str(source)), test=str(test))
    assert train_fully(moved, run).test is not None
    assert read_yaml(TrainingConfig, run / "training.yaml") == moved
    with pytest.raises(ConfigError, match=r"begun with another configuration:\n  data.split_seed"):
        train_fully(replace(moved, data=replace(moved.data, split_seed=1)), run)


def test_test_images_that_are_trained_on_are_said(tmp_path: Path) -> None:
    config = training_of(tmp_path)
    shutil.copy(tmp_path / "animals" / "cow" / "3.png", tmp_path / "test" / "cow")
    assert notes_of(config, tmp_path / "run") == (
        "test images: 1 of 7 pictures are exact copies of some to train on",
    )


def test_test_images_that_all_cannot_be_read_are_refused_before_training(tmp_path: Path) -> None:
    config = training_of(tmp_path)
    for path in (tmp_path / "test").rglob("*.png"):
        path.write_bytes(b"junk")
    with pytest.raises(ConfigError, match="test: 6 of 6 pictures cannot be read"):
        train_fully(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.fixture
def searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A source of images, and a run of one trial on them."""
    monkeypatch.setattr("trials.timing.alternating.ROUNDS", 2)
    monkeypatch.setattr("trials.timing.alternating.EARLIEST_END", 2)
    source, run = write_folder(tmp_path / "animals"), tmp_path / "run"
    search(config_of(source, trials=1), run, execute=in_process(device="cpu"))
    return source, run


def test_a_search_goes_on_with_the_same_images_alone_wherever_they_lie(
    searched: tuple[Path, Path], tmp_path: Path
) -> None:
    source, run = searched
    facts = json.loads((run / DATA_FILE).read_text())
    assert facts["classes"] == ["cat", "cow", "dog"]
    picture = source / "cow" / "0.png"
    picture.rename(source / "dog" / "100.png")
    with pytest.raises(ConfigError, match=r"1 image added: dog/100.png\n  1 image removed: cow/0.png"):
        search(config_of(source, trials=2), run, execute=in_process(device="cpu"))
    (source / "dog" / "100.png").rename(picture)
    shutil.copy2(picture, source.parent / "aside")
    picture.unlink()
    shutil.copy(source.parent / "aside", picture)  # written anew, with another time
    elsewhere = source.rename(tmp_path / "elsewhere")
    result = search(config_of(elsewhere, trials=2), run, execute=in_process(device="cpu"))
    assert len(result.rows) == 2
    assert recorded_config(run).data.source == str(elsewhere)


def test_a_run_that_did_not_record_its_images_says_so_and_records_todays(searched: tuple[Path, Path]) -> None:
    source, run = searched
    forget_identity(run)
    (run / DATA_FILE).unlink()
    (run / IMAGES_FILE).unlink()
    events: list[SearchEvent] = []
    config = config_of(source, trials=2)
    search(config, run, execute=in_process(device="cpu"), on_event=events.append)
    assert Notice(IMAGES_NOT_RECORDED) in events
    assert json.loads((run / DATA_FILE).read_text())["images_of_classes"] == [12, 12, 12]


def test_pixels_by_another_decoder_are_said_when_a_search_goes_on(
    searched: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, run = searched
    for path in default_cache().iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    monkeypatch.setattr("trials.images.packed.decoders", lambda: "another")
    events: list[SearchEvent] = []
    search(config_of(source, trials=2), run, execute=in_process(device="cpu"), on_event=events.append)
    notes = [event.text for event in events if isinstance(event, Notice)]
    assert any(note.startswith("pictures are decoded by another; when this search began") for note in notes)


def test_a_training_is_resumed_on_the_images_with_which_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_folder(tmp_path / "animals")
    space = read_search_config("quick").space
    config = TrainingConfig(
        architecture=space.decode(space.smallest()),
        data=DataConfig(source=str(source), minival=0.25),
        recipe=Recipe(epochs=2, batch_size=8, resolution=Ramp(16, 16), warmup_epochs=0, precision="fp32"),
    )

    class Stopped(Exception):
        pass

    def stop(event: TrainingEvent) -> None:
        if getattr(getattr(event, "metrics", None), "epoch", 0) == 1:
            raise Stopped

    with pytest.raises(Stopped):
        train_fully(config, tmp_path / "run", on_event=stop)
    (source / "cat").rename(tmp_path / "aside")
    (source / "dog").rename(source / "cat")
    (tmp_path / "aside").rename(source / "dog")
    with pytest.raises(ConfigError, match="not those that this training began with:\n  24 images replaced"):
        train_fully(config, tmp_path / "run")
    (source / "cat").rename(tmp_path / "aside")
    (source / "dog").rename(source / "cat")
    (tmp_path / "aside").rename(source / "dog")
    for path in default_cache().glob("*/meta.json"):
        path.unlink()
    monkeypatch.setattr("trials.images.packed.decoders", lambda: "another")
    (note,) = notes_of(config, tmp_path / "run")
    assert note.startswith("pictures are decoded by another; when this training began, by Pillow")
    result = train_fully(config, tmp_path / "run")
    assert len(result.metrics) == 2
    weights = load_weights(tmp_path / "run" / "weights" / "last.safetensors")
    assert weights.facts["classes"] == ["cat", "cow", "dog"]
    assert weights.facts["data"]["digest"] == json.loads((tmp_path / "run" / DATA_FILE).read_text())["digest"]
    other = replace(config, seed=1)
    (source / "cow" / "new.png").write_bytes(encoded(7))
    assert train_fully(other, tmp_path / "other").metrics  # a training of its own may have them
