"""The run directory: asks, epochs and trials as durable Parquet files, and the views that people read."""

import re
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa

from search_spaces.settings.yaml_files import ConfigError
from trials.log.disk_wait import Patience
from trials.log.driver_lock import DriverLock
from trials.log.durable_files import DurableFiles
from trials.log.parts import (
    ASKS,
    EPOCHS,
    TRIALS,
    DamagedPartError,
    Kind,
    damaged_view,
    part_bytes,
    part_name,
    table_bytes,
    view_rows,
)
from trials.log.reading import Block, trials_of
from trials.log.recovery import Recovered, recover
from trials.log.row_types import AskRow, EpochRow, R, Row, TrialRow
from trials.log.rows import epoch_row
from trials.log.schema import SCHEMA_VERSION
from trials.log.segments import write_segments
from trials.trial import EpochResult

FOLDERS = ("log", "log/asks", "log/trials", "log/epochs", "log/quarantine", "environment")
BINARY_NAMES = ("warm_start.parquet", "images.parquet", "data.json")
TEXT_NAMES = re.compile(r"(search\.yaml|best\.yaml|block_times\.json|environment/\d{4}(-workers)?\.json)")
LEFT_BY_A_KILLED_DRIVER = {"log", "lock", "environment"}  # what lies in a folder before it is a run
SECONDS_BETWEEN_VIEWS = 2.0
SEGMENT_SIZE = 100  # trials


@dataclass(frozen=True)
class RecordedAsk:
    """An ask, at its place in the one order of asks and tells."""

    place: int
    row: AskRow


@dataclass(frozen=True)
class RecordedTrial:
    """A trial's row, at its place in the one order of asks and tells."""

    place: int
    row: TrialRow


