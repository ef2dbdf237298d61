"""The run directory: asks, epochs and trials as durable Parquet parts, and the views that people read."""

import hashlib
import json
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import pyarrow as pa
import pyarrow.parquet as pq

from search_spaces.yaml_io import ConfigError
from trials.driver_lock import DriverLock
from trials.durable_files import DurableFiles
from trials.log_schema import ASK_SCHEMA, EPOCH_SCHEMA, SCHEMA_VERSION, TRIAL_SCHEMA
from trials.trial import EpochResult

Kind = Literal["asks", "trials", "epochs"]
SCHEMAS: dict[Kind, pa.Schema] = {"asks": ASK_SCHEMA, "trials": TRIAL_SCHEMA, "epochs": EPOCH_SCHEMA}
FOLDERS = ("log/asks", "log/trials", "log/epochs", "log/quarantine", "environment")
BINARY_NAMES = ("warm_start.parquet",)
TEXT_NAMES = re.compile(r"(search\.yaml|best\.yaml|block_times\.json|environment/\d{4}(-workers)?\.json)")
DIGEST = b"values_sha256"  # in a part's metadata
PART_NAME = re.compile(r"t(\d{8})\.parquet")
SECONDS_BETWEEN_VIEWS = 2.0
# Of a row's fifty columns each would be compressed alone: ten times the time, and more bytes.
PART_OPTIONS: dict[str, Any] = {"compression": "none", "use_dictionary": False, "write_statistics": False}

Row = dict[str, Any]


class DamagedPartError(ValueError):
    """A part of the log does not read as it was written."""


