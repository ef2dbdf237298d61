"""Packs of a recipe: one to cut crops from, minival apart at its size; what says that detail is missing."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trials.images import chosen_images, pack_sizes, recipe_images
from trials.images.chosen_images import find_images
from trials.images.config import DataConfig
from trials.images.decode import decode
from trials.images.packed import TrialImages, open_images
from trials.images.recipe_images import (
    DeviceImages,
    evaluated_images,
    packings,
    stored_packs,
    trained_images,
    typical_side,
)
from trials.pictures import PictureView
from trials.recipe import Ramp, Recipe

CPU = torch.device("cpu")
SIZE = (60, 45)  # of the pictures, width and height
RECIPE = Recipe(
    epochs=2, batch_size=8, resolution=Ramp(8, 16), num_training_stages=2, crop="resized"
)  # evaluated at 16, 24
PADDED = Recipe(epochs=2, batch_size=8, resolution=Ramp(8, 16), num_training_stages=2)


def picture(number: int, kind: str = "PNG") -> bytes:
    rng, file = np.random.default_rng(number), BytesIO()
    pixels = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize(SIZE, Image.Resampling.BICUBIC).save(file, kind)
    return file.getvalue()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataConfig:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for number in range(24):
        path = tmp_path / "source" / f"class-{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))
    return DataConfig(source=str(tmp_path / "source"), minival=0.25)


def by_pillow(images: TrialImages, index: int, resolution: int, view: PictureView) -> np.ndarray:
    """The picture at an index, decoded anew."""
    number = int(images.name_of(index).rsplit("/", 1)[1].removesuffix(".png"))
    return decode(picture(number), resolution, view=view)


def test_all_stages_train_on_one_pack_that_is_larger(data: DataConfig) -> None:
    images = trained_images(data, RECIPE, 8)
    assert images.images.shape == (24, 40, 40, 3)
    assert images.resolution == 40  # 2.5 x 16, the pictures having 52
    assert trained_images(data, RECIPE, 16).checks is not None
    assert np.array_equal(images.images[5], by_pillow(images, 5, 40, PictureView(interpolation="lanczos")))
    assert images.pixels_by.endswith("; crops cut from 40 px")
    assert stored_packs(RECIPE, find_images(data)) == (40,)
    padded = trained_images(data, PADDED, 16)
    assert np.array_equal(padded.images, open_images(data, resolution=16).images)
    assert (images.digest, images.train.tolist()) == (padded.digest, padded.train.tolist())


@pytest.mark.parametrize("crop", [None, "official"], ids=str)
def test_minival_is_decoded_at_the_size_of_evaluation(data: DataConfig, crop: str | None) -> None:
    recipe = Recipe(
        epochs=2,
        batch_size=8,
        resolution=Ramp(16, 16),
        crop="resized",
        evaluation_crop=crop,  # type: ignore[arg-type]
    )
    assert recipe.evaluation_sizes == (24,)
    images = trained_images(data, recipe, 16)
    minival = evaluated_images(data, recipe, images, 24)
    assert minival.images.shape == (len(images.minival), 24, 24, 3)
    assert len(minival.train) == 0
    assert np.array_equal(minival.labels, images.labels[images.minival])
    view = PictureView("center" if crop else "squash")
    for place, index in enumerate(images.minival):
        assert minival.name_of(place) == images.name_of(int(index))
        assert np.array_equal(minival.images[place], by_pillow(images, int(index), 24, view))


def test_the_centre_keeps_the_aspect_ratio_in_each_decoder() -> None:
    wide = Image.new("RGB", (120, 40), "white")
    wide.paste("black", (50, 10, 70, 30))  # a square in the middle
    for kind in ("PNG", "JPEG"):
        file = BytesIO()
        wide.save(file, kind)
        dark = decode(file.getvalue(), 32, view=PictureView("center", "bicubic")).mean(2) < 128
        height, width = dark.any(1).sum(), dark.any(0).sum()
        assert height == width == 32  # 20 of the 20 px that int(32 / 64 * 40) shows
        squashed = decode(file.getvalue(), 32).mean(2) < 128
        assert squashed.any(1).sum() > 2 * squashed.any(0).sum()


def test_packs_are_those_that_a_training_opens(data: DataConfig, tmp_path: Path) -> None:
    def count() -> int:
        return len(list((tmp_path / "cache").glob("*/packs/*/meta.json")))

    for words, opened in packings(data, RECIPE):
        assert words in ("images to cut crops from", "minival at 16 px", "minival at 24 px")
        opened(on_progress=lambda done, total: None)
    assert count() == 3
    images = DeviceImages(
        RECIPE,
        CPU,
        trained=lambda size: trained_images(data, RECIPE, size),
        evaluated=lambda size: evaluated_images(data, RECIPE, trained_images(data, RECIPE, 16), size),
    )
    images.open_all()
    assert count() == 3
    assert images.trained_at(8) is images.trained_at(16)  # one copy on the device
    assert images.evaluated_at(24).pixels.shape[1:] == (24, 24, 3)


def test_padded_crops_are_evaluated_on_the_images_of_training(data: DataConfig) -> None:
    images = DeviceImages(
        PADDED,
        CPU,
        trained=lambda size: trained_images(data, PADDED, size),
        evaluated=lambda size: pytest.fail("opened"),
    )
    images.open_all()
    assert images.evaluated_at(8) is images.trained_at(8) is not images.trained_at(16)


@pytest.mark.parametrize(
    ("stored", "most_bytes", "side", "said"),
    [
        ("auto", 100e9, 40, False),
        ("auto", 24 * 3 * 20**2, 20, True),
        ("auto", 0, 16, True),
        (18, 100e9, 18, True),
        (50, 100e9, 50, False),
    ],
)
def test_it_is_said_where_stored_pictures_limit_the_detail_of_crops(
    data: DataConfig,
    monkeypatch: pytest.MonkeyPatch,
    stored: object,
    most_bytes: float,
    side: int,
    said: bool,
) -> None:
    monkeypatch.setattr(pack_sizes, "MOST_BYTES", most_bytes)
    recipe = Recipe(
        epochs=2,
        batch_size=8,
        resolution=Ramp(16, 16),
        crop="resized",
        stored_resolution=stored,  # type: ignore[arg-type]
    )
    images = trained_images(data, recipe, 16)
    assert images.resolution == side
    notes = [note for note in images.notes if "crops are cut from" in note]
    assert len(notes) == said
    if said:
        assert f"one of 16 px has the detail of {0.694 * side:.0f} px on average" in notes[0]


def test_pictures_are_no_larger_stored_than_nine_of_ten_are(
    data: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert typical_side(find_images(data)) == 52  # sqrt(60 * 45)
    assert typical_side(find_images(DataConfig(source="digits"))) == 8
    monkeypatch.setattr(recipe_images, "_side", lambda picture: None)  # none can be read
    assert typical_side(find_images(DataConfig(source="digits", fraction=0.5))) > 1e6


def test_a_large_source_is_listed_once_for_all_packs_of_a_recipe(
    data: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    opened = chosen_images.open_source
    monkeypatch.setattr(chosen_images, "LARGE", 0)
    monkeypatch.setattr(
        chosen_images, "open_source", lambda source, **named: listed.append(source) or opened(source, **named)
    )
    held = [make() for _, make in packings(data, RECIPE)]
    assert len(held) == 3
    assert len(listed) == 1