def check_folder(folder: Path) -> None:
    """Refuses a folder that can be no run directory; nothing is created.

    Raises:
        ConfigError: it, or something above it, is a file; it holds something else, or links.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder}: this is a file; a run needs a folder of its own")
        above = next(parent for parent in folder.absolute().parents if parent.exists())
        if not above.is_dir():
            raise ConfigError(f"{folder}: {above.name} is a file; choose another --run")
        begun = not folder.is_dir() or (folder / "log").is_dir()
        if not begun and {path.name for path in folder.iterdir()} - LEFT_BY_A_KILLED_DRIVER:
            raise ConfigError(f"{folder}: this folder holds something else; choose another --run")
        for name in FOLDERS:
            if (folder / name).is_symlink():
                raise ConfigError(
                    f"{folder}/{name}: a symbolic link; the log lies in the run itself. Put the folder "
                    "here, or make the link to the whole run instead"
                )
    except OSError as error:
        raise ConfigError(f"{folder}: the run cannot be written here: {error.strerror}") from error


class RunStore:
    """One run, held by one driver; use as a context manager.

    A row is durable when the method that records it returns. One counter orders asks and tells. Rows are
    written one file each (a part), under a temporary name, synced and renamed; once all trials of a block of
    `segment_size` have ended, they are rewritten as one segment. All files are verified on reading; one that
    does not verify is moved to log/quarantine, and its trial is in flight again.

    With `accept_losses`, trials of which nothing is left are declared lost; otherwise they are refused.

    Attributes:
        asks, trials: the recorded rows by trial id.
        quarantined: what was moved aside when this run was opened.
        foreign: what lies in the log and is not ours; it is left alone.
    """

    def __init__(
        self,
        folder: Path,
        *,
        files: DurableFiles | None = None,
        segment_size: int = SEGMENT_SIZE,
        patience: Patience | None = None,
        accept_losses: bool = False,
    ) -> None:
        self.folder = folder
        self.asks: dict[int, AskRow] = {}
        self.trials: dict[int, TrialRow] = {}
        self.quarantined: list[Path] = []
        self.foreign: list[Path] = []
        self._epochs: dict[int, list[EpochRow]] = {}  # of trials that are not in segments
        self._sealed: dict[Block, dict[Kind, pa.Table]] = {}
        self._loose: pa.Table = TRIALS.schema.empty_table()  # rows that were in no segment at the last view
        self._lost: frozenset[int] = frozenset()
        self._files = files or DurableFiles()
        self._segment_size = segment_size
        self._patience = patience or Patience()
        self._accept_losses = accept_losses
        self._next_seq = 0
        self._viewed = 0.0
        self._stale = True
        self._lock = DriverLock(folder)

    @staticmethod
    def is_run(folder: Path) -> bool:
        """True if a folder is a run directory."""
        return (folder / "log" / "asks").is_dir() and (folder / "search.yaml").is_file()

    # ------------------------------------------------------------------ opening

    def __enter__(self) -> Self:
        self._create()
        with ExitStack() as held:
            held.enter_context(self._lock)
            self._take(
                recover(self.folder, self._files, patience=self._patience, accept_losses=self._accept_losses)
            )
            held.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.__exit__(kind, error, trace)

    def _create(self) -> None:
        check_folder(self.folder)
        try:
            for name in FOLDERS:
                self._files.make_folder(self.folder / name)
        except OSError as error:
            raise ConfigError(f"{self.folder}: the run cannot be written here: {error.strerror}") from error

    def _take(self, found: Recovered) -> None:
        contents = found.contents
        self.asks, self.trials = contents.asks, contents.trials
        self._epochs, self._sealed = contents.epochs, contents.sealed
        self._lost, self.quarantined = found.declared.losses.trials, found.quarantined
        self.foreign = contents.foreign
        taken = [*contents.places(), *found.declared.losses.places]
        self._next_seq = max(taken, default=-1) + 1
        for first in sorted({trial_id - trial_id % self._segment_size for trial_id in self.trials}):
            self._seal_block_of(first)

    def discard(self) -> None:
        """Removes a run that never began, as far as it can be removed."""
        with suppress(OSError):
            self._files.remove(self.folder / "search.yaml")  # first: without it the rest is no run
            self._files.remove_tree(self.folder)
            self.folder.parent.rmdir()  # runs/, where nothing else lies in it

    # ------------------------------------------------------------------ reading

    @property
    def next_trial_id(self) -> int:
        """The number of the next trial."""
        return max(self.asks, default=-1) + 1

    def in_flight(self) -> list[AskRow]:
        """Asks without a trial's row, by number."""
        return [self.asks[trial_id] for trial_id in sorted(self.asks.keys() - self.trials.keys())]

    def attempts_seen(self, trial_id: int) -> int:
        """The last attempt of which an epoch is recorded; 0 where there is none."""
        return max((row["attempt"] for row in self._epochs.get(trial_id, [])), default=0)

    def history(self) -> list[RecordedAsk | RecordedTrial]:
        """All recorded asks and rows in the order in which they were recorded."""
        asks = [RecordedAsk(row["ask_seq"], row) for row in self.asks.values()]
        trials = [RecordedTrial(row["tell_seq"], row) for row in self.trials.values()]
        return sorted([*asks, *trials], key=lambda recorded: recorded.place)

    # ------------------------------------------------------------------ recording

    def record_ask(self, row: AskRow) -> AskRow:
        """Gives the ask its place in the order, makes it durable, and returns it."""
        recorded: AskRow = {**row, "ask_seq": self._next_seq, "schema_version": SCHEMA_VERSION}
        trial_id = recorded["trial_id"]
        assert trial_id not in self.asks, "a trial is asked for once"
        self._write_part(ASKS, trial_id, [recorded])
        self._next_seq += 1
        self.asks[trial_id] = recorded
        return recorded

    def record_trial(self, row: TrialRow) -> TrialRow:
        """Gives the row its place in the order, makes it and its epochs durable, and returns it."""
        recorded: TrialRow = {**row, "tell_seq": self._next_seq, "schema_version": SCHEMA_VERSION}
        trial_id = recorded["trial_id"]
        assert trial_id in self.asks, "a row answers an ask"
        assert trial_id not in self.trials, "one row for each ask"
        if trial_id in self._epochs:
            self._patience.retry_while_full(self.folder, lambda: self._sync_epochs(trial_id))
        self._write_part(TRIALS, trial_id, [recorded])
        self._next_seq += 1
        self.trials[trial_id] = recorded
        self._stale = True
        self._seal_block_of(trial_id)
        return recorded

    def _sync_epochs(self, trial_id: int) -> None:
        path = self._part(EPOCHS, trial_id)
        try:
            self._files.sync(path)
        except FileNotFoundError:  # somebody removed it, or a segment that was dissolved holds the rows
            self._files.write(path, part_bytes(self._epochs[trial_id], EPOCHS.schema))

    def record_epoch(self, result: EpochResult) -> None:
        """Adds an epoch to its trial's file, for whoever watches; durable with the trial's row."""
        before = self._epochs.get(result.trial_id, [])
        kept = [r for r in before if r["attempt"] == result.attempt and r["epoch"] < result.epoch]
        self._epochs[result.trial_id] = [*kept, epoch_row(result)]
        self._write_part(EPOCHS, result.trial_id, self._epochs[result.trial_id], durable=False)
        self._stale = True

    def write_text(self, name: str, text: str) -> None:
        """Replaces one of the run's text files as a whole."""
        assert TEXT_NAMES.fullmatch(name), f"{name} is not a text file of a run"
        self._write(self.folder / name, text.encode())

    def write_bytes(self, name: str, data: bytes) -> None:
        """Adds one of the run's binary files as a whole."""
        assert name in BINARY_NAMES, f"{name} is not a binary file of a run"
        self._write(self.folder / name, data)

    def rows_of(self, name: str) -> list[TrialRow]:
        """Rows of a view of trials that was copied into the run, verified by its page checksums."""
        return view_rows(self._files.read(self.folder / name), TRIALS)

    def refresh_views(self, *, force: bool = False) -> None:
        """Rebuilds trials.parquet and epochs.parquet from the rows, at most every two seconds."""
        if not force and (not self._stale or time.monotonic() - self._viewed < SECONDS_BETWEEN_VIEWS):
            return
        self._write_view(TRIALS, self._loose_trials(), durable=force)
        epochs = [row for trial_id in sorted(self._epochs) for row in self._epochs[trial_id]]
        self._write_view(EPOCHS, pa.Table.from_pylist(epochs, schema=EPOCHS.schema), durable=force)
        self._viewed, self._stale = time.monotonic(), False

    def _loose_trials(self) -> pa.Table:
        """Rows that are in no segment. A thousand workers leave many, so each is converted only once."""
        sealed = trials_of(self._sealed)
        here = self._loose["trial_id"].to_pylist()
        kept = self._loose.filter(pa.array([i not in sealed for i in here], pa.bool_()))
        known = sealed.union(here)
        fresh = [row for trial_id, row in self.trials.items() if trial_id not in known]
        self._loose = pa.concat_tables([kept, pa.Table.from_pylist(fresh, schema=TRIALS.schema)])
        return self._loose

    def _write_view(self, kind: Kind, loose: pa.Table, *, durable: bool) -> None:
        """Segments and the rows that are in none, by trial; a trial's epochs are in order already."""
        ids = loose["trial_id"].to_numpy()
        order = np.argsort(ids, kind="stable")
        loose, ids = loose.take(order), ids[order]
        tables, begin = [], 0
        for block in sorted(self._sealed):  # no loose row lies in one: nothing sealed is sorted, or copied
            end = int(np.searchsorted(ids, block[0]))
            tables += [loose.slice(begin, end - begin), self._sealed[block][kind]]
            begin = end
        table = pa.concat_tables([*tables, loose.slice(begin)])
        self._write(self.folder / f"{kind.name}.parquet", table_bytes(table), durable=durable)

    # ------------------------------------------------------------------ files

    def _seal_block_of(self, trial_id: int) -> None:
        """Rewrites the trial's block as segments, once each of its trials has its row."""
        first = trial_id - trial_id % self._segment_size
        block = (first, first + self._segment_size - 1)
        numbers = range(block[0], block[1] + 1)
        if not all(i in self.trials or i in self._lost for i in numbers):
            return
        if any(block[0] <= last and begin <= block[1] for begin, last in self._sealed):
            return
        ids = [i for i in numbers if i in self.trials]
        rows: dict[Kind, Sequence[Row]] = {
            ASKS: [self.asks[i] for i in ids],
            TRIALS: [self.trials[i] for i in ids],
            EPOCHS: [row for i in ids for row in self._epochs.get(i, [])],
        }
        self._sealed[block] = self._patience.retry_while_full(
            self.folder, lambda: write_segments(self.folder, self._files, block, rows)
        )
        for i in ids:
            self._epochs.pop(i, None)

    def _part(self, kind: Kind, trial_id: int) -> Path:
        return self.folder / "log" / kind.name / part_name(trial_id)

    def _write_part(self, kind: Kind[R], trial_id: int, rows: list[R], *, durable: bool = True) -> None:
        self._write(self._part(kind, trial_id), part_bytes(rows, kind.schema), durable=durable)

    def _write(self, path: Path, data: bytes, *, durable: bool = True) -> None:
        self._patience.retry_while_full(self.folder, lambda: self._files.write(path, data, durable=durable))


def refuse_other_than_run(folder: Path) -> None:
    """Refuses a folder that is no run.

    Raises:
        ConfigError: it is none, or is not there.
    """
    if not RunStore.is_run(folder):
        found = "not a run directory" if folder.exists() else "there is no such folder"
        raise ConfigError(f"{folder}: {found} (a run has search.yaml and log/ in it)")


def no_trial_yet(folder: Path) -> ConfigError:
    """The refusal of a run of which no trial has ended."""
    return ConfigError(
        f"{folder}: this run has no finished trial yet; wait for the first (nas status {folder})"
    )


def recorded_trials(folder: Path) -> list[TrialRow]:
    """Finished trials of a run, also while its driver works; read from the view.

    Raises:
        ConfigError: the folder is no run, or has no finished trial.
    """
    refuse_other_than_run(folder)
    try:
        return view_rows((folder / "trials.parquet").read_bytes(), TRIALS)
    except FileNotFoundError:
        raise no_trial_yet(folder) from None
    except DamagedPartError as error:
        raise ConfigError(damaged_view(f"{folder}/trials.parquet", error)) from None
