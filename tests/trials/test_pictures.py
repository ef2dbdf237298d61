"""Sizes of pictures in training and evaluation, by their rules and by recipes' keys."""

from dataclasses import replace
from typing import Any

import pytest

from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import from_mapping, read_yaml
from trials.images.pack_sizes import MOST_BYTES, pack_bytes
from trials.pictures import PictureView, default_evaluation_size, evaluation_view, stored_side
from trials.recipe import Recipe

IMAGENET = 1_281_167


def recipe(*, recorded: bool = False, **changes: object) -> Recipe:
    settings = {"epochs": 8, "batch_size": 64, "resolution": {"start": 32, "end": 64}, **changes}
    return from_mapping(Recipe, settings, name="recipe.yaml", recorded=recorded)


@pytest.mark.parametrize(
    ("training", "size"),
    [(300, 368), (380, 480), (384, 480), (440, 480), (500, 500), (48, 64), (32, 40), (64, 80), (224, 288)],
)
def test_networks_of_resized_crops_are_evaluated_a_quarter_larger_up_to_480_px(
    training: int, size: int
) -> None:
    assert default_evaluation_size(training, cut_from_larger=True) == size
    assert default_evaluation_size(training, cut_from_larger=False) == training


@pytest.mark.parametrize(
    ("largest", "typical", "count", "side"),
    [
        (48, 128, 9_469, 120),  # 2.5 times
        (64, 128, 9_469, 128),  # no more than the originals
        (64, 32, 9_469, 32),  # which are never enlarged to be stored
        (300, 433, IMAGENET, 300),  # 100 GB would be 161 px: then the stage's size
        (128, 433, IMAGENET, 161),
    ],
)
def test_crops_are_cut_from_pictures_as_large_as_they_need_and_bytes_allow(
    largest: int, typical: int, count: int, side: int
) -> None:
    assert stored_side(largest, typical=typical, count=count, most_bytes=MOST_BYTES) == side
    assert pack_bytes(count, side) <= 350e9


@pytest.mark.parametrize(
    ("size", "resolution", "box"),
    [((500, 375), 224, (86, 23, 414, 351)), ((375, 500), 224, (23, 86, 351, 414)), ((8, 8), 1, (3, 3, 4, 4))],
)
def test_the_centre_is_the_official_codes(
    size: tuple[int, int], resolution: int, box: tuple[int, ...]
) -> None:
    """int(224 / (224 + 32) * 375) = 328 px of the middle; `preprocess_for_eval`."""
    assert PictureView("center").box(size, resolution) == box
    assert PictureView().box(size, resolution) is None


def test_the_official_view_is_the_centre_below_320_px_only() -> None:
    assert evaluation_view("official", None, resolution=319) == PictureView("center", "bilinear")
    assert evaluation_view("official", "bicubic", resolution=320) == PictureView("squash", "bicubic")
    assert evaluation_view(None, None, resolution=64) == PictureView()


def test_a_stage_is_evaluated_in_the_last_ones_proportion() -> None:
    full = read_yaml(Recipe, "full_s")
    sizes = [(stage.resolution, full.evaluation_size(stage)) for stage in full.training_stages()]
    assert sizes == [(128, 160), (185, 240), (242, 304), (300, 384)]
    assert full.evaluation_sizes == (160, 240, 304, 384)
    assert [full.evaluation_view(size).crop for size in (160, 384)] == ["center", "squash"]
    drawn = recipe(
        crop="resized", num_training_stages=4, resolution_schedule="random_batch", evaluation_resolution=80
    )
    assert drawn.evaluation_sizes == (80,)


@pytest.mark.parametrize("name", ["proxy_photos", "cifar10", "photos", "finetune", "proxy_imagenet"])
def test_padded_crops_are_evaluated_as_they_are_trained(name: str) -> None:
    shipped = read_yaml(Recipe, name)
    assert not shipped.evaluates_apart
    assert shipped.evaluation_sizes == ()
    assert not shipped.cuts_from_larger
    keys = {key for key in shipped.identity() if key.startswith(("stored", "evaluation"))}
    assert keys == set()  # checkpoints of earlier versions are those of this recipe


@pytest.mark.parametrize(
    ("name", "size"),
    [("full_s", 384), ("full_m", 480), ("full_l", 480), ("official_s", 384), ("official_l", 480)],
)
def test_published_recipes_have_the_published_sizes_of_evaluation(name: str, size: int) -> None:
    shipped = read_yaml(Recipe, name)
    assert shipped.evaluation_sizes[-1] == size
    assert shipped.stored_resolution == "auto"


@pytest.mark.parametrize(
    "changes", [{"evaluation_resolution": 80}, {"evaluation_crop": "center"}, {"crop": "resized"}], ids=str
)
def test_another_size_or_view_is_evaluated_apart(changes: dict[str, Any]) -> None:
    assert recipe(**changes).evaluates_apart


def test_one_stage_that_is_evaluated_in_another_view_is_enough() -> None:
    """The official view: the centre below 320 px, the whole from there on."""
    growing = recipe(resolution={"start": 128, "end": 330}, num_training_stages=4, evaluation_crop="official")
    assert growing.evaluates_apart
    assert not recipe(resolution=330, evaluation_crop="official").evaluates_apart


# ---------------------------------------------------------------- recorded recipes


def test_a_recorded_recipe_without_stored_pictures_keeps_its_crops() -> None:
    before = recipe(crop="resized", recorded=True)
    assert before.stored_resolution == "stage"
    assert (before.cuts_from_larger, before.evaluates_apart) == (False, False)
    assert "stored_resolution" not in before.identity()
    assert replace(before, epochs=9).stored_resolution == "stage"
    assert recipe(crop="resized").identity()["stored_resolution"] == "auto"


def test_a_run_that_goes_on_has_the_evaluation_that_it_began_with() -> None:
    now = recipe(crop="resized", evaluation_resolution=96, evaluation_crop="official")
    assert now.as_begun({"crop": "resized"}) == recipe(crop="resized", recorded=True)
    assert now.as_begun({"crop": "resized", "stored_resolution": "auto"}) == now
    again = {"crop": "resized", "stored_resolution": "stage"}  # recorded when it went on before
    assert now.as_begun(again) == recipe(crop="resized", recorded=True)
    assert now.as_begun({"crop": "pad"}) == now  # another recipe, which is refused as such
    assert recipe().as_begun({"crop": "pad"}) == recipe()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stored_resolution": 128}, "crop is pad, which cuts nothing from larger pictures"),
        ({"crop": "resized", "stored_resolution": 4}, "stored_resolution"),
        ({"crop": "resized", "stored_resolution": "original"}, "stored_resolution"),
        ({"evaluation_resolution": 4}, "evaluation_resolution: 4 is out of range"),
        ({"evaluation_crop": "centre"}, "evaluation_crop"),
        ({"evaluation_interpolation": "lanczos"}, "evaluation_interpolation"),
    ],
    ids=str,
)
def test_sizes_and_views_that_are_none_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        recipe(**changes)
