"""The images that the stages of a recipe train on, and those on which it is evaluated.

| recipe | to train on | to evaluate on |
|---|---|---|
| padded crops | a pack for each size (see `pack_sizes`) | the minival images of the same pack |
| resized crops | one pack, larger than the stages, from which crops are cut | minival alone, at its size |

Images to evaluate on are decoded from the originals in the recipe's view; so are those of padded crops where
the recipe asks for another size, or view, than training has.
"""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
import torch
from PIL import Image

from trials.images import pack_sizes
from trials.images.chosen_images import EncodedImages, find_images
from trials.images.config import DataConfig
from trials.images.decode import FORMATS
from trials.images.device_images import ResidentImages
from trials.images.packed import OnProgress, TrialImages, open_images, open_minival
from trials.images.sources import Encoded
from trials.pictures import MEAN_SHARE, SQUASHED, STORED, STORED_RATIO, PictureView, stored_side
from trials.recipe import Recipe

SAMPLE = 64  # pictures whose size is looked at
LARGE_ONES = 0.9  # share of the pictures that are no larger than the typical side


class Opening(TypedDict, total=False):
    """Arguments of `open_images` that are passed on."""

    cache: Path | None
    on_progress: OnProgress | None
    verify: bool


def trained_images(
    data: DataConfig, recipe: Recipe, resolution: int, **opening: Unpack[Opening]
) -> TrialImages:
    """The images that a stage of this resolution trains on: of that size, or larger, to cut crops from.

    Raises:
        ValueError: as `open_images`.
    """
    if not recipe.cuts_from_larger:
        return open_images(data, resolution=resolution, sizes=recipe.image_sizes, **opening)
    found = find_images(data)
    side = side_of_stored(recipe, found)
    images = open_images(data, resolution=side, view=view_of_training(recipe), **opening)
    by = f"{images.pixels_by}; crops cut from {side} px"
    return replace(images, pixels_by=by, notes=(*images.notes, *_detail_notes(recipe, found, side)))


def evaluated_images(
    data: DataConfig, recipe: Recipe, images: TrialImages, resolution: int, **opening: Unpack[Opening]
) -> TrialImages:
    """The minival images of these, at a resolution, as the recipe evaluates them.

    Raises:
        ValueError: as `open_images`.
    """
    view = recipe.evaluation_view(resolution)
    return open_minival(data, images, resolution=resolution, view=view, **opening)


def packings(data: DataConfig, recipe: Recipe) -> Iterator[tuple[str, Callable[..., TrialImages]]]:
    """Each pack that a recipe needs in words, and the function that opens it, given an `Opening`."""
    largest = recipe.image_sizes[-1]
    if recipe.cuts_from_larger:
        yield "images to cut crops from", partial(trained_images, data, recipe, largest)
    else:
        for size in recipe.image_sizes:
            yield f"images at {size} px", partial(trained_images, data, recipe, size)
    for size in recipe.evaluation_sizes:
        yield f"minival at {size} px", partial(_opened_minival, data, recipe, size)


def _opened_minival(
    data: DataConfig, recipe: Recipe, resolution: int, **opening: Unpack[Opening]
) -> TrialImages:
    images = trained_images(data, recipe, recipe.image_sizes[-1], cache=opening.get("cache"))
    return evaluated_images(data, recipe, images, resolution, **opening)


def side_of_stored(recipe: Recipe, found: EncodedImages) -> int:
    """Pixels of a side of the pictures that a recipe's crops are cut from."""
    if isinstance(recipe.stored_resolution, int):
        return recipe.stored_resolution
    count, most_bytes = len(found.labels), pack_sizes.MOST_BYTES
    return stored_side(
        recipe.image_sizes[-1], typical=typical_side(found), count=count, most_bytes=most_bytes
    )


def view_of_training(recipe: Recipe) -> PictureView:
    """The way in which pictures that a recipe trains on become squares."""
    return STORED if recipe.cuts_from_larger else SQUASHED


