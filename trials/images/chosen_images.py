"""The images that a configuration chooses of its source, before they are decoded."""

import hashlib
import time
import weakref
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from trials.images.config import DataConfig
from trials.images.decode import MAX_PIXELS
from trials.images.labels import check_two_classes
from trials.images.sources import Encoded, Source, open_source
from trials.images.splits import share
from trials.pictures import SQUASHED, PictureView

LARGE = 100_000  # images; a source with as many, or more, is not listed again within a MOMENT
MOMENT = 60.0  # seconds


@dataclass(frozen=True)
class EncodedImages:
    """The images that a search uses, before decoding."""

    labels: np.ndarray  # (N,) int64, or (N, L) padded with -1: see trials.images.labels
    classes: tuple[str, ...]
    chosen: np.ndarray  # (N,) positions of the N images in the source, ascending
    identity: list[Any]  # JSON values that change when an image or the choice of images does
    source: Source
    max_pixels: int = MAX_PIXELS
    view: PictureView = SQUASHED  # how each becomes a square
    whole: "EncodedImages | None" = field(default=None, repr=False)  # those that these were made of, kept

    def viewed(self, view: PictureView) -> "EncodedImages":
        """The same images, to be decoded in another way."""
        if view == self.view:
            return self
        return replace(self, view=view, identity=[*self.identity, asdict(view)], whole=self.whole or self)

    def part(self, indices: np.ndarray) -> "EncodedImages":
        """The images at these ascending indices alone."""
        return replace(
            self,
            labels=self.labels[indices],
            chosen=self.chosen[indices],
            identity=[*self.identity, hashlib.sha256(indices.astype("<i8").tobytes()).hexdigest()],
            whole=self.whole or self,
        )

    def read(self) -> Iterator[tuple[str, Encoded]]:
        """(name, encoded picture) of each image, in order."""
        return self.source.read(self.chosen)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user: how labels were read, what was left out."""
        return tuple(getattr(self.source, "notes", ()))  # a source of the user's own may have none

    @property
    def deeper(self) -> str:
        """The advice to give a folder further down, if its sub-folders may be the classes; else empty."""
        return str(getattr(self.source, "deeper", ""))

    def name_of(self, index: int) -> str:
        """The name of the image at an index."""
        position = int(self.chosen[index])
        name_of = getattr(self.source, "name_of", None)
        return name_of(position) if name_of is not None else f"image {position}"


# Kept only as long as somebody uses them: the names of a million files take half a gigabyte.
_recent: dict[tuple[DataConfig, bool], tuple[float, "weakref.ref[EncodedImages]"]] = {}


def find_images(config: DataConfig, *, only_evaluated: bool = False) -> EncodedImages:
    """Opens the source of a configuration and chooses its images.

    With `only_evaluated` they are evaluated on alone, and not split: one class is enough.

    Raises:
        ValueError: the source cannot be read or has the wrong form; the message says where and what to do.
    """
    listed, recent = _recent.get((config, only_evaluated), (0.0, lambda: None))
    if (known := recent()) is not None and time.monotonic() - listed < MOMENT:
        return known
    source = open_source(config.source, only_evaluated=only_evaluated)
    if not only_evaluated:
        check_two_classes(source.labels, source.classes, config.source, advice=getattr(source, "deeper", ""))
    elif not len(source.labels):
        raise ValueError(f"{config.source}: holds no images")
    chosen = share(source.labels, config.fraction, config.split_seed)
    identity = [source.identity, config.fraction, config.split_seed, config.max_pixels]
    found = EncodedImages(
        source.labels[chosen], source.classes, chosen, identity, source, max_pixels=config.max_pixels
    )
    _recent.clear()
    if len(source.labels) >= LARGE:
        _recent[config, only_evaluated] = (time.monotonic(), weakref.ref(found))
    return found
