"""Labels of images, one or several for each, as the files' columns give them; strata for splitting.

Labels are int64 (N,), or (N, L) where images may have several, L being the largest number of labels of an
image; shorter rows are padded with -1. Label i is the class with the name `classes[i]`.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search_spaces.settings.sentences import one_line, some
from trials.images.label_columns import LabelColumn, RawColumn, read_column

PADDING = -1
LARGEST = 2**31  # entries of the padded labels: 16 GiB
REST = -1  # the common stratum of images whose own stratum would have no other image


@dataclass(frozen=True)
class Labels:
    """The labels of a source's images, and the names of their classes."""

    values: np.ndarray  # (N,) or (N, L) int64
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()  # how they were read, where that might surprise


def joined(raw: Sequence[RawColumn]) -> Labels:
    """The labels of all files, mapped to the classes by each file's own names.

    | labels | classes |
    |---|---|
    | text | those that occur, in alphabetical order |
    | numbers, in files that name their classes | all that are named, in the order of the first file |
    | other numbers | those that occur, in ascending order |
    | lists of 0 and 1, all of one length | one for each place of the list, named like numbers |

    Raises:
        ValueError: a column cannot hold labels, or the files' labels do not go together; both are named.
    """
    columns = [column for column in map(read_column, raw) if len(column)]
    if not columns:
        return Labels(np.empty(0, np.int64), ())
    _check_same_kind(columns)
    if columns[0].is_text:
        return _by_name(columns)
    notes = []
    if columns[0].is_list and (width := _width_of_indicators(columns)):
        columns, is_one_hot = _from_indicators(columns, width)
        kind, read = ("one-hot", "one label") if is_one_hot else ("multi-hot", "several labels")
        notes.append(f"labels are {kind} lists of {width}: read as {read} of {width} classes for each image")
    if any(column.class_names for column in columns):
        labels = _by_own_names(columns)
    else:
        labels = _by_number(columns)
    return Labels(labels.values, labels.classes, (*notes, *labels.notes))


def _check_same_kind(columns: Sequence[LabelColumn]) -> None:
    first = columns[0]
    for column in columns:
        if (column.is_text, column.is_list) != (first.is_text, first.is_list):
            raise ValueError(
                f"{first.file} and {column.file} have labels of different kinds ({first.kind}, "
                f"{column.kind}); give all files one kind"
            )


# ---------------------------------------------------------------------- lists of 0 and 1


def _width_of_indicators(columns: Sequence[LabelColumn]) -> int:
    """The length of all lists if these are indicators, one 0 or 1 for each class; else 0.

    Lists of labels cannot look so: from a length of 3 on a label would stand twice.

    Raises:
        ValueError: the lists of two files have different lengths, or a file names another number of classes.
    """
    values = np.unique(np.concatenate([column.values for column in columns]))
    if not set(values.tolist()) <= {0, 1}:
        return 0
    widths = [np.unique(column.lengths) for column in columns if column.lengths is not None]
    if any(len(found) > 1 for found in widths) or widths[0][0] < 2:
        return 0
    width = int(widths[0][0])
    for column, found in zip(columns, widths, strict=True):
        if found[0] != width and max(found[0], width) > 2:
            raise ValueError(
                f"{columns[0].file} and {column.file} have lists of 0 and 1 of different lengths ({width}, "
                f"{found[0]}); give all files one place for each class"
            )
        if found[0] != width:
            return 0
        if column.class_names and len(column.class_names) != width:
            raise ValueError(
                f"{column.file}: labels are lists of {width} with 0 and 1, one place for each class, but its "
                f"metadata names {len(column.class_names):,} classes; give it a place, and a name, for each"
            )
    return width


def _from_indicators(columns: Sequence[LabelColumn], width: int) -> tuple[list[LabelColumn], bool]:
    """Columns of numbers, or of lists of numbers, from indicators; and whether each row has one 1."""
    hot = [column.values.reshape(-1, width).astype(bool) for column in columns]
    for column, rows in zip(columns, hot, strict=True):
        if not (some_label := rows.any(axis=1)).all():
            raise ValueError(
                f"{column.file}, row {int(np.argmin(some_label))}: its list holds no 1, so it has no label; "
                "leave such rows out, or give them a class of their own"
            )
    is_one_hot = all((rows.sum(axis=1) == 1).all() for rows in hot)
    return [
        LabelColumn(
            file=column.file,
            # The width of the lists says how many classes there are, also where some do not occur.
            class_names=column.class_names or tuple(map(str, range(width))),
            values=np.nonzero(rows)[1],
            lengths=None if is_one_hot else rows.sum(axis=1),
        )
        for column, rows in zip(columns, hot, strict=True)
    ], is_one_hot


# ---------------------------------------------------------------------- mapping to classes


def _by_name(columns: Sequence[LabelColumn]) -> Labels:
    """Labels that are text: the classes are those that occur."""
    classes, places = np.unique(np.concatenate([column.values for column in columns]), return_inverse=True)
    names = tuple(map(str, classes))
    return Labels(_shaped(columns, places.astype(np.int64)), names, tuple(similar_names(names)))


def _by_number(columns: Sequence[LabelColumn]) -> Labels:
    """Numbers that no file names: the classes are those that occur."""
    numbers, places = np.unique(np.concatenate([column.values for column in columns]), return_inverse=True)
    notes = []
    if int(numbers[-1]) != len(numbers) - 1:
        notes.append(
            f"labels are {len(numbers):,} numbers from {numbers[0]} to {numbers[-1]}: the classes are those "
            "that occur, each with its number as name"
        )
    return Labels(_shaped(columns, places.astype(np.int64)), tuple(map(str, numbers)), tuple(notes))


