"""Runs as pandas frames of typed and documented columns."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from search_spaces.settings.sentences import first_line
from trials.log.file_names import view_of
from trials.log.object_store import GLOB
from trials.log.parquet_errors import parquet_refused
from trials.log.run_places import folders_like, is_in_store, object_at, place_of
from trials.log.schema import EPOCH_COLUMNS, TRIAL_COLUMNS, Column, schema_of
from trials.log.views import damaged_view
from trials.objective import ACCURACY, CURVES, Objective, in_words

RUN = Column("run", pa.string(), "name of the run's folder")
COLUMNS = {"trials": (RUN, *TRIAL_COLUMNS), "epochs": (RUN, *EPOCH_COLUMNS)}
PANDAS_TYPES = {"int64": pd.Int64Dtype(), "int16": pd.Int16Dtype(), "bool": pd.BooleanDtype()}
LARGE = 16 << 20  # bytes; several threads read a larger file


def read_trials(run: str | Path, *, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per finished trial, also while the search goes on; `columns` reads fewer.

    `run` is a run directory, its URL (`s3://bucket/run`, or one that fsspec opens), or a pattern of several
    (`runs/*`, `s3://bucket/runs/*`). Missing integers are NA, missing floats NaN; `attrs["units"]` has the
    units, and `describe_columns` all of it.

    Raises:
        FileNotFoundError: the folder is no run, or has no finished trial; no folder fits the pattern.
        OSError: the object store does not answer, or refuses.
        ValueError: a file is damaged, or a column does not exist.
    """
    return _read(run, "trials", columns)


def read_epochs(run: str | Path, *, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per trial, attempt and epoch; arguments and errors as in `read_trials`."""
    return _read(run, "epochs", columns)


def describe_columns(kind: Literal["trials", "epochs"] = "trials") -> pd.DataFrame:
    """Type, unit and meaning of each column, by name."""
    rows = [(c.name, str(c.type), c.unit or _unit_of_name(c.name), c.meaning) for c in COLUMNS[kind]]
    return pd.DataFrame(rows, columns=["column", "type", "unit", "meaning"]).set_index("column")


def floats(trials: pd.DataFrame, name: str) -> np.ndarray:
    """A column as floats, NaN where it is missing."""
    return trials[name].to_numpy(dtype=np.float64, na_value=np.nan, copy=True)


def objective_values(trials: pd.DataFrame) -> np.ndarray:
    """The value of each row's objective, NaN where it is missing.

    `trials.objective.objective_of`, of whole columns at once.
    """
    values = floats(trials, ACCURACY)
    for name in objectives_in(trials):
        own = (trials["objective"] == name).to_numpy(dtype=bool, na_value=False)
        values[own] = floats(trials, name)[own]
    return values


def objectives_in(trials: pd.DataFrame) -> list[Objective]:
    """Names of the objectives other than accuracy that rows have."""
    if "objective" not in trials:
        return []
    found = set(trials["objective"].dropna())
    return [name for name in CURVES if name in found and name != ACCURACY]


def objective_words(trials: pd.DataFrame) -> str:
    """The name of the rows' objective in a sentence."""
    return " or ".join(map(in_words, objectives_in(trials))) or in_words(ACCURACY)


# ---------------------------------------------------------------------- reading


def _read(run: str | Path, kind: Literal["trials", "epochs"], columns: Sequence[str] | None) -> pd.DataFrame:
    wanted = _chosen(kind, columns)
    if is_in_store(run):
        is_pattern = GLOB.search(str(run)) is not None
        places = folders_like(run) if is_pattern else [place_of(run)]
        names = [f"{place}/{view_of(kind)}" for place in places]
        stored = [_table(data, name, wanted) for name in names if (data := object_at(name)) is not None]
        if not stored:
            raise _no_rows(run if is_pattern else places[0], kind)
        return _frame(pa.concat_tables(stored), wanted)
    # A driver may replace a file at any time, so each is read in one go.
    storage, path = fsspec.core.url_to_fs(str(run))
    if GLOB.search(path):
        files = sorted(storage.glob(f"{path.rstrip('/')}/{view_of(kind)}"))
    else:
        files = [f"{path.rstrip('/')}/{view_of(kind)}"]
        files = files if storage.isfile(files[0]) else []
    if not files:
        raise _no_rows(run, kind)
    tables = [_table(storage.cat_file(file), file, wanted) for file in files]
    return _frame(pa.concat_tables(tables), wanted)


def _no_rows(run: str | Path, kind: str) -> FileNotFoundError:
    return FileNotFoundError(f"{run}: no {view_of(kind)}; a run directory with a finished trial is expected")


def _chosen(kind: str, names: Sequence[str] | None) -> tuple[Column, ...]:
    known = {column.name: column for column in COLUMNS[kind]}
    if unknown := sorted(set(names or ()) - known.keys()):
        raise ValueError(f"there is no column {', '.join(unknown)}; columns are {', '.join(known)}")
    return tuple(known[name] for name in names) if names is not None else COLUMNS[kind]


def _table(data: bytes, file: str, columns: tuple[Column, ...]) -> pa.Table:
    """One file in our columns; columns that an older version lacks are null, `run` is the folder's name."""
    try:
        # A process was once seen to abort at its end: Arrow's threads still read through a Python file. So
        # Arrow reads from a buffer of its own, and small files without threads.
        with (
            parquet_refused(),
            pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as parquet,
        ):
            names = set(parquet.schema_arrow.names)
            wanted = [c.name for c in columns if c.name in names]
            table = parquet.read(columns=wanted, use_threads=len(data) > LARGE)
        found = []
        for column in columns:
            if column.name == RUN.name:
                found.append(pa.array([Path(file).parent.name] * table.num_rows, pa.string()))
            elif column.name in names:
                found.append(table[column.name].cast(column.type))
            else:
                found.append(pa.nulls(table.num_rows, column.type))
        return pa.table(found, schema=schema_of(columns))
    except (pa.ArrowException, ValueError) as error:
        raise ValueError(damaged_view(file, first_line(error))) from None


def _frame(table: pa.Table, columns: Sequence[Column]) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas(types_mapper=_pandas_type, split_blocks=True, self_destruct=True)
    units = {c.name: c.unit or _unit_of_name(c.name) for c in columns}
    frame.attrs["units"] = {name: unit for name, unit in units.items() if unit}
    return frame


def _pandas_type(kind: pa.DataType) -> Any:
    if pa.types.is_list(kind):
        return pd.ArrowDtype(kind)  # a million Python lists would take longer than all the rest
    if pa.types.is_string(kind):
        return pd.StringDtype("pyarrow")
    return PANDAS_TYPES.get(str(kind))


def _unit_of_name(name: str) -> str:
    if name.endswith("_ratio"):
        return "x reference"
    return "s" if name.endswith("_seconds") else ""
