"""Recovery of the log that a driver finds: sweeps, moves damage aside, rebuilds, declares losses."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.unfinished_files import is_unfinished
from trials.log.disk_wait import Patience
from trials.log.durable_files import DurableFiles
from trials.log.file_names import ENVIRONMENT_FOLDER, TRIALS_FILE
from trials.log.lost_trials import (
    FILE,
    Declared,
    Losses,
    LostTrialsError,
    are_explained,
    earlier_repairs,
    new_losses,
    refusal,
    repair_of,
)
from trials.log.parts import PartKind
from trials.log.reading import LogContents, read_log, trials_of
from trials.log.row_types import EpochRow, LogRow
from trials.log.rows import ask_columns, epochs_from_curves
from trials.log.run_folder import QUARANTINE
from trials.log.tables import DamagedPartError
from trials.log.views import view_trials
from trials.trial import MAX_TRIALS

LOOKS = 5  # at a log in which another driver replaces parts by segments meanwhile
SWEPT = (ENVIRONMENT_FOLDER, ".", "log")  # and the folders of parts and segments


class Append(Protocol):
    """Takes the log's next position for a record."""

    def __call__(self, kind: PartKind, row: LogRow, epochs: Sequence[EpochRow] = ()) -> Path:
        """Makes it durable; returns its file."""
        ...


@dataclass(frozen=True)
class Inspected:
    """A log as it was found, which may be continued; nothing is changed yet."""

    contents: LogContents
    declared: Declared
    losses: Losses  # that are not declared yet
    broken: list[Path]  # files beside the log's that do not read

    @property
    def unfit(self) -> list[Path]:
        """The files that have to be moved aside."""
        damaged = [damaged.path for damaged in self.contents.damaged]
        return [*damaged, *self.contents.contradicting, *self.broken]


def inspect(folder: Path, files: DurableFiles, *, accept_losses: bool) -> Inspected:
    """Reads the log; refuses what cannot be continued.

    Raises:
        LostTrialsError: asks are gone together with their rows, and that is not accepted.
        NewerLogError: a later version of this program wrote it.
        ConfigError: the disk does not give a file.
    """
    try:
        for _ in range(LOOKS):
            contents = read_log(folder, files, unreadable_is_damaged=accept_losses)
            if not contents.vanished:
                break
        declared, broken = read_declared(folder, files, contents)
        losses = new_losses(contents, declared.losses, viewed=viewed_trials(folder, files))
        if losses and files.look_again(contents.gaps(folder)):
            return inspect(folder, files, accept_losses=accept_losses)
    except OSError as error:
        raise ConfigError(
            f"{error.filename or folder}: cannot be read: {error.strerror}. If the disk will not give it any "
            f"more, nas verify {folder} --repair goes on without it"
        ) from error
    if losses and not accept_losses and not are_explained(losses, contents):
        raise LostTrialsError(refusal(folder, losses))
    return Inspected(contents, declared, losses, broken)


@dataclass(frozen=True)
class Mended:
    """The losses that mending has declared, and the files that it moved aside."""

    declared: Declared
    quarantined: list[Path]


def mend(folder: Path, files: DurableFiles, found: Inspected, append: Append, patience: Patience) -> Mended:
    """Mends what was found.

    Raises:
        LogNotWrittenError: what has to be mended cannot be written.
        FencedError: another driver has begun meanwhile.
    """
    contents, declared = found.contents, found.declared
    retried = partial(patience.retry_while_full, folder)
    retried(lambda: _sweep(folder, files, contents))
    # 1. Damaged files go aside.
    aside = {path: _quarantine_path(folder, path) for path in found.unfit}
    for path, target in aside.items():
        retried(partial(files.move, path, target))
    # 2. Rows repeat what is lost of asks and epochs.
    _rebuild_asks(contents, append)
    _rebuild_epochs(contents, append)
    # 3. Losses are declared.
    if found.losses:
        again = contents.asks.keys() - contents.trials.keys()
        entry = repair_of(found.losses, run_again=again, moved=aside.values())
        append("repair", entry)
        declared = Declared.of([*declared.entries, entry])
    return Mended(declared, list(aside.values()))


def read_declared(folder: Path, files: DurableFiles, contents: LogContents) -> tuple[Declared, list[Path]]:
    """Losses that were declared before; and the file of an earlier version, if that does not read."""
    path = folder / FILE
    if not path.exists() and not path.is_symlink():
        return Declared.of(contents.repairs), []
    try:
        return Declared.of([*earlier_repairs(files.read(path)), *contents.repairs]), []
    except ValueError:
        return Declared.of(contents.repairs), [path]


def viewed_trials(folder: Path, files: DurableFiles) -> set[int]:
    """The trials that the view knows to have ended: it holds what was durable. A damaged one says nothing."""
    try:
        ids = set(view_trials(files.read_back(folder / TRIALS_FILE)))
    except (OSError, DamagedPartError):
        return set()
    return ids if all(0 <= i < MAX_TRIALS for i in ids) else set()


def _sweep(folder: Path, files: DurableFiles, contents: LogContents) -> None:
    """Removes what a killed driver left half-written, and parts that it had rewritten as a segment."""
    for path in (*contents.unfinished, *contents.repeated):
        files.remove(path)
    for name in SWEPT:
        for path in files.list(folder / name):
            if is_unfinished(path):
                files.remove(path)


def _quarantine_path(folder: Path, path: Path) -> Path:
    return folder / QUARANTINE / f"{path.parent.name}-{time.time_ns()}-{path.name}"


def _rebuild_asks(contents: LogContents, append: Append) -> None:
    """A trial's row repeats its ask's columns, so a lost ask is not lost."""
    for trial_id, row in contents.trials.items():
        if trial_id not in contents.asks:
            contents.asks[trial_id] = ask_columns(row)
            contents.files[append("ask", contents.asks[trial_id])] = (trial_id, trial_id)


def _rebuild_epochs(contents: LogContents, append: Append) -> None:
    """A trial's row holds its curves: what is lost of its epochs is the rest of their columns.

    Only versions before this one kept epochs apart from rows.
    """
    sealed = trials_of(contents.sealed)
    for trial_id, row in contents.trials.items():
        if trial_id in contents.epochs or trial_id in sealed or not (epochs := epochs_from_curves(row)):
            continue
        contents.epochs[trial_id] = epochs
        contents.files[append("trial", row, epochs)] = (trial_id, trial_id)
