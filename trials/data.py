"""Where images come from, and which of them a search trains on and which it judges by."""

import glob
import json
from collections.abc import Iterator
from dataclasses import dataclass as plain_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field
from pydantic.dataclasses import dataclass

from search_spaces.architecture import STRICT

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMN = "label"
DIGITS = "digits"
DIGITS_TEST_SHARE = 0.2
SPLIT, FRACTION, TEST = 0, 1, 2  # streams of randomness


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DataConfig:
    """The images of a search. There is no test split here: a search never sees one.

    `source` is `digits` (scikit-learn's, built in), a Parquet file, a folder of them, or a glob. `minival` is
    the share of the images by which trials are judged; None takes 10 %, at least 2 % and otherwise at most
    5,000 images.
    """

    source: str = Field(min_length=1)
    minival: float | None = Field(default=None, gt=0, lt=1)
    fraction: float = Field(default=1.0, gt=0, le=1)  # of the images, stratified
    split_seed: int = Field(default=0, ge=0, lt=2**63)


@plain_dataclass(frozen=True)
class EncodedImages:
    """The images that a search uses, not decoded yet: their labels, and how to read their bytes."""

    files: tuple[Path, ...]  # empty: the digits
    labels: np.ndarray  # (N,) int64
    chosen: np.ndarray  # (N,) positions of the N images in the source, ascending
    classes: tuple[str, ...]
    identity: tuple[Any, ...]  # what they are packed under: changes when the source does

    def read(self) -> Iterator[tuple[str, Any]]:
        """(name, encoded bytes or array (H, W, 3) uint8) of each chosen image, in order."""
        if not self.files:
            pixels, _ = _digits()
            yield from ((f"digit {i}", pixels[i]) for i in self.chosen)
            return
        wanted = np.zeros(int(self.chosen[-1]) + 1, bool)
        wanted[self.chosen] = True
        position = 0
        for file in self.files:
            parquet = pq.ParquetFile(file)
            column = _image_column(parquet.schema_arrow, file)
            row = 0
            for batch in parquet.iter_batches(batch_size=512, columns=[column]):
                here = wanted[position : position + len(batch)]
                if here.any():
                    values = batch.column(0)
                    for i in np.flatnonzero(here):
                        value = values[int(i)].as_py()
                        yield (
                            f"{file.name}, row {row + i}",
                            value["bytes"] if isinstance(value, dict) else value,
                        )
                position += len(batch)
                row += len(batch)


def find_images(config: DataConfig) -> EncodedImages:
    """The images of a configuration.

    Raises:
        ValueError: the source cannot be read, or is not what it should be; says where and what to do.
    """
    if config.source == DIGITS:
        _, labels = _digits()
        chosen = _share(labels, config.fraction, config.split_seed)
        names = tuple(str(i) for i in range(10))
        identity: tuple[Any, ...] = (DIGITS, config.fraction, config.split_seed)
        return EncodedImages((), labels[chosen], chosen, names, identity)
    files = _parquet_files(config.source)
    labels = np.concatenate([_labels(file) for file in files])
    if not len(labels):
        raise ValueError(f"{config.source}: holds no images")
    classes = _class_names(files[0], labels)
    chosen = _share(labels, config.fraction, config.split_seed)
    stats = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    identity = (*stats, config.fraction, config.split_seed)
    return EncodedImages(files, labels[chosen], chosen, classes, identity)


