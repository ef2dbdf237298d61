"""Sources of encoded images with one interface: Parquet files, image folders and the built-in digits."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from search_spaces.settings.json_text import json_value
from search_spaces.settings.sentences import first_line
from trials.images.class_folders import check_every_folder
from trials.images.decode import KINDS_READ, SUFFIXES
from trials.images.label_columns import RawColumn
from trials.images.labels import joined, similar_names
from trials.images.listing import PARQUET_SUFFIX, Listing, SourceFile, list_files
from trials.images.source_splits import deeper_classes, parquet_files, root_of_classes
from trials.images.splits import stratified
from trials.log.parquet_errors import UnreadableParquetError, parquet_refused

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels")
DIGITS = "digits"
BATCH = 512  # Parquet rows read at once
# An encoded picture, a function that reads one when it is needed, or pixels (H, W, 3) uint8.
Encoded = bytes | Callable[[], bytes] | np.ndarray


class Source(Protocol):
    """A source of images.

    `labels` are (N,) or (N, L), see `trials.images.labels`; `identity` holds JSON values that change when an
    image does. It may also have `notes`, sentences for the user about what was read, `name_of(position)`, and
    `deeper`, the advice to give another folder where it is of one class.
    """

    labels: np.ndarray
    classes: tuple[str, ...]
    identity: list[Any]

    def read(self, positions: np.ndarray) -> Iterator[tuple[str, Encoded]]:
        """(name, encoded picture) at each of these ascending positions."""


def source_words(source: str) -> str:
    """A source as screens name it: as it was given, a folder here with a /, so that `train` is no split."""
    is_folder = source not in SOURCES and os.path.isdir(os.path.expanduser(source))
    return f"{source.rstrip('/')}/" if is_folder else source


def open_source(source: str, *, only_evaluated: bool = False) -> Source:
    """Opens a source: a name in SOURCES, Parquet files, or a folder of class folders, on any file system.

    Of several splits the train split is read; images that are `only_evaluated` must be of one.

    Raises:
        ValueError: the source cannot be read or has the wrong form; the message says where and what to do.
    """
    if source in SOURCES:
        return SOURCES[source]()
    listing = list_files(source)
    pictures = [file for file in listing.files if file.suffix in SUFFIXES]
    parquet = [file for file in listing.files if file.suffix == PARQUET_SUFFIX]
    if pictures and not listing.is_folder:
        raise ValueError(f"{source}: names pictures; name the folder that holds their class folders")
    if not listing.is_folder:
        return ParquetImages(listing, *parquet_files(listing, listing.files, only_evaluated=only_evaluated))
    if parquet:
        files, notes = parquet_files(listing, parquet, only_evaluated=only_evaluated)
        if pictures:
            are = "picture is" if len(pictures) == 1 else "pictures are"
            notes.append(f"beside the Parquet files {len(pictures):,} {are} left out")
        return ParquetImages(listing, files, notes)
    if pictures:
        return FolderImages(listing, pictures, only_evaluated=only_evaluated)
    raise ValueError(f"{source}: no .parquet file and no picture ({KINDS_READ}) in this folder")


# ---------------------------------------------------------------------- Parquet


class ParquetImages:
    """Images in Parquet files of the Hugging Face layout, with a column of pictures and one of labels."""

    def __init__(self, listing: Listing, files: Sequence[SourceFile], notes: Sequence[str] = ()) -> None:
        self._listing, self._files = listing, files
        columns = []
        for file in files:
            with _Parquet(listing, file) as parquet:
                columns.append(parquet.labels())
        self._rows = [len(column.values) for column in columns]
        labels = joined(columns)
        of_columns = next((column.notes for column in columns if column.notes), ())
        self.labels, self.classes = labels.values, labels.classes
        self.notes = (*notes, *of_columns, *labels.notes)
        self.identity = listing.identity(files)

    def read(self, positions: np.ndarray) -> Iterator[tuple[str, Encoded]]:
        """Reads the files in order and opens only those that hold wanted positions."""
        ends = np.cumsum(self._rows)
        for file, start, end in zip(self._files, ends - self._rows, ends, strict=True):
            wanted = positions[(positions >= start) & (positions < end)] - start
            if len(wanted):
                with _Parquet(self._listing, file) as parquet:
                    yield from parquet.read(wanted)

    def name_of(self, position: int) -> str:
        """The file's name, and the row in it."""
        ends = np.cumsum(self._rows)
        file = int(np.searchsorted(ends, position, side="right"))
        return row_name(self._files[file], position - int(ends[file]) + self._rows[file])


def row_name(file: SourceFile, row: int) -> str:
    """The name of an image in a Parquet file."""
    return f"{file.relative}, row {row}"