class RunStore:
    """One run, held by one driver; use as a context manager.

    A row is durable when the method that records it returns. One counter orders asks and tells. Parts are
    written under a temporary name, synced and renamed, with page checksums that are verified on reading; a
    part that does not verify is moved to log/quarantine, and its trial is in flight again.

    Attributes:
        asks, trials: the recorded rows by trial id.
        quarantined: what was moved aside when this run was opened.
    """

    def __init__(self, folder: Path, *, files: DurableFiles | None = None) -> None:
        self.folder = folder
        self.asks: dict[int, Row] = {}
        self.trials: dict[int, Row] = {}
        self.quarantined: list[Path] = []
        self._epochs: dict[int, list[Row]] = {}
        self._files = files or DurableFiles()
        self._next_seq = 0
        self._viewed = 0.0
        self._stale = True
        self._lock = DriverLock(folder)

    @staticmethod
    def is_run(folder: Path) -> bool:
        """Whether a folder is a run directory."""
        return (folder / "log" / "asks").is_dir() and (folder / "search.yaml").is_file()

    # ------------------------------------------------------------------ opening

    def __enter__(self) -> Self:
        self._create()
        with ExitStack() as held:
            held.enter_context(self._lock)
            self._recover()
            held.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.__exit__(kind, error, trace)

    def _create(self) -> None:
        folder = self.folder
        try:
            if folder.exists() and not folder.is_dir():
                raise ConfigError(f"{folder}: this is a file; a run needs a folder of its own")
            foreign = folder.is_dir() and not (folder / "log").is_dir() and any(folder.iterdir())
            if foreign:
                raise ConfigError(f"{folder}: this folder holds something else; choose another --run")
            for name in FOLDERS:
                (folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{folder}: the run cannot be written here: {error.strerror}") from error

    def _recover(self) -> None:
        """Sweeps what a killed driver left half-written, reads every part, and moves damaged ones aside."""
        for name in ("log/asks", "log/trials", "log/epochs", "environment", "."):
            for path in self._files.list(self.folder / name):
                if path.name.startswith(".") and path.name.endswith(".tmp"):
                    self._files.remove(path)
        for row in self._read_parts("trials"):
            self.trials[row["trial_id"]] = row
        for row in self._read_parts("asks"):
            self.asks[row["trial_id"]] = row
        for trial_id, row in self.trials.items():
            # A trial's row repeats its ask's columns, so a lost ask is not lost.
            if trial_id not in self.asks:
                self.asks[trial_id] = {name: row[name] for name in ASK_SCHEMA.names}
                self._write_part("asks", trial_id, [self.asks[trial_id]])
        for row in self._read_parts("epochs"):
            self._epochs.setdefault(row["trial_id"], []).append(row)
        seqs = [row["ask_seq"] for row in self.asks.values()] + [
            row["tell_seq"] for row in self.trials.values()
        ]
        self._next_seq = max(seqs, default=-1) + 1

    def _read_parts(self, kind: Kind) -> Iterable[Row]:
        for path in self._files.list(self.folder / "log" / kind):
            if not PART_NAME.fullmatch(path.name):
                continue
            try:
                rows = sealed_rows(self._files.read(path), SCHEMAS[kind])
                trial_id = int(path.name[1:9])
                if not rows or any(row["trial_id"] != trial_id for row in rows):
                    raise DamagedPartError("its rows are not those of its name")
            except DamagedPartError:
                target = self.folder / "log" / "quarantine" / f"{kind}-{time.time_ns()}-{path.name}"
                self._files.move(path, target)
                self.quarantined.append(target)
                continue
            yield from rows

    # ------------------------------------------------------------------ reading

    @property
    def next_trial_id(self) -> int:
        """The number of the next trial."""
        return max(self.asks, default=-1) + 1

    def in_flight(self) -> list[Row]:
        """Asks without a trial's row, by number."""
        return [self.asks[trial_id] for trial_id in sorted(self.asks.keys() - self.trials.keys())]

    def history(self) -> list[tuple[Literal["ask", "trial"], Row]]:
        """All recorded asks and rows in the order in which they were recorded."""
        events: list[tuple[int, Literal["ask", "trial"], Row]] = [
            (row["ask_seq"], "ask", row) for row in self.asks.values()
        ]
        events += [(row["tell_seq"], "trial", row) for row in self.trials.values()]
        return [(kind, row) for _, kind, row in sorted(events, key=lambda event: event[0])]

    # ------------------------------------------------------------------ recording

    def record_ask(self, row: Mapping[str, Any]) -> Row:
        """Gives the ask its place in the order, makes it durable, and returns the whole row."""
        full = _complete({**row, "ask_seq": self._next_seq}, ASK_SCHEMA)
        assert full["trial_id"] not in self.asks, "a trial is asked for once"
        self._write_part("asks", full["trial_id"], [full])
        self._next_seq += 1
        self.asks[full["trial_id"]] = full
        return full

    def record_trial(self, row: Mapping[str, Any]) -> Row:
        """Gives the row its place in the order, makes it and its epochs durable, and returns it."""
        full = _complete({**row, "tell_seq": self._next_seq}, TRIAL_SCHEMA)
        trial_id = full["trial_id"]
        assert trial_id in self.asks, "a row answers an ask"
        assert trial_id not in self.trials, "one row for each ask"
        if trial_id in self._epochs:
            self._files.sync(self._part("epochs", trial_id))
        self._write_part("trials", trial_id, [full])
        self._next_seq += 1
        self.trials[trial_id] = full
        self._stale = True
        return full

    def record_epoch(self, result: EpochResult) -> None:
        """Adds an epoch to its trial's file, for whoever watches; durable with the trial's row."""
        row = _complete(vars(result), EPOCH_SCHEMA)
        rows = [r for r in self._epochs.get(result.trial_id, []) if r["attempt"] == result.attempt]
        self._epochs[result.trial_id] = [*rows, row]
        self._write_part("epochs", result.trial_id, self._epochs[result.trial_id], durable=False)
        self._stale = True

    def write_text(self, name: str, text: str) -> None:
        """Replaces one of the run's text files as a whole."""
        assert TEXT_NAMES.fullmatch(name), f"{name} is not a text file of a run"
        self._files.write(self.folder / name, text.encode())

    def write_bytes(self, name: str, data: bytes) -> None:
        """Adds one of the run's binary files as a whole."""
        assert name in BINARY_NAMES, f"{name} is not a binary file of a run"
        self._files.write(self.folder / name, data)

    def rows_of(self, name: str) -> list[Row]:
        """The rows of a view of trials that was copied into the run, verified by its page checksums."""
        return view_rows(self._files.read(self.folder / name), TRIAL_SCHEMA)

    def refresh_views(self, *, force: bool = False) -> None:
        """Rebuilds trials.parquet and epochs.parquet from the rows, at most every two seconds."""
        if not force and (not self._stale or time.monotonic() - self._viewed < SECONDS_BETWEEN_VIEWS):
            return
        trials = [self.trials[trial_id] for trial_id in sorted(self.trials)]
        epochs = [row for trial_id in sorted(self._epochs) for row in self._epochs[trial_id]]
        for name, rows, schema in (("trials", trials, TRIAL_SCHEMA), ("epochs", epochs, EPOCH_SCHEMA)):
            data = _parquet(rows, schema, sealed=False)
            self._files.write(self.folder / f"{name}.parquet", data, durable=force)
        self._viewed, self._stale = time.monotonic(), False

    def _part(self, kind: Kind, trial_id: int) -> Path:
        return self.folder / "log" / kind / f"t{trial_id:08d}.parquet"

    def _write_part(self, kind: Kind, trial_id: int, rows: list[Row], *, durable: bool = True) -> None:
        self._files.write(self._part(kind, trial_id), _parquet(rows, SCHEMAS[kind]), durable=durable)


def recorded_trials(folder: Path) -> list[Row]:
    """The finished trials of a run, also while its driver works; read from the view.

    Raises:
        ConfigError: the folder is no run, or has no finished trial.
    """
    if not RunStore.is_run(folder):
        raise ConfigError(f"{folder}: not a run directory (no search.yaml and log/ in it)")
    try:
        return view_rows((folder / "trials.parquet").read_bytes(), TRIAL_SCHEMA)
    except FileNotFoundError:
        raise ConfigError(f"{folder}: this run has no finished trial yet") from None
    except DamagedPartError as error:
        raise ConfigError(
            f"{folder}/trials.parquet: damaged ({error}); continue the search, which makes it again"
        ) from None


def view_rows(data: bytes, schema: pa.Schema) -> list[Row]:
    """The rows of a view, verified by its page checksums."""
    return _in_columns(_table(data), schema)


def _complete(row: Mapping[str, Any], schema: pa.Schema) -> Row:
    """The row with all columns of the schema in order, nulls where nothing is known."""
    unknown = row.keys() - set(schema.names)
    assert not unknown, f"not columns: {sorted(unknown)}"
    return {**dict.fromkeys(schema.names), **row, "schema_version": SCHEMA_VERSION}


def _parquet(rows: list[Row], schema: pa.Schema, *, sealed: bool = True) -> bytes:
    """Parquet bytes with page checksums; sealed ones carry a digest of their values and are read back once.

    Page checksums do not cover Parquet's footer, in which a flipped bit can change what a value means: the
    digest of the values, kept in the file's metadata, does.
    """
    table = pa.Table.from_pylist(rows, schema=schema)
    if sealed:
        table = table.replace_schema_metadata({DIGEST: _digest(table.to_pylist())})
    sink = pa.BufferOutputStream()
    options = PART_OPTIONS if sealed else {"compression": "zstd"}
    pq.write_table(table, sink, write_page_checksum=True, **options)
    data: bytes = sink.getvalue().to_pybytes()
    if sealed:
        sealed_rows(data, schema)
    return data


def sealed_rows(data: bytes, schema: pa.Schema) -> list[Row]:
    """The rows of a sealed part, verified by its page checksums and its digest."""
    table = _table(data)
    try:
        intact = (table.schema.metadata or {}).get(DIGEST, b"") == _digest(table.to_pylist()).encode()
    except (pa.ArrowException, ValueError) as error:  # names or values that are not even text any more
        raise DamagedPartError(str(error)) from None
    if not intact:
        raise DamagedPartError("its values are not those that were written")
    return _in_columns(table, schema)


def _digest(rows: list[Row]) -> str:
    return hashlib.sha256(json.dumps(rows, default=str, sort_keys=True).encode()).hexdigest()


def _table(data: bytes) -> pa.Table:
    try:
        with pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as file:
            return file.read(use_threads=False)  # for one row threads cost more than they give
    except Exception as error:  # whatever a reader says to bytes that are not Parquet any more
        raise DamagedPartError((str(error).splitlines() or ["unreadable"])[0]) from None


def _in_columns(table: pa.Table, schema: pa.Schema) -> list[Row]:
    """The table's rows in our columns; those that an older version lacks are null."""
    try:
        for field in schema:
            if field.name not in table.schema.names:
                table = table.append_column(field, pa.nulls(len(table), field.type))
        rows: list[Row] = table.select(schema.names).cast(schema).to_pylist()
        return rows
    except (pa.ArrowException, ValueError) as error:
        raise DamagedPartError(str(error).splitlines()[0]) from None
