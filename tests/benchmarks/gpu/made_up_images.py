"""Made-up images of CIFAR-10's size as a Parquet file: a pattern for each class, and noise."""

import io
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from benchmarks.gpu.conditions import Conditions
from PIL import Image

from trials.images.config import DataConfig
from trials.images.packed import TrialImages

CLASSES, SIDE = 10, 32
IMAGES, REHEARSED = 50_000, 320
MINIVAL = 0.1


def image_file(conditions: Conditions) -> Path:
    """The file, written if it is not there: columns `image` (PNG) and `label`, classes in turn."""
    number = conditions.sized(IMAGES, REHEARSED)
    path = conditions.folder("images") / f"made-up-{number}.parquet"
    if not path.exists():
        labels = np.arange(number) % CLASSES
        unfinished = path.with_suffix(".unfinished")
        encoded = [_png(pixels) for pixels in made_up_pixels(labels, side=SIDE)]
        pq.write_table(pa.table({"image": encoded, "label": labels}), unfinished)
        os.replace(unfinished, path)
    return path


def data_config(conditions: Conditions, *, fraction: float = 1.0) -> DataConfig:
    """The images as a search names them."""
    return DataConfig(source=str(image_file(conditions)), minival=MINIVAL, fraction=fraction)


def in_memory(number: int, *, side: int) -> TrialImages:
    """Images of any size and number, one in ten of which is minival; they are from no file."""
    labels = np.arange(number) % CLASSES
    pixels = np.stack(list(made_up_pixels(labels, side=side)))
    held_out = max(number // 10, 1)
    order = np.arange(number)
    classes = tuple(map(str, range(CLASSES)))
    return TrialImages(pixels, labels.astype(np.int64), order[held_out:], order[:held_out], classes)


def made_up_pixels(labels: np.ndarray, *, side: int) -> "list[np.ndarray]":
    """Pictures (side, side, 3) uint8 of these classes, the same at every call."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 216, (CLASSES, 4, 4, 3), dtype=np.int16)
    cells = np.arange(side) * 4 // side
    patterns = coarse[:, cells][:, :, cells]  # (classes, side, side, 3)
    return [
        np.clip(patterns[label] + rng.integers(-40, 41, (side, side, 3), dtype=np.int16), 0, 255).astype(
            np.uint8
        )
        for label in labels
    ]


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()
