"""Pictures, Parquet files and image folders that tests make."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from trials.sources import Digits


def picture(value: int, size: tuple[int, int] = (20, 14), mode: str = "RGB") -> Image.Image:
    """Noise of that size (width, height), the same for the same value."""
    rng = np.random.default_rng(value)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).convert(mode)


def encoded(
    value: int, size: tuple[int, int] = (20, 14), kind: str = "PNG", mode: str = "RGB", **options: Any
) -> bytes:
    """Such a picture as a file's bytes."""
    buffer = io.BytesIO()
    picture(value, size, mode).save(buffer, kind, **options)
    return buffer.getvalue()


def write_parquet(
    path: Path,
    *,
    count: int = 60,
    images: Any = None,
    labels: Any = None,
    column: str = "image",
    label_column: str = "label",
    metadata: dict[str, str] | None = None,
) -> Path:
    """A Parquet file of `count` pictures of three classes, with parts replaced as given."""
    images = [encoded(i) for i in range(count)] if images is None else images
    labels = [i % 3 for i in range(len(images))] if labels is None else labels
    table = pa.table({column: images, label_column: labels})
    pq.write_table(table.replace_schema_metadata(metadata), path, row_group_size=16)
    return path


def write_folder(
    root: Path, *, per_class: int = 12, classes: tuple[str, ...] = ("cat", "cow", "dog")
) -> Path:
    """ROOT/CLASS/picture: PNG, JPEG and WebP."""
    for label, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(per_class):
            kind, suffix = (("PNG", "png"), ("JPEG", "JPG"), ("WEBP", "webp"))[i % 3]
            (root / name / f"{i}.{suffix}").write_bytes(encoded(100 * label + i, kind=kind))
    return root


def parity_digits(path: Path) -> Path:
    """A Parquet file of half of the digits, each labelled by its number and by 10 (even) or 11 (odd)."""
    digits = Digits()
    images, labels = [], []
    for i in range(0, len(digits.labels), 2):
        buffer = io.BytesIO()
        Image.fromarray(digits._pixels[i]).save(buffer, "PNG")
        images.append(buffer.getvalue())
        labels.append([int(digits.labels[i]), 10 + int(digits.labels[i]) % 2])
    return write_parquet(path, images=images, labels=labels)
