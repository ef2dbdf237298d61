"""Labels of images, one or several for each; the names of their classes; strata for splitting.

Labels are int64 (N,), or (N, L) where images may have several, L being the largest number of labels of an
image; shorter rows are padded with -1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

PADDING = -1
REST = -1  # the common stratum of images whose own stratum would have no other image


@dataclass(frozen=True)
class LabelColumn:
    """The label column of one file, in the file's own form: numbers, names, or lists of numbers."""

    file: str
    values: pa.ChunkedArray

    @property
    def has_names(self) -> bool:
        """True if labels are text."""
        kind = self.values.type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        return pa.types.is_string(kind) or pa.types.is_large_string(kind)

    @property
    def has_lists(self) -> bool:
        """True if labels are lists of whole numbers, several for an image."""
        kind = self.values.type
        is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
        return bool(is_list and pa.types.is_integer(kind.value_type))

    @property
    def has_numbers(self) -> bool:
        """True if labels are whole numbers, one for each image."""
        return bool(pa.types.is_integer(self.values.type))

    def check(self) -> None:
        """Checks that the column can hold labels.

        Raises:
            ValueError: it has another type, or images without a label; the message names the file.
        """
        if not (self.has_names or self.has_lists or self.has_numbers):
            raise ValueError(
                f"{self.file}: the column of labels is {self.values.type}; whole numbers from 0, names, or "
                "lists of whole numbers expected"
            )
        if self.values.null_count:
            raise ValueError(
                f"{self.file}: rows without a label: {self.values.null_count:,}; remove them or label them"
            )

    def names(self) -> np.ndarray:
        """The labels as text, (N,).

        Raises:
            ValueError: a label is empty.
        """
        names = np.asarray(self.values.cast(pa.string()).to_pylist(), dtype=object)
        if len(names) and (names == "").any():
            raise ValueError(
                f"{self.file}, row {int(np.argmax(names == ''))}: the label is empty text; write its class"
            )
        return names

    def numbers(self) -> np.ndarray:
        """The labels as int64 (N,), or (N, L) padded where they are lists.

        Raises:
            ValueError: a label is negative, a list is empty or has a label twice.
        """
        if self.has_lists:
            return self._padded()
        labels = self.values.to_numpy().astype(np.int64)
        if len(labels) and labels.min() < 0:
            row = int(np.argmax(labels < 0))
            raise ValueError(f"{self.file}, row {row}: the label is {labels[row]}; labels count from 0")
        return labels

    def _padded(self) -> np.ndarray:
        """Lists of numbers as (N, L) int64, computed on whole columns: there may be millions of rows."""
        lengths = pc.list_value_length(self.values).to_numpy().astype(np.int64)
        if len(lengths) and lengths.min() == 0:
            row = int(np.argmin(lengths))
            raise ValueError(
                f"{self.file}, row {row}: the list of labels is empty; remove the row, or label it"
            )
        # All lists in one column, and for each entry the row that it belongs to.
        flat = pc.list_flatten(self.values)
        rows = np.repeat(np.arange(len(lengths)), lengths)
        numbers = flat.to_numpy() if not flat.null_count else flat.fill_null(PADDING).to_numpy()
        if len(numbers) and numbers.min() < 0:
            at = int(np.argmax(numbers < 0))
            raise ValueError(f"{self.file}, row {rows[at]}: a label is {numbers[at]}; labels count from 0")
        # Scatter the entries into the padded array: `places` is each entry's position within its own list.
        places = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        padded = np.full((len(lengths), int(lengths.max(initial=1))), PADDING, np.int64)
        padded[rows, places] = numbers
        # A label that occurs twice in a list has an equal neighbour once the row is sorted.
        ordered = np.sort(padded, axis=1)
        twice = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PADDING)).any(axis=1)
        if twice.any():
            raise ValueError(
                f"{self.file}, row {int(np.argmax(twice))}: a label stands twice in its list; leave one out"
            )
        return padded


def joined(
    columns: Sequence[LabelColumn], *, named: Sequence[str] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The labels of all files as numbers, and the names of the classes.

    Names as labels are numbered in alphabetical order. Numbers get the names of `named`, which the first
    file's metadata gives, or else the numbers themselves.

    Raises:
        ValueError: the files' labels differ in kind, a label has no name, or fewer than two classes occur.
    """
    for column in columns:
        column.check()
    kinds = {(column.has_names, column.has_lists) for column in columns}
    if len(kinds) > 1:
        files = [
            next(c.file for c in columns if (c.has_names, c.has_lists) == kind) for kind in sorted(kinds)
        ]
        raise ValueError(f"{files[0]} and {files[1]} have labels of different kinds; give all files one kind")
    if columns[0].has_names:
        names = np.concatenate([column.names() for column in columns])
        present, labels = np.unique(names.astype(str), return_inverse=True)
        return with_two_classes(labels.astype(np.int64), tuple(map(str, present)), columns[0].file)
    labels = _stacked([column.numbers() for column in columns])
    if not labels.size:
        return labels, ()
    largest = int(labels.max())
    if named is not None and largest >= len(named):
        raise ValueError(
            f"{columns[0].file}: label {largest}, but its metadata names only {len(named)} classes, from 0; "
            "name the others there, too"
        )
    classes = tuple(map(str, named if named is not None else range(largest + 1)))
    return with_two_classes(labels, classes, columns[0].file)


def with_two_classes(
    labels: np.ndarray, classes: tuple[str, ...], source: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns labels and classes unchanged, after checking that at least two classes occur.

    Raises:
        ValueError: all images have one label.
    """
    present = np.unique(labels[labels != PADDING])
    if len(labels) and len(present) < 2:
        raise ValueError(
            f"{source}: all images have the label {classes[present[0]]}; at least two classes are needed"
        )
    return labels, classes


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


def _stacked(parts: Sequence[np.ndarray]) -> np.ndarray:
    if parts[0].ndim == 1:
        return np.concatenate(parts)
    width = max(part.shape[1] for part in parts)
    return np.concatenate(
        [np.pad(part, ((0, 0), (0, width - part.shape[1])), constant_values=PADDING) for part in parts]
    )
