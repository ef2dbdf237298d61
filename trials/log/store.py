"""The run directory, held by its driver: asks, trials with their epochs, and the views that people read."""

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from search_spaces.settings.config_error import ConfigError
from trials.log.disk_wait import Patience
from trials.log.driver_lock import DriverLock
from trials.log.durable_files import PRIVATE, SHARED, DurableFiles
from trials.log.file_names import (
    BEST_FILE,
    ENVIRONMENT_FILE,
    ENVIRONMENT_FOLDER,
    EPOCHS_FILE,
    FIXED_FILES,
    SEARCH_FILE,
    TABLE_FILE,
    view_of,
)
from trials.log.identity import identity_digest, identity_of, identity_row, refuse_changed_files
from trials.log.log_end import LogEnd
from trials.log.parts import Block, PartKind, Sealed
from trials.log.reading import LogContents
from trials.log.recovery import inspect, mend
from trials.log.row_types import AskRow, EpochRow, IdentityRow, LogRow, TrialRow
from trials.log.rows import epoch_row, epochs_from_curves
from trials.log.run_folder import FOLDERS, STARTS, check_folder
from trials.log.run_places import files_of, place_of
from trials.log.schema import SCHEMA_VERSION
from trials.log.segments import remove_sealed, write_segments
from trials.log.tables import EPOCHS, TRIALS, DamagedPartError
from trials.log.view_tables import VIEWS, ViewTables
from trials.log.views import Reflected, view_bytes, view_rows
from trials.trial import EpochResult

TEXT_FILES = frozenset({SEARCH_FILE, BEST_FILE, TABLE_FILE})
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


