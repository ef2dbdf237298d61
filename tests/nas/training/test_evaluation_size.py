"""Trainings with resized crops: minival at its own size, weights that say so, earlier ones that go on."""

from dataclasses import replace
from pathlib import Path

import pytest
from full_trainings import CONFIG, RECIPE, curve

from nas.search.config import read_search_config
from nas.search.same_search import as_begun as search_as_begun
from nas.training.config import FILE, TrainingConfig, as_begun, read_training
from nas.training.evaluation import evaluate_images, evaluation_resolution, labelled_images
from nas.training.train import train_fully
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import to_mapping, yaml_text
from trials.log.identity import SEARCH_FILE
from trials.pictures import PictureView
from trials.training.weights_file import load_weights, save_weights

RESIZED = replace(
    CONFIG, recipe=replace(RECIPE, epochs=2, crop="resized", evaluation_crop="center"), test="digits"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resized") / "run"
    train_fully(RESIZED, folder)
    return folder


def test_minival_the_weights_and_the_test_have_the_size_of_evaluation(folder: Path) -> None:
    weights = load_weights(folder / "weights" / "best.safetensors")
    assert weights.resolution == 24  # 16 / 0.8, divisible by 8
    assert weights.view(24) == PictureView("center")
    assert evaluation_resolution(weights, None) == 24
    images = labelled_images("digits", weights, resolution=24)
    assert images.images.shape[1] == 24
    assert (
        f'"resolution": {evaluate_images(weights, images).resolution}' in (folder / "result.json").read_text()
    )
    recorded = read_training(folder)
    assert recorded.recipe.stored_resolution == "auto"
    assert as_begun(recorded, folder) == recorded
    assert train_fully(RESIZED, folder).metrics[0].resolution == 16  # of the stage of 8 px
    assert [metrics.train_resolution for metrics in train_fully(RESIZED, folder).metrics] == [8, 16]


def test_weights_that_say_no_view_are_evaluated_as_before(folder: Path, tmp_path: Path) -> None:
    weights = load_weights(folder / "weights" / "best.safetensors")
    save_weights(tmp_path / "w", weights.network(), weights.architecture, num_classes=10, resolution=16)
    assert load_weights(tmp_path / "w").view(16) == PictureView()
    odd = {"num_classes": 10, "evaluation_crop": "middle"}
    save_weights(tmp_path / "odd", weights.network(), weights.architecture, **odd)
    with pytest.raises(ConfigError, match="evaluation_crop is none of squash, center, official"):
        load_weights(tmp_path / "odd")


def before(config: TrainingConfig, folder: Path) -> None:
    """Writes down a training as earlier versions did, who knew nothing of stored pictures."""
    mapping = to_mapping(config)
    for key in [key for key in mapping["recipe"] if key.startswith(("stored", "evaluation"))]:
        del mapping["recipe"][key]
    (folder / FILE).write_text(yaml_text(mapping))


def test_a_training_of_an_earlier_version_goes_on_with_its_crops_and_its_size(tmp_path: Path) -> None:
    earlier = replace(
        RESIZED, recipe=replace(RESIZED.recipe, stored_resolution="stage", evaluation_crop=None)
    )
    whole = train_fully(earlier, tmp_path / "whole")
    assert [metrics.resolution for metrics in whole.metrics] == [8, 16]
    # Its first state, as a run that was killed, and continued by the command that names today's recipe.
    begun = tmp_path / "begun"
    begun.mkdir()
    before(earlier, begun)
    assert read_training(begun).recipe == earlier.recipe
    assert as_begun(RESIZED, begun) == earlier
    result = train_fully(RESIZED, begun)
    assert curve(result) == curve(whole)
    other = replace(RESIZED, recipe=replace(RESIZED.recipe, momentum=0.5))
    with pytest.raises(ConfigError, match=r"recipe\.momentum"):
        train_fully(other, begun)


def test_a_search_of_an_earlier_version_goes_on_with_its_crops(tmp_path: Path) -> None:
    overrides = ["recipe.crop=resized", "recipe.evaluation_resolution=40", "data.source=digits"]
    now = read_search_config("quick", overrides=overrides)
    mapping = to_mapping(now)
    for key in ("stored_resolution", "evaluation_resolution"):
        del mapping["recipe"][key]
    assert search_as_begun(now, tmp_path) == now
    (tmp_path / SEARCH_FILE).write_text(yaml_text(mapping))
    begun = search_as_begun(now, tmp_path).recipe
    assert (begun.stored_resolution, begun.evaluation_resolution) == ("stage", None)
    assert not begun.evaluates_apart
