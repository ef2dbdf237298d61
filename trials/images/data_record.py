"""The images of a run or a training, as recorded when it begins; whether today's are the same.

Two files beside the log: `data.json` (source, digests, classes, what was left out) and `images.parquet` (a
row for each image: name, digest, labels, part). Of a training's test images there are two more, whose names
begin with `test-`. Names and times of files are in no digest: the same pictures with the same labels in the
same order are the same images, wherever they lie.
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.json_records import read_record
from search_spaces.settings.sentences import plain_name, some
from trials.images.labels import PADDING, images_of_classes
from trials.images.packed import TrialImages, data_digest
from trials.log.file_names import DATA_FILE, IMAGES_FILE
from trials.log.parquet_errors import UnreadableParquetError, parquet_refused

OF_TEST = "test-"  # before these names
RECORD_FILES = tuple(f"{prefix}{name}" for prefix in ("", OF_TEST) for name in (DATA_FILE, IMAGES_FILE))
SCHEMA = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("digest", pa.uint64(), nullable=False),  # BLAKE2b of the encoded picture
        pa.field("labels", pa.list_(pa.int32()), nullable=False),  # indices of classes
        pa.field("part", pa.dictionary(pa.int8(), pa.string()), nullable=False),  # train, minival, unreadable
    ]
)


@dataclass(frozen=True)
class DataFacts:
    """Facts about the images of a run."""

    source: str
    digest: str  # of pictures, labels and class names
    split_digest: str  # of which are trained on, and which evaluated on
    train: int
    minival: int
    classes: tuple[str, ...]
    images_of_classes: tuple[int, ...]
    unreadable: tuple[str, ...]
    notes: tuple[str, ...]
    pixels_by: str = ""  # what made the pixels of these pictures; earlier versions recorded none


@dataclass(frozen=True)
class DataRecord:
    """The images of a run: facts, and a row for each image, made when it is needed: there may be millions."""

    facts: DataFacts
    make_rows: Callable[[], pa.Table]

    @cached_property
    def images(self) -> pa.Table:
        """The rows, see SCHEMA."""
        return self.make_rows()

    def files(self, *, prefix: str = "") -> dict[str, bytes]:
        """The contents of the two files, by name."""
        parquet = io.BytesIO()
        pq.write_table(self.images, parquet, compression="zstd", write_page_checksum=True)
        text = json.dumps(asdict(self.facts), indent=1, ensure_ascii=False)
        facts = text.encode(errors="backslashreplace") + b"\n"
        return {f"{prefix}{IMAGES_FILE}": parquet.getvalue(), f"{prefix}{DATA_FILE}": facts}


def record_of(source: str, images: TrialImages) -> DataRecord:
    """The record of these images."""
    facts = DataFacts(
        source=source,
        digest=images.digest,
        split_digest=_digest(np.sort(images.train), np.sort(images.minival)),
        train=len(images.train),
        minival=len(images.minival),
        classes=images.classes,
        images_of_classes=tuple(map(int, images_of_classes(images.labels, images.num_classes))),
        unreadable=images.corrupt,
        notes=images.notes,
        pixels_by=images.pixels_by,
    )
    return DataRecord(facts, partial(_rows, images))


def _rows(images: TrialImages) -> pa.Table:
    parts = np.full(len(images.labels), "unreadable", dtype=object)
    parts[images.train], parts[images.minival] = "train", "minival"
    rows = images.labels.reshape(len(images.labels), -1)
    table = pa.table(
        {
            "name": [plain_name(images.name_of(i)) for i in range(len(rows))],
            "digest": images.digests,
            "labels": [row[row != PADDING].tolist() for row in rows],
            "part": pa.array(parts.tolist()).dictionary_encode(),
        },
    )
    return table.cast(SCHEMA)


def check_same_data(record: DataRecord, folder: Path, *, begun: str, prefix: str = "") -> bool:
    """Compares the images with those that a folder's run or training began with.

    Args:
        begun: what was begun, for the message ("search", "training").
        prefix: OF_TEST for the test images.

    Returns:
        False if the folder has no record, as those of earlier versions.

    Raises:
        ConfigError: they differ, naming what changed; or the record is damaged.
    """
    before = read_facts(folder, prefix=prefix)
    if before is None:
        return False
    now = record.facts
    if (before.digest, before.split_digest) == (now.digest, now.split_digest):
        return True
    changes = [
        *_changes_of_classes(before, now),
        *_changes_of_images(folder / f"{prefix}{IMAGES_FILE}", before, record),
    ]
    if not changes:
        changes = ["the images are in another order, or split otherwise"]
    raise ConfigError(
        f"{folder}: the {'test images' if prefix else 'images'} are not those that this {begun} began with:\n"
        + "\n".join(f"  {change}" for change in changes)
        + f"\nPut them back as they were ({before.source} then), or begin anew with another --run"
    )


def note_of_pixels(record: DataRecord, folder: Path, *, begun: str) -> list[str]:
    """A sentence where the same pictures were made into pixels by something else when it was begun.

    The arguments are those of `check_same_data`.
    """
    before, now = read_facts(folder), record.facts.pixels_by
    if before is None or not before.pixels_by or before.pixels_by == now:
        return []
    return [f"pictures are decoded by {now}; when this {begun} began, by {before.pixels_by}"]


def read_facts(folder: Path, *, prefix: str = "") -> DataFacts | None:
    """The recorded facts; None where nothing was recorded.

    Raises:
        ConfigError: they do not read.
    """
    return read_record(
        folder / f"{prefix}{DATA_FILE}",
        _facts_of,
        if_damaged="what the images were is not known any more; take it from a copy",
    )


def has_several_labels(folder: Path) -> bool:
    """True where a recorded image has more than one label; False where nothing is recorded, or reads."""
    try:
        with parquet_refused():
            labels = pq.read_table(folder / IMAGES_FILE, columns=["labels"])["labels"]
    except (UnreadableParquetError, FileNotFoundError):
        return False
    return (pc.max(pc.list_value_length(labels)).as_py() or 0) > 1


def _facts_of(record: dict[str, Any]) -> DataFacts:
    lists = {name: tuple(value) for name, value in record.items() if isinstance(value, list)}
    return DataFacts(**{**record, **lists})


def record_faults(folder: Path) -> Iterator[str]:
    """Faults of the two files, if they are there: not as they were written, or not of the same images."""
    try:
        facts = read_facts(folder)
    except ConfigError:
        yield f"{DATA_FILE}: does not read"
        return
    if facts is None:
        return
    try:
        with parquet_refused():
            table = pq.read_table(folder / IMAGES_FILE, page_checksum_verification=True).cast(SCHEMA)
    except (UnreadableParquetError, FileNotFoundError):
        yield f"{IMAGES_FILE}: does not read"
        return
    labels = table["labels"].combine_chunks()
    digest = data_digest(
        facts.classes,
        table["digest"].to_numpy(),
        pc.list_value_length(labels).to_numpy(),
        pc.list_flatten(labels).to_numpy(),
    )
    parts = np.array(table["part"].to_pylist())
    split = _digest(np.flatnonzero(parts == "train"), np.flatnonzero(parts == "minival"))
    if (digest, split) != (facts.digest, facts.split_digest):
        yield f"{IMAGES_FILE}: its images are not those whose digest is in {DATA_FILE}"


def _changes_of_classes(before: DataFacts, now: DataFacts) -> Iterator[str]:
    if before.classes == now.classes:
        return
    gone = [name for name in before.classes if name not in now.classes]
    come = [name for name in now.classes if name not in before.classes]
    if not gone and not come:
        yield f"the classes are in another order: {some(before.classes)} then, {some(now.classes)} now"
    if gone:
        yield f"no longer classes: {some(gone)}"
    if come:
        yield f"new classes: {some(come)}"


def _changes_of_images(path: Path, before: DataFacts, record: DataRecord) -> Iterator[str]:
    """Images that were added, removed, replaced or labelled otherwise, by name."""
    try:
        with parquet_refused():
            then = _by_name(pq.read_table(path, page_checksum_verification=True), before.classes)
    except (UnreadableParquetError, FileNotFoundError):
        yield f"which ones is not known: {path.name} does not read"
        return
    now = _by_name(record.images, record.facts.classes)
    both = then.keys() & now.keys()
    kinds: list[tuple[str, Callable[[], list[str]]]] = [
        ("added", lambda: sorted(now.keys() - then.keys())),
        ("removed", lambda: sorted(then.keys() - now.keys())),
        ("replaced", lambda: sorted(name for name in both if then[name][0] != now[name][0])),
        ("labelled otherwise", lambda: sorted(name for name in both if then[name][1] != now[name][1])),
    ]
    for what, names_of in kinds:
        if names := names_of():
            yield f"{len(names):,} {'image' if len(names) == 1 else 'images'} {what}: {some(names)}"


def _by_name(table: pa.Table, classes: tuple[str, ...]) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Digest and names of the labels of each image."""
    rows = zip(*(table[name].to_pylist() for name in ("name", "digest", "labels")), strict=True)
    return {name: (digest, tuple(classes[label] for label in labels)) for name, digest, labels in rows}


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(len(array).to_bytes(8, "little") + np.ascontiguousarray(array, "<i8").tobytes())
    return digest.hexdigest()
