"""The images of a search as its YAML file describes them: their source, and the part that is used."""

import time
from collections.abc import Iterator
from dataclasses import dataclass as plain_dataclass
from typing import Any

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from search_spaces.networks.architecture import STRICT
from trials.images.decode import MAX_PIXELS
from trials.images.labels import check_two_classes
from trials.images.sources import Encoded, Source, open_source
from trials.images.splits import share


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DataConfig:
    """The images of a search. There is no test split here: a search never sees one.

    `source` is `digits` (scikit-learn's, built in), or the path or fsspec URL of a Parquet file, a folder or
    a glob: Parquet files in the Hugging Face layout, or one folder for each class. Where the source has
    several splits, only train is used. `minival` is the share of the images held out to evaluate trials;
    None takes 10 %, but at most 5,000 images unless that is less than 2 %.
    """

    source: str = Field(min_length=1)
    minival: float | None = Field(default=None, gt=0, lt=1)
    fraction: float = Field(default=1.0, gt=0, le=1)  # of the images used, stratified by class
    split_seed: int = Field(default=0, ge=0, lt=2**63)
    max_corrupt: float = Field(default=0.01, ge=0, lt=1)  # share of unreadable pictures that may be left out
    max_pixels: int = Field(
        default=MAX_PIXELS, ge=64 * 64, le=170_000_000
    )  # of a picture; larger: unreadable


@plain_dataclass(frozen=True)
class EncodedImages:
    """The images that a search uses, before decoding."""

    labels: np.ndarray  # (N,) int64, or (N, L) padded with -1: see trials.images.labels
    classes: tuple[str, ...]
    chosen: np.ndarray  # (N,) positions of the N images in the source, ascending
    identity: list[Any]  # JSON values that change when an image or the choice of images does
    source: Source
    max_pixels: int = MAX_PIXELS

    def read(self) -> Iterator[tuple[str, Encoded]]:
        """(name, encoded picture) of each image, in order."""
        return self.source.read(self.chosen)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user: how labels were read, what was left out."""
        return tuple(getattr(self.source, "notes", ()))  # a source of the user's own may have none

    def name_of(self, index: int) -> str:
        """The name of the image at an index."""
        position = int(self.chosen[index])
        name_of = getattr(self.source, "name_of", None)
        return name_of(position) if name_of is not None else f"image {position}"


LARGE = 100_000  # images, from which on a source that was listed a moment ago is not listed again
MOMENT = 60.0  # seconds
_recent: dict[tuple[DataConfig, bool], tuple[float, EncodedImages]] = {}


def find_images(config: DataConfig, *, only_evaluated: bool = False) -> EncodedImages:
    """Opens the source of a configuration and chooses its images.

    With `only_evaluated` they are evaluated on alone, and not split: one class is enough.

    Raises:
        ValueError: the source cannot be read or has the wrong form; the message says where and what to do.
    """
    when, found = _recent.get((config, only_evaluated), (0.0, None))
    if found is not None and time.monotonic() - when < MOMENT:
        return found
    source = open_source(config.source)
    if not only_evaluated:
        check_two_classes(source.labels, source.classes, config.source)
    elif not len(source.labels):
        raise ValueError(f"{config.source}: holds no images")
    chosen = share(source.labels, config.fraction, config.split_seed)
    identity = [source.identity, config.fraction, config.split_seed, config.max_pixels]
    found = EncodedImages(
        source.labels[chosen], source.classes, chosen, identity, source, max_pixels=config.max_pixels
    )
    _recent.clear()
    if len(source.labels) >= LARGE:
        _recent[config, only_evaluated] = (time.monotonic(), found)
    return found