def split_indices(labels: np.ndarray, *, minival: float | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Stratified indices of train and minival, ascending; every class keeps its share to within one image.

    Raises:
        ValueError: too few images for one of each class on both sides.
    """
    total = len(labels)
    size = minival_size(total) if minival is None else round(minival * total)
    present, counts = np.unique(labels, return_counts=True)
    if (counts < 2).any():
        raise ValueError(
            f"class {present[counts < 2][0]} has a single image; each class needs one to train on and another"
        )
    if not len(present) <= size <= total - len(present):
        raise ValueError(
            f"minival would have {size} of {total} images, too few or too many for {len(present)} classes; "
            "change data.minival or use more images (data.fraction)"
        )
    taken = _stratified(labels, size, np.random.default_rng([seed, SPLIT]))
    held_out = np.zeros(total, bool)
    held_out[taken] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def minival_size(images: int) -> int:
    """The default number of minival images: 10 %, at most 5,000 unless that were less than 2 %."""
    return max(round(0.02 * images), min(5_000, round(0.1 * images)))


def _share(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Positions, ascending, of a stratified share of the images."""
    if fraction == 1.0:
        return np.arange(len(labels))
    size = max(round(fraction * len(labels)), 1)
    return np.sort(_stratified(labels, size, np.random.default_rng([seed, FRACTION])))


def _stratified(labels: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """`size` positions: shares rounded down, the rest to the largest remainders, at least one a class."""
    present, counts = np.unique(labels, return_counts=True)
    exact = counts * (size / len(labels))
    quota = np.floor(exact).astype(int)
    for i in np.argsort(quota - exact, kind="stable")[: size - int(quota.sum())]:
        quota[i] += 1
    if size >= len(present):
        for i in np.flatnonzero(quota == 0):
            quota[i] += 1
            quota[np.argmax(quota)] -= 1
    drawn = [
        rng.permutation(np.flatnonzero(labels == label))[:number]
        for label, number in zip(present, quota, strict=True)
    ]
    return np.concatenate(drawn)


@lru_cache(maxsize=1)
def _digits() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's digits but a fifth that is held out as a test split: (N, 8, 8, 3) uint8, (N,) int64."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    labels = bunch.target.astype(np.int64)
    test = _stratified(labels, round(DIGITS_TEST_SHARE * len(labels)), np.random.default_rng([0, TEST]))
    rest = np.setdiff1d(np.arange(len(labels)), test)
    grey = np.clip(bunch.images[rest] * 16, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=3), labels[rest]


def _parquet_files(source: str) -> tuple[Path, ...]:
    path = Path(source).expanduser()
    if path.is_dir():
        files = sorted(path.glob("*.parquet"))
        if not files:
            raise ValueError(f"{source}: no .parquet file in this folder; images are read from Parquet files")
    elif path.is_file():
        files = [path]
    else:
        files = sorted(Path(name) for name in glob.glob(str(path)))
        if not files:
            raise ValueError(f"{source}: there is no such file or folder, and no file of that pattern")
    return tuple(files)


def _image_column(schema: pa.Schema, file: Path) -> str:
    for name in IMAGE_COLUMNS:
        if name in schema.names:
            kind = schema.field(name).type
            if pa.types.is_struct(kind) and "bytes" in [field.name for field in kind]:
                return name
            if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
                return name
            raise ValueError(
                f"{file}: the column {name} is {kind}; encoded bytes or a struct with bytes expected"
            )
    raise ValueError(
        f"{file}: no column {' or '.join(IMAGE_COLUMNS)} with images; it has {', '.join(schema.names)}"
    )


def _labels(file: Path) -> np.ndarray:
    try:
        schema = pq.read_schema(file)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{file}: not a readable Parquet file: {str(error).splitlines()[0]}") from None
    _image_column(schema, file)
    if LABEL_COLUMN not in schema.names:
        raise ValueError(f"{file}: no column {LABEL_COLUMN}; it has {', '.join(schema.names)}")
    kind = schema.field(LABEL_COLUMN).type
    if not pa.types.is_integer(kind):
        raise ValueError(f"{file}: the column {LABEL_COLUMN} is {kind}; whole numbers from 0 expected")
    column = pq.read_table(file, columns=[LABEL_COLUMN]).column(0)
    if column.null_count:
        raise ValueError(
            f"{file}: {column.null_count} rows have no {LABEL_COLUMN}; remove them or label them"
        )
    labels = column.to_numpy().astype(np.int64)
    if len(labels) and labels.min() < 0:
        row = int(np.argmax(labels < 0))
        raise ValueError(f"{file}, row {row}: {LABEL_COLUMN} is {labels[row]}; labels count from 0")
    return labels


def _class_names(file: Path, labels: np.ndarray) -> tuple[str, ...]:
    """Names from the file's metadata where they are, else the numbers."""
    metadata = pq.read_schema(file).metadata or {}
    names: Any = None
    try:
        if b"class_names" in metadata:
            names = json.loads(metadata[b"class_names"])
        elif b"huggingface" in metadata:
            features = json.loads(metadata[b"huggingface"])["info"]["features"]
            names = features[LABEL_COLUMN].get("names")
    except (ValueError, KeyError, TypeError, AttributeError):
        names = None
    largest = int(labels.max())
    if not isinstance(names, list) or len(names) <= largest:
        if names:
            raise ValueError(f"{file}: label {largest}, but its metadata names only {len(names)} classes")
        names = [str(i) for i in range(largest + 1)]
    if len(np.unique(labels)) < 2:
        raise ValueError(f"{file}: all images have the label {labels[0]}; at least two classes are needed")
    return tuple(map(str, names))
