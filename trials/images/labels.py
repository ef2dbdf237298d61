"""Labels of images: one class or several for each, their names, and the strata that splits go by.

Labels are int64 (N,), or (N, L) where an image may have several: then padded with -1, L being the most labels
of an image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

PADDING = -1
REST = -1  # the stratum of labels that stand alone


@dataclass(frozen=True)
class LabelColumn:
    """One file's labels, as it has them: numbers, names, or lists of numbers."""

    file: str
    values: pa.ChunkedArray

    @property
    def has_names(self) -> bool:
        """Whether labels are text."""
        kind = self.values.type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        return pa.types.is_string(kind) or pa.types.is_large_string(kind)

    @property
    def has_lists(self) -> bool:
        """Whether an image may have several labels, as whole numbers."""
        kind = self.values.type
        is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
        return bool(is_list and pa.types.is_integer(kind.value_type))

    @property
    def has_numbers(self) -> bool:
        """Whether labels are whole numbers."""
        return bool(pa.types.is_integer(self.values.type))

    def check(self) -> None:
        """Refuses what are no labels.

        Raises:
            ValueError: another type, missing or negative labels; with file and row.
        """
        if not (self.has_names or self.has_lists or self.has_numbers):
            raise ValueError(
                f"{self.file}: the column of labels is {self.values.type}; whole numbers from 0, names, or "
                "lists of whole numbers expected"
            )
        if self.values.null_count:
            raise ValueError(
                f"{self.file}: {self.values.null_count} rows have no label; remove them or label them"
            )

    def names(self) -> np.ndarray:
        """Names as text, (N,).

        Raises:
            ValueError: an empty one.
        """
        names = np.asarray(self.values.cast(pa.string()).to_pylist(), dtype=object)
        if len(names) and (names == "").any():
            raise ValueError(f"{self.file}, row {int(np.argmax(names == ''))}: the label is empty text")
        return names

    def numbers(self) -> np.ndarray:
        """(N,) or, of lists, (N, L) padded.

        Raises:
            ValueError: a negative number, an empty list, or one number twice in a list.
        """
        if self.has_lists:
            return self._padded()
        labels = self.values.to_numpy().astype(np.int64)
        if len(labels) and labels.min() < 0:
            row = int(np.argmax(labels < 0))
            raise ValueError(f"{self.file}, row {row}: the label is {labels[row]}; labels count from 0")
        return labels

    def _padded(self) -> np.ndarray:
        lengths = pc.list_value_length(self.values).to_numpy().astype(np.int64)
        if len(lengths) and lengths.min() == 0:
            raise ValueError(f"{self.file}, row {int(np.argmin(lengths))}: the list of labels is empty")
        flat = pc.list_flatten(self.values)
        rows = np.repeat(np.arange(len(lengths)), lengths)
        numbers = flat.to_numpy() if not flat.null_count else flat.fill_null(PADDING).to_numpy()
        if len(numbers) and numbers.min() < 0:
            at = int(np.argmax(numbers < 0))
            raise ValueError(f"{self.file}, row {rows[at]}: a label is {numbers[at]}; labels count from 0")
        places = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        padded = np.full((len(lengths), int(lengths.max(initial=1))), PADDING, np.int64)
        padded[rows, places] = numbers
        ordered = np.sort(padded, axis=1)
        twice = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PADDING)).any(axis=1)
        if twice.any():
            raise ValueError(f"{self.file}, row {int(np.argmax(twice))}: a label stands twice in its list")
        return padded


def joined(
    columns: Sequence[LabelColumn], *, named: Sequence[str] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The labels of all files, and the classes' names; `named` are those that the files' metadata gives.

    Classes of names are the names in order; of numbers without metadata the numbers themselves.

    Raises:
        ValueError: files that differ in kind, a label without a name, fewer than two classes.
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
        return checked(labels.astype(np.int64), tuple(map(str, present)), columns[0].file)
    labels = _stacked([column.numbers() for column in columns])
    if not labels.size:
        return labels, ()
    largest = int(labels.max())
    if named is not None and largest >= len(named):
        raise ValueError(
            f"{columns[0].file}: label {largest}, but its metadata names only {len(named)} classes"
        )
    classes = tuple(map(str, named if named is not None else range(largest + 1)))
    return checked(labels, classes, columns[0].file)


def checked(labels: np.ndarray, classes: tuple[str, ...], source: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """The same.

    Raises:
        ValueError: fewer than two classes occur.
    """
    present = np.unique(labels[labels != PADDING])
    if len(labels) and len(present) < 2:
        raise ValueError(
            f"{source}: all images have the label {classes[present[0]]}; at least two classes are needed"
        )
    return labels, classes


def strata(labels: np.ndarray) -> np.ndarray:
    """(N,) what splits are stratified by: the label, or of several the rarest.

    Where images have several labels, those whose rarest one no other image shares form one stratum.
    """
    if labels.ndim == 1:
        return labels
    counts = np.bincount(labels[labels != PADDING])
    rarity = np.where(labels == PADDING, np.iinfo(np.int64).max, counts[labels])
    rarest = labels[np.arange(len(labels)), rarity.argmin(axis=1)]
    present, sizes = np.unique(rarest, return_counts=True)
    alone = present[sizes < 2]
    if len(alone) == 1:  # a stratum of one image cannot be split
        return np.where(rarest == alone[0], present[sizes.argmax()], rarest)
    return np.where(np.isin(rarest, alone), REST, rarest)


def _stacked(parts: Sequence[np.ndarray]) -> np.ndarray:
    if parts[0].ndim == 1:
        return np.concatenate(parts)
    width = max(part.shape[1] for part in parts)
    return np.concatenate(
        [np.pad(part, ((0, 0), (0, width - part.shape[1])), constant_values=PADDING) for part in parts]
    )