def _by_own_names(columns: Sequence[LabelColumn]) -> Labels:
    """Numbers, each of which is a class by the names that its own file gives."""
    place: dict[str, int] = {}
    notes, places = [], []
    for column in columns:
        names = column.class_names
        if names is None:
            named = next(other for other in columns if other.class_names)
            raise ValueError(
                f"{column.file}: its labels are numbers without names, and {named.file} names its classes; "
                "give all files their class names, or none"
            )
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"{column.file}: its metadata names the class {twice!r} twice")
        if (largest := int(column.values.max())) >= len(names):
            raise ValueError(
                f"{column.file}: label {largest}, but its metadata names only {len(names):,} classes, from "
                "0; name the others there, too"
            )
        if place and tuple(names) != columns[0].class_names:
            notes.append(f"{column.file} names other classes, or in another order, than {columns[0].file}")
        of_file = np.array([place.setdefault(name, len(place)) for name in names])
        places.append(of_file[column.values])
    if len(notes) > 1:
        notes = [f"{notes[0]}; so do {len(notes) - 1:,} more files"]
    notes = [f"{note}: each file's labels are read by its own names" for note in notes]
    classes, labels = tuple(place), np.concatenate(places)
    present = set(np.unique(labels).tolist())
    if len(present) < len(classes):
        missing = [name for i, name in enumerate(classes) if i not in present]
        notes.append(f"{len(present):,} of {len(classes):,} classes have images; none has {some(missing)}")
    return Labels(_shaped(columns, labels), classes, (*notes, *similar_names(classes)))


def similar_names(classes: Sequence[str]) -> list[str]:
    """A sentence about classes whose names look alike; none where there are none."""
    known: dict[str, str] = {}
    for name in classes:
        other = known.setdefault(" ".join(unicodedata.normalize("NFKC", name).casefold().split()), name)
        if other != name:
            is_form = unicodedata.normalize("NFKC", other) == unicodedata.normalize("NFKC", name)
            what = "the encoding of a letter (NFC, NFD)" if is_form else "case or spaces"
            return [f"the classes {other!r} and {name!r} are two, and their names differ in {what} alone"]
    return []


def _shaped(columns: Sequence[LabelColumn], flat: np.ndarray) -> np.ndarray:
    """Labels of all files one after the other, (N,); of lists as (N, L), padded.

    Raises:
        ValueError: a list holds a label twice, or is too long to pad all others to its length.
    """
    if columns[0].lengths is None:
        return flat
    lengths = np.concatenate([column.lengths for column in columns if column.lengths is not None])
    rows = np.repeat(np.arange(len(lengths)), lengths)
    # A label that occurs twice in a list has an equal neighbour once the entries of each list are sorted.
    order = np.lexsort((flat, rows))
    twice = (flat[order][1:] == flat[order][:-1]) & (rows[1:] == rows[:-1])
    if twice.any():
        where = _row_words(columns, int(rows[np.argmax(twice)]))
        raise ValueError(f"{where}: a label stands twice in its list; leave one out")
    longest = int(lengths.max())
    if len(lengths) * longest > LARGEST:
        where = _row_words(columns, int(np.argmax(lengths)))
        raise ValueError(
            f"{where}: its list has {longest:,} labels, too many to make room for as many in all "
            f"{len(lengths):,} rows; leave some out"
        )
    # Scatter the entries into the padded array: `places` is each entry's position within its own list.
    places = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    padded = np.full((len(lengths), longest), PADDING, np.int64)
    padded[rows, places] = flat
    return padded


def _row_words(columns: Sequence[LabelColumn], row: int) -> str:
    """The file and the row in it, of a row of all files."""
    for column in columns:
        if row < len(column):
            break
        row -= len(column)
    return f"{column.file}, row {row}"


# ---------------------------------------------------------------------- strata


def check_two_classes(labels: np.ndarray, classes: Sequence[str], source: str, *, advice: str = "") -> None:
    """Checks that there is something to learn; `advice` ends the message where all images are of one class.

    Raises:
        ValueError: there are no images, or all of them have one label.
    """
    present = np.unique(labels[labels != PADDING])
    if not len(present):
        raise ValueError(f"{source}: holds no images")
    if len(present) < 2:
        raise ValueError(
            f"{source}: all images have the label {one_line(classes[present[0]])}; at least two classes are "
            f"needed{advice}"
        )


def strata(labels: np.ndarray) -> np.ndarray:
    """The stratum of each image, (N,): its label, or the rarest of its labels.

    Where images have several labels, those whose rarest label no other image shares form one stratum, because
    a stratum of one image cannot be split.
    """
    if labels.ndim == 1:
        return labels
    counts = np.bincount(labels[labels != PADDING])
    rarity = np.where(labels == PADDING, np.iinfo(np.int64).max, counts[labels])
    rarest = labels[np.arange(len(labels)), rarity.argmin(axis=1)]
    present, sizes = np.unique(rarest, return_counts=True)
    alone = present[sizes < 2]
    if len(alone) == 1:  # a common stratum would have one image, too: it joins the largest one
        return np.where(rarest == alone[0], present[sizes.argmax()], rarest)
    return np.where(np.isin(rarest, alone), REST, rarest)


def images_of_classes(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Number of images of each class, (K,); one with several labels counts for each."""
    return np.bincount(labels[labels != PADDING], minlength=num_classes)
