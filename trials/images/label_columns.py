"""The label column of one Parquet file, of any Arrow type, as flat numpy values."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class RawColumn:
    """The label column of one file as Arrow has read it."""

    file: str
    values: pa.ChunkedArray
    class_names: tuple[str, ...] | None  # of numbered classes, from the file's metadata
    notes: tuple[str, ...] = ()  # about columns that might have been meant


@dataclass(frozen=True)
class LabelColumn:
    """The labels of one file: one for each row, or, with `lengths`, several."""

    file: str
    values: np.ndarray  # of all rows one after the other: int64, or text
    lengths: np.ndarray | None  # (rows,) how many labels each has; None: one
    class_names: tuple[str, ...] | None

    def __len__(self) -> int:
        return len(self.values if self.lengths is None else self.lengths)

    @property
    def is_text(self) -> bool:
        """True if labels are names."""
        return self.values.dtype.kind not in "iu"

    @property
    def is_list(self) -> bool:
        """True if rows have lists of labels."""
        return self.lengths is not None

    @property
    def kind(self) -> str:
        """The kind of labels in words."""
        one = "names" if self.is_text else "numbers"
        return f"lists of {one}" if self.is_list else one


def read_column(raw: RawColumn) -> LabelColumn:
    """The labels of a column: whole numbers (also as floats, or true and false), text, or lists of these.

    Raises:
        ValueError: it has another type, or a row has no label that can be used; the message says which.
    """
    values = _plain(raw.values)
    if values.null_count:
        raise ValueError(
            f"{raw.file}: rows without a label: {values.null_count:,}; remove them or label them"
        )
    if not pa.types.is_list(values.type):
        return LabelColumn(raw.file, _flat(raw, values, rows=None), None, raw.class_names)
    lengths = pc.list_value_length(values).to_numpy().astype(np.int64)
    if len(lengths) and lengths.min() == 0:
        raise ValueError(
            f"{raw.file}, row {int(np.argmin(lengths))}: the list of labels is empty; remove the row, or "
            "label it"
        )
    rows = np.repeat(np.arange(len(lengths)), lengths)
    return LabelColumn(raw.file, _flat(raw, pc.list_flatten(values), rows=rows), lengths, raw.class_names)


def _plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """The same values without dictionaries, and lists in the plain layout."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        values, kind = values.cast(kind.value_type), kind.value_type
    others = (
        pa.types.is_large_list,
        pa.types.is_fixed_size_list,
        pa.types.is_list_view,
        pa.types.is_large_list_view,
    )
    if any(is_other(kind) for is_other in others):
        values = values.cast(pa.list_(kind.value_type))
    return values


def _flat(raw: RawColumn, values: pa.ChunkedArray, *, rows: np.ndarray | None) -> np.ndarray:
    """Numbers as int64, or text; `rows`: the row of each value, where that is not its place."""

    def where(is_wrong: np.ndarray) -> str:
        at = int(np.argmax(is_wrong))
        return f"{raw.file}, row {at if rows is None else rows[at]}"

    kind = values.type
    if pa.types.is_dictionary(kind):
        values, kind = values.cast(kind.value_type), kind.value_type
    if values.null_count:
        raise ValueError(f"{where(values.is_null().to_numpy())}: an empty entry among its labels")
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        names = np.asarray(values.cast(pa.string()).to_pylist(), dtype=str)
        if (names == "").any():
            raise ValueError(f"{where(names == '')}: the label is empty text; write its class")
        return names
    if pa.types.is_boolean(kind):
        return values.to_numpy().astype(np.int64)
    if pa.types.is_integer(kind):
        numbers = values.to_numpy()
        if len(numbers) and int(numbers.max()) > np.iinfo(np.int64).max:
            raise ValueError(
                f"{where(numbers == numbers.max())}: the label {numbers.max()} is beyond 64 bits"
            )
    elif pa.types.is_floating(kind):
        floats = values.to_numpy().astype(np.float64)
        if (broken := ~(np.abs(floats) < 2**53) | (floats != np.floor(floats))).any():
            found = floats[int(np.argmax(broken))]
            raise ValueError(
                f"{where(broken)}: the label is {found:g}; whole numbers or names expected (soft labels are "
                "not read)"
            )
        numbers = floats
    else:
        raise ValueError(
            f"{raw.file}: the column of labels is {raw.values.type}; whole numbers, names, or lists of these "
            "expected"
        )
    if (numbers < 0).any():
        raise ValueError(
            f"{where(numbers < 0)}: the label is {numbers[numbers < 0][0]:g}; labels count from 0 (-1 often "
            "stands for an image without label: leave it out)"
        )
    return numbers.astype(np.int64)