class _Parquet:
    """One open Parquet file."""

    def __init__(self, listing: Listing, file: SourceFile) -> None:
        self._file = file
        self.path = file.path
        with self._refused():
            self._opened = listing.filesystem.open(file.path, "rb")
            self._parquet = pq.ParquetFile(self._opened, page_checksum_verification=True)
            self._schema = self._parquet.schema_arrow

    @contextmanager
    def _refused(self) -> Iterator[None]:
        """Turns what Arrow raises of damaged files into a ValueError that names this one."""
        try:
            with parquet_refused():
                yield
        except (UnreadableParquetError, FileNotFoundError) as error:
            kinds = "images come as Parquet files, or as folders of pictures for each class"
            hint = "" if self._file.suffix == PARQUET_SUFFIX else f"; {kinds}"
            raise ValueError(f"{self.path}: not a readable Parquet file: {first_line(error)}{hint}") from None

    def __enter__(self) -> "_Parquet":
        return self

    def __exit__(self, *exception: object) -> None:
        self._parquet.close()
        self._opened.close()

    def labels(self) -> RawColumn:
        """The column of labels, with the names of its classes.

        Raises:
            ValueError: the file has no labels, or no images.
        """
        read = (self._image_column(), self._label_name())  # raises where there are none
        others = [name for name in self._schema.names if name in (*IMAGE_COLUMNS, *LABEL_COLUMNS)]
        others = [name for name in others if name not in read]
        notes = (f"{self.path}: {' and '.join(read)} are read; left out is {', '.join(others)}",)
        with self._refused():
            values = self._parquet.read(columns=[read[1]]).column(read[1])
        return RawColumn(self.path, values, self._class_names(), notes if others else ())

    def read(self, rows: np.ndarray) -> Iterator[tuple[str, Encoded]]:
        """(name, encoded picture) of these ascending rows, in batches of bounded memory."""
        column = self._image_column()
        position = 0
        with self._refused():
            batches = self._parquet.iter_batches(batch_size=BATCH, columns=[column])
        while True:
            with self._refused():
                batch = next(batches, None)
                if batch is None:
                    return
                here = rows[(rows >= position) & (rows < position + len(batch))] - position
                values = batch.column(0)
                values = values.field("bytes") if pa.types.is_struct(values.type) else values
                # Views cannot be taken from.
                pictures = values.cast(pa.large_binary()).take(pa.array(here, pa.int64())).to_pylist()
            for row, data in zip(here.tolist(), pictures, strict=True):
                yield row_name(self._file, position + row), data or b""
            position += len(batch)

    def _class_names(self) -> tuple[str, ...] | None:
        """Names of numbered classes from the file's metadata; None where it has none.

        They stand under `class_names`, or where the Hugging Face library writes them.

        Raises:
            ValueError: names are there, and are no list of texts.
        """
        metadata = self._schema.metadata or {}
        key = "class_names" if b"class_names" in metadata else "huggingface"
        try:
            names = json_value(metadata[key.encode()])
            if key == "huggingface":
                names = _feature_names(names["info"]["features"][self._label_name()])
        except (ValueError, KeyError, TypeError, IndexError):
            if key == "huggingface":  # another library's, which may say anything
                return None
            names = {}
        if names is None or names == []:
            return None
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            raise ValueError(
                f"{self.path}: the names of classes in its metadata ({key}) are no list of texts; write them "
                'as in ["cat", "dog"]'
            )
        return tuple(names)

    def _only(self, name: str) -> str:
        """A column's name, which no other column has.

        Raises:
            ValueError: another one has it.
        """
        if self._schema.names.count(name) > 1:
            raise ValueError(f"{self.path}: several columns are called {name}; rename all but one")
        return name

    def _label_name(self) -> str:
        for name in LABEL_COLUMNS:
            if name in self._schema.names:
                return self._only(name)
        raise ValueError(
            f"{self.path}: no column {' or '.join(LABEL_COLUMNS)} with the classes; it has "
            f"{', '.join(self._schema.names)}"
        )

    def _image_column(self) -> str:
        for name in IMAGE_COLUMNS:
            if name in self._schema.names:
                kind = self._schema.field(self._only(name)).type
                if pa.types.is_struct(kind) and "bytes" in [field.name for field in kind]:
                    return name
                if (
                    pa.types.is_binary(kind)
                    or pa.types.is_large_binary(kind)
                    or pa.types.is_binary_view(kind)
                ):
                    return name
                raise ValueError(
                    f"{self.path}: the column {name} is {kind}; encoded bytes or a struct with bytes expected"
                )
        raise ValueError(
            f"{self.path}: no column {' or '.join(IMAGE_COLUMNS)} with images; it has "
            f"{', '.join(self._schema.names)}"
        )