class RunStore:
    """One run, held by one driver; use as a context manager.

    A row is durable when the method that records it returns. One counter orders asks and tells. Each record
    is a file of its own (a part) at the next position of the log; once all trials of a block of
    `segment_size` have ended, they are rewritten as two segments, of asks and of rows. All files are verified
    on reading; one that does not verify is moved to log/quarantine, and its trial is in flight again.

    With `accept_losses`, trials of which nothing is left are declared lost; otherwise they are refused. Only
    its owner may read a new run, unless it is `shared`.

    Attributes:
        asks, trials: the recorded rows by trial id.
        quarantined: what was moved aside when this run was opened.
        foreign: what lies in the log and is not ours; it is left alone.
        identities: the records of what the run is, in their order.
        is_earlier: whether a version of this program that recorded no identity began the run.
    """

    def __init__(
        self,
        folder: Path,
        *,
        files: DurableFiles | None = None,
        segment_size: int = SEGMENT_SIZE,
        patience: Patience | None = None,
        accept_losses: bool = False,
        shared: bool = False,
    ) -> None:
        self.folder = folder
        self.asks: dict[int, AskRow] = {}
        self.trials: dict[int, TrialRow] = {}
        self.quarantined: list[Path] = []
        self.foreign: list[Path] = []
        self.identities: list[IdentityRow] = []
        self.is_earlier = False
        self._epochs: dict[int, list[EpochRow]] = {}  # of trials that are not in segments
        self._sealed: dict[Block, Sealed] = {}
        self._lost: frozenset[int] = frozenset()
        self._files = files or files_of(folder)
        self._segment_size = segment_size
        self._patience = patience or Patience()
        self._accept_losses, self._shared = accept_losses, shared
        self._views = ViewTables(every=self._files.seconds_between_views)
        self._end = LogEnd(folder, self._files, self._patience)
        self._unsealed: dict[Path, Block] = {}  # files of trials that are in no segment
        self._open_asks: dict[int, int] = {}  # positions of asks without a row, by trial
        self._identity_positions: list[int] = []
        self._next_seq = 0
        self._lock = DriverLock(folder)

    # ------------------------------------------------------------------ opening

    def __enter__(self) -> Self:
        self._create()
        with ExitStack() as held:
            held.enter_context(self._lock)
            self._open()
            held.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._files.close()
        self._lock.__exit__(kind, error, trace)

    def _create(self) -> None:
        check_folder(self.folder)
        try:
            self._files.make_folder(self.folder, SHARED if self._shared else PRIVATE)
            for name in FOLDERS:
                self._files.make_folder(self.folder / name)
        except OSError as error:
            raise ConfigError(f"{self.folder}: the run cannot be written here: {error.strerror}") from error

    def _open(self) -> None:
        """Reads the log, claims its end, and mends it; refuses before anything is changed."""
        while True:
            self._refresh()
            found = inspect(self.folder, self._files, accept_losses=self._accept_losses)
            contents = found.contents
            number = self._next_driver(contents)
            if self._end.claim(seen=contents.seen, newest=contents.newest, driver=number):
                break  # else another driver has written since: what it wrote is read, too
        self._end.identity = _last_mark(contents)
        mended = mend(self.folder, self._files, found, self._end.append, self._patience)
        self.quarantined = mended.quarantined
        self._take(contents, [*mended.declared.losses.places])
        self._lost = mended.declared.losses.trials
        for first in sorted({trial_id - trial_id % self._segment_size for trial_id in self.trials}):
            self._seal_block_of(first)

    def _refresh(self) -> None:
        try:
            self._files.refresh()
        except OSError as error:
            raise ConfigError(f"{place_of(self.folder)}: {error.strerror}") from error

    def _next_driver(self, contents: LogContents) -> int:
        """One more than any before; earlier versions numbered starts in environment/ alone."""
        listed = [int(path.name[:4]) for path in (self.folder / ENVIRONMENT_FOLDER).glob(STARTS)]
        return 1 + max([*contents.drivers, *listed], default=0)

    def _take(self, contents: LogContents, lost_places: list[int]) -> None:
        self.asks, self.trials = contents.asks, contents.trials
        self._epochs, self._sealed = contents.epochs, contents.sealed
        self.foreign, self.is_earlier = contents.foreign, contents.is_earlier
        self.identities = contents.recorded_identities()
        self._identity_positions = list(contents.identities)
        self._unsealed = contents.files
        asked = contents.ask_positions.items()
        self._open_asks = {trial_id: at for trial_id, at in asked if trial_id not in self.trials}
        self._next_seq = max([*contents.places(), *lost_places], default=-1) + 1
        for row in self._epochs_in_view():
            self._epochs.setdefault(row["trial_id"], []).append(row)

    def _epochs_in_view(self) -> list[EpochRow]:
        """Epochs of trials in flight that the last driver had seen: lost with the view, they are no loss."""
        in_flight = self.asks.keys() - self.trials.keys() - self._epochs.keys()
        if not in_flight:
            return []
        try:
            rows = view_rows(self._files.read(self.folder / EPOCHS_FILE), EPOCHS)
        except (OSError, DamagedPartError):
            return []
        return [row for row in rows if row["trial_id"] in in_flight]

    def is_overtaken(self) -> bool:
        """True if another driver has begun on the run."""
        return self._end.is_overtaken()

    def discard(self) -> None:
        """Removes a run that never began, as far as it can be; never one that another driver began."""
        if self._end.is_overtaken():
            return
        with suppress(OSError):
            self._files.remove(self.folder / SEARCH_FILE)  # first: without it the rest is no run
            self._files.remove_tree(self.folder)
            self.folder.parent.rmdir()  # runs/, where nothing else lies in it

    # ------------------------------------------------------------------ reading

    @property
    def files(self) -> DurableFiles:
        """The files of the run, for what lies in it beside its log."""
        return self._files

    @property
    def driver(self) -> int:
        """This driver's number in the run, from 1."""
        return self._end.driver

    @property
    def next_trial_id(self) -> int:
        """The number of the next trial."""
        return max(self.asks, default=-1) + 1

    def in_flight(self) -> list[AskRow]:
        """Asks without a trial's row, by number."""
        return [self.asks[trial_id] for trial_id in sorted(self.asks.keys() - self.trials.keys())]

    def next_attempt(self, trial_id: int) -> int:
        """The number of the next attempt at a trial that was in flight when a driver ended.

        It follows the last attempt of which an epoch was seen; one at least has begun.
        """
        return 1 + max((row["attempt"] for row in self._epochs.get(trial_id, [])), default=1)

    def history(self) -> list[RecordedAsk | RecordedTrial]:
        """All recorded asks and rows in the order in which they were recorded."""
        asks = [RecordedAsk(row["ask_seq"], row) for row in self.asks.values()]
        trials = [RecordedTrial(row["tell_seq"], row) for row in self.trials.values()]
        return sorted([*asks, *trials], key=lambda recorded: recorded.place)

    # ------------------------------------------------------------------ recording

    def record_identity(self, search: str) -> None:
        """Records what the run is, where that is not recorded yet, and writes its search file.

        Raises:
            ConfigError: a file on which the search depends is not as it was recorded before.
        """
        if (known := identity_of(self.identities)) is not None:
            refuse_changed_files(self.folder, known)
        there = [name for name in FIXED_FILES if (self.folder / name).is_file()]
        row = identity_row(search, {name: self._files.read(self.folder / name) for name in there})
        if not self.identities or identity_digest(row) != identity_digest(self.identities[-1]):
            self._end.identity = identity_digest(row)
            self._identity_positions.append(self._end.position)
            self._end.append("identity", row)
            self.identities.append(row)
        self.write_text(SEARCH_FILE, search)

    def restore_search_file(self) -> None:
        """Writes search.yaml as the log has recorded it."""
        if self.identities:
            self.write_text(SEARCH_FILE, self.identities[-1]["search"])

    def record_ask(self, row: AskRow) -> AskRow:
        """Gives the ask its place in the order, makes it durable, and returns it."""
        recorded: AskRow = {**row, "ask_seq": self._next_seq, "schema_version": SCHEMA_VERSION}
        trial_id = recorded["trial_id"]
        assert trial_id not in self.asks, "a trial is asked for once"
        self._open_asks[trial_id] = self._end.position
        self._append("ask", trial_id, recorded)
        self.asks[trial_id] = recorded
        return recorded

    def record_trial(self, row: TrialRow) -> TrialRow:
        """Gives the row its place in the order, makes it and its epochs durable, and returns it."""
        recorded: TrialRow = {**row, "tell_seq": self._next_seq, "schema_version": SCHEMA_VERSION}
        trial_id = recorded["trial_id"]
        assert trial_id in self.asks, "a row answers an ask"
        assert trial_id not in self.trials, "one row for each ask"
        if trial_id not in self._epochs and (epochs := epochs_from_curves(recorded)):
            self._epochs[trial_id] = epochs
        self._append("trial", trial_id, recorded, self._epochs.get(trial_id, []))
        self.trials[trial_id] = recorded
        self._open_asks.pop(trial_id, None)
        self._views.stale.update(VIEWS)
        self._seal_block_of(trial_id)
        return recorded

    def _append(self, kind: PartKind, trial_id: int, row: LogRow, epochs: Sequence[EpochRow] = ()) -> None:
        newest = self._end.newest
        path = self._end.append(kind, row, epochs)
        self._unsealed[path] = (trial_id, trial_id)
        if newest in self._unsealed:  # sealed, it stayed as the end of the log
            self._remove_sealed([newest])
        self._next_seq += 1

    def record_epoch(self, result: EpochResult) -> None:
        """Adds an epoch, for live views; durable with the trial's row."""
        before = self._epochs.get(result.trial_id, [])
        kept = [r for r in before if r["attempt"] == result.attempt and r["epoch"] < result.epoch]
        self._epochs[result.trial_id] = [*kept, epoch_row(result)]
        self._views.stale.add(EPOCHS.name)

    def write_text(self, name: str, text: str) -> None:
        """Replaces one of the run's text files as a whole."""
        assert name in TEXT_FILES or ENVIRONMENT_FILE.fullmatch(name), f"{name} is not a text file of a run"
        self._write(self.folder / name, text.encode())

    def write_bytes(self, name: str, data: bytes) -> None:
        """Adds one of the run's binary files as a whole."""
        assert name in FIXED_FILES, f"{name} is not a binary file of a run"
        self._write(self.folder / name, data)

    def rows_of(self, name: str) -> list[TrialRow]:
        """Rows of a view of trials that was copied into the run, verified."""
        return view_rows(self._files.read(self.folder / name), TRIALS)

    def refresh_views(self, *, force: bool = False) -> None:
        """Rebuilds trials.parquet and epochs.parquet from the rows, at most every few seconds.

        They are left to another driver that has begun on the run.
        """
        if not self._end.is_fenced and self._views.are_due(force=force):
            reflected = Reflected(
                through=self._end.position - 1,
                asks=tuple(sorted(self._open_asks.values())),
                identities=tuple(self._identity_positions),
            )
            views = self._views.tables(self.trials, self._epochs, self._sealed)
            for kind, table in views:
                data = view_bytes(table, reflected)
                self._write(self.folder / view_of(kind.name), data, durable=force)
            self._views.written()

    # ------------------------------------------------------------------ files

    def _seal_block_of(self, trial_id: int) -> None:
        """Rewrites the trial's block as a segment, once each of its trials has its row."""
        first = trial_id - trial_id % self._segment_size
        block = (first, first + self._segment_size - 1)
        numbers = range(block[0], block[1] + 1)
        if not all(i in self.trials or i in self._lost for i in numbers):
            return
        if any(block[0] <= last and begin <= block[1] for begin, last in self._sealed):
            return
        rows = [self.trials[i] for i in numbers if i in self.trials]
        asks = [self.asks[row["trial_id"]] for row in rows]
        written = self._end.carry_out(
            lambda: write_segments(self.folder, self._files, block, asks, rows, self._epochs)
        )
        self._sealed[block] = written.rows
        for path in written.paths:  # one of the two may have been there, and is no longer alone
            self._unsealed.pop(path, None)
        for row in rows:
            self._epochs.pop(row["trial_id"], None)
        if not self._files.lists_at_once:
            # Where no list has the segments yet, the view says that there are more rows than are found.
            self.refresh_views(force=True)
        self._remove_sealed(list(self._unsealed))

    def _remove_sealed(self, paths: list[Path]) -> None:
        """Removes files whose trials are all in segments; but the newest, by which the log's end is found."""
        blocks, newest = sorted(self._sealed), self._end.newest
        replaced = [path for path in paths if path != newest and _all_in(self._unsealed[path], blocks)]
        if not replaced:
            return
        self._end.carry_out(lambda: remove_sealed(self._files, replaced))
        for path in replaced:
            del self._unsealed[path]

    def _write(self, path: Path, data: bytes, *, durable: bool = True) -> None:
        self._end.replace(path, data, durable=durable)


def _all_in(block: Block, sealed: list[Block]) -> bool:
    """True if all trials of a block are in segments, whose blocks are in order."""
    trial_id = block[0]
    for first, last in sealed:
        if first <= trial_id <= last:
            trial_id = last + 1
    return trial_id > block[1]


def _last_mark(contents: LogContents) -> str:
    """The digest of what the run is, by its last record."""
    recorded = contents.recorded_identities()
    return identity_digest(recorded[-1]) if recorded else ""