def stored_packs(recipe: Recipe, found: EncodedImages) -> tuple[int, ...]:
    """The resolutions of the packs that a recipe's training needs, without minival's own, ascending."""
    if recipe.cuts_from_larger:
        return (side_of_stored(recipe, found),)
    return pack_sizes.stored_sizes(recipe.image_sizes, count=len(found.labels))


_sides: dict[str, int] = {}  # by the images' identity


def typical_side(found: EncodedImages) -> int:
    """The side (pixels) of a square with as many pixels as a picture has that nine of ten do not exceed.

    By the headers of some pictures: of all files where each is read for itself, else of the first ones.
    """
    key = json.dumps(found.identity)
    if key not in _sides:
        _, first = next(found.source.read(found.chosen[:1]))
        step = max(1, len(found.chosen) // SAMPLE) if callable(first) else 1
        read = found.source.read(found.chosen[::step][:SAMPLE])
        sides = [side for _, picture in read if (side := _side(picture)) is not None]
        typical = np.quantile(sides, LARGE_ONES, method="inverted_cdf") if sides else np.iinfo(np.int32).max
        _sides[key] = max(round(float(typical)), 1)
    return _sides[key]


def _side(picture: Encoded) -> float | None:
    """The side of a square with as many pixels; None of what is no picture."""
    if isinstance(picture, np.ndarray):
        return float(np.sqrt(picture.shape[0] * picture.shape[1]))
    try:
        data = picture() if callable(picture) else picture
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            return float(np.sqrt(opened.size[0] * opened.size[1]))
    except Exception:  # packing says what is wrong with it
        return None


def _detail_notes(recipe: Recipe, found: EncodedImages, side: int) -> list[str]:
    """A sentence where crops have less detail than their size could show, though the originals have it."""
    largest = recipe.image_sizes[-1]
    if side >= min(round(STORED_RATIO * largest), typical_side(found)):
        return []
    return [
        f"crops are cut from pictures stored at {side} px: one of {largest} px has the detail of "
        f"{MEAN_SHARE * side:.0f} px on average; recipe.stored_resolution stores larger ones"
    ]


class DeviceImages:
    """The images of a recipe on one device, opened when they are first needed, and kept.

    Args:
        trained, evaluated: open the images of a resolution to train and to evaluate on.
    """

    def __init__(
        self,
        recipe: Recipe | None,
        device: torch.device,
        *,
        trained: Callable[[int], TrialImages],
        evaluated: Callable[[int], TrialImages],
    ) -> None:
        self._recipe, self._device = recipe, device
        self._trained, self._evaluated = trained, evaluated
        self._of_training: dict[int, ResidentImages] = {}
        self._of_evaluation: dict[int, ResidentImages] = {}

    def open_all(self) -> None:
        """Opens the images of all stages, and those that are evaluated on."""
        for size in self._recipe.image_sizes if self._recipe else ():
            self.trained_at(size)
        self.open_evaluated()

    def open_evaluated(self) -> None:
        """Opens the images that are evaluated on, apart from those of training."""
        for size in self._recipe.evaluation_sizes if self._recipe else ():
            self.evaluated_at(size)

    def trained_at(self, resolution: int) -> ResidentImages:
        """The images that a stage of this resolution trains on."""
        is_one_pack = self._recipe is not None and self._recipe.cuts_from_larger
        key = 0 if is_one_pack else resolution
        if key not in self._of_training:
            self._of_training[key] = ResidentImages(self._trained(resolution), self._device)
        return self._of_training[key]

    def evaluated_at(self, resolution: int) -> ResidentImages:
        """The images on which it is evaluated at this resolution, those of `minival` in them."""
        if self._recipe is None or not self._recipe.evaluates_apart:
            return self.trained_at(resolution)
        if resolution not in self._of_evaluation:
            self._of_evaluation[resolution] = ResidentImages(self._evaluated(resolution), self._device)
        return self._of_evaluation[resolution]