def _feature_names(feature: Any) -> Any:
    """Names in a feature as the Hugging Face library writes it: of a class label, or of a list of these."""
    if isinstance(feature, list):  # an older form of a list
        feature = feature[0]
    return (
        feature.get("names")
        if "names" in feature or "feature" not in feature
        else _feature_names(feature["feature"])
    )


# ---------------------------------------------------------------------- folders


class FolderImages:
    """Images in FOLDER/CLASS/…/picture or FOLDER/train/CLASS/…/picture; classes in alphabetical order.

    Hidden files are ignored; other files that are no pictures are counted in a note. A folder whose pictures
    are all of a kind that is not read is refused: its class would vanish.
    """

    def __init__(
        self, listing: Listing, pictures: Sequence[SourceFile], *, only_evaluated: bool = False
    ) -> None:
        root = root_of_classes(listing, pictures, only_evaluated=only_evaluated)
        depth = 1 if root else 0
        inside = [file for file in pictures if not root or file.relative.startswith(f"{root}/")]
        names = [parts[depth] if len(parts := file.parts) > depth + 1 else "" for file in inside]
        if loose := [file.relative for file, name in zip(inside, names, strict=True) if not name]:
            more = f" and {len(loose) - 1:,} more pictures lie" if len(loose) > 1 else " lies"
            raise ValueError(
                f"{listing.source}: {loose[0]}{more} in no class folder; expected FOLDER/CLASS/picture"
            )
        self._listing, self._files = listing, inside
        self.classes = tuple(sorted(set(names)))
        self.deeper = deeper_classes(listing.source, inside, depth=depth)
        numbers = {name: i for i, name in enumerate(self.classes)}
        self.labels = np.fromiter((numbers[name] for name in names), np.int64, len(names))
        self.notes = (*check_every_folder(listing, root, self.classes), *similar_names(self.classes))
        self.identity = listing.identity(inside)

    def read(self, positions: np.ndarray) -> Iterator[tuple[str, Encoded]]:
        """(name, function that reads the file); several files can so be read at once by those who decode."""
        for position in positions.tolist():
            yield self._files[position].relative, _FileReader(self._listing, self._files[position])

    def name_of(self, position: int) -> str:
        """The file's path below the source."""
        return self._files[position].relative


@dataclass(frozen=True)
class _FileReader:
    """Reads one file when it is called; a picklable closure."""

    listing: Listing
    file: SourceFile

    def __call__(self) -> bytes:
        return self.listing.read(self.file)


# ---------------------------------------------------------------------- digits

DIGITS_TEST_SHARE = 0.2
_TEST = 2  # stream of randomness of the digits' test split; `splits` has the others


class Digits:
    """scikit-learn's 8 x 8 digits without a fifth, which is held out as their test split."""

    def __init__(self) -> None:
        self._pixels, self.labels = _digits()
        self.classes = tuple(str(i) for i in range(10))
        self.identity: list[Any] = [DIGITS]
        other = f"{DIGITS} are those of scikit-learn; what is called so here is ./{DIGITS}"
        self.notes: tuple[str, ...] = (other,) if os.path.exists(DIGITS) else ()

    def read(self, positions: np.ndarray) -> Iterator[tuple[str, Encoded]]:
        """(name, pixels (8, 8, 3) uint8) at each position."""
        yield from ((self.name_of(i), self._pixels[i]) for i in positions.tolist())

    def name_of(self, position: int) -> str:
        """The digit's number in the set."""
        return f"digit {position}"


@lru_cache(maxsize=1)
def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 8, 8, 3) uint8, scaled to 0-255, and labels (N,) int64, without the test split."""
    rows = _digit_rows()
    labels = rows[:, -1].astype(np.int64)
    test = stratified(labels, round(DIGITS_TEST_SHARE * len(labels)), np.random.default_rng([0, _TEST]))
    rest = np.setdiff1d(np.arange(len(labels)), test)
    grey = np.clip(rows[rest, :-1].reshape(-1, 8, 8) * 16, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=3), labels[rest]


def _digit_rows() -> np.ndarray:
    """scikit-learn's digits: 64 pixels (0-16) and the label of each, (N, 65).

    From its file, for loading scikit-learn takes each worker as long as loading torch; through
    scikit-learn where the file lies elsewhere.
    """
    found = find_spec("sklearn")
    for folder in (found.submodule_search_locations or ()) if found else ():
        if os.path.exists(path := os.path.join(folder, "datasets", "data", "digits.csv.gz")):
            return np.loadtxt(path, delimiter=",")
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return np.column_stack([bunch.data, bunch.target])


SOURCES: dict[str, Callable[[], Source]] = {DIGITS: Digits}  # sources that have a name and need no file
