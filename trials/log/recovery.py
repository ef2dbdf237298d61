"""Recovery of the log that a driver finds: sweeps, moves damage aside, rebuilds, declares losses."""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from search_spaces.settings.unfinished_files import is_unfinished
from search_spaces.settings.yaml_files import ConfigError
from trials.log.disk_wait import Patience
from trials.log.durable_files import DurableFiles
from trials.log.lost_trials import (
    FILE,
    Declared,
    LostTrialsError,
    are_explained,
    declared_losses,
    new_losses,
    refusal,
)
from trials.log.parts import ASKS, EPOCHS, DamagedPartError, Kind, part_bytes, part_name, view_trials
from trials.log.reading import LogContents, read_log, trials_of
from trials.log.row_types import EpochRow, TrialRow
from trials.log.rows import ask_columns
from trials.trial import MAX_TRIALS

SWEPT = ("environment", ".", "log")  # and the folders of parts


@dataclass(frozen=True)
class Recovered:
    """A log that is whole again, as far as it can be."""

    contents: LogContents
    declared: Declared
    quarantined: list[Path]


def recover(folder: Path, files: DurableFiles, *, patience: Patience, accept_losses: bool) -> Recovered:
    """Reads the log and mends it; refuses before anything is changed.

    Raises:
        LostTrialsError: asks are gone together with their rows, and that is not accepted.
        NewerLogError: a later version of this program wrote it.
        ConfigError: the disk does not give a file.
        LogNotWrittenError: what has to be mended cannot be written.
    """
    try:
        contents = read_log(folder, files, unreadable_is_damaged=accept_losses)
        declared, broken = read_declared(folder, files)
    except OSError as error:
        raise ConfigError(
            f"{error.filename or folder}: cannot be read: {error.strerror}. If the disk will not give it any "
            f"more, nas verify {folder} --repair goes on without it"
        ) from error
    losses = new_losses(contents, declared.losses, viewed=viewed_trials(folder, files))
    if losses and not accept_losses and not are_explained(losses, contents):
        raise LostTrialsError(refusal(folder, losses))
    retried = partial(patience.retry_while_full, folder)
    retried(lambda: _sweep(folder, files, contents))
    aside = {path: _quarantine_path(folder, path) for path in _unfit(contents, broken)}
    for path, target in aside.items():
        retried(partial(files.move, path, target))
    retried(lambda: _rebuild_asks(folder, files, contents))
    retried(lambda: _rebuild_epochs(folder, files, contents))
    moved = list(aside.values())
    if losses:
        again = contents.asks.keys() - contents.trials.keys()
        declared = declared.with_entry(losses, run_again=again, moved=moved)
        text = declared.to_json().encode()
        retried(lambda: files.write(folder / FILE, text))
    return Recovered(contents, declared, moved)


def _unfit(contents: LogContents, broken: list[Path]) -> list[Path]:
    return [*(damaged.path for damaged in contents.damaged), *contents.contradicting, *broken]


def read_declared(folder: Path, files: DurableFiles) -> tuple[Declared, list[Path]]:
    """Losses that were declared before; and the file that says so, if it does not read."""
    path = folder / FILE
    if not path.exists() and not path.is_symlink():
        return Declared(), []
    try:
        return declared_losses(files.read(path)), []
    except ValueError:
        return Declared(), [path]


def viewed_trials(folder: Path, files: DurableFiles) -> set[int]:
    """The trials that the view knows to have ended: it holds what was durable. A damaged one says nothing."""
    try:
        ids = set(view_trials(files.read(folder / "trials.parquet")))
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
    return folder / "log" / "quarantine" / f"{path.parent.name}-{time.time_ns()}-{path.name}"


def _rebuild_asks(folder: Path, files: DurableFiles, contents: LogContents) -> None:
    """A trial's row repeats its ask's columns, so a lost ask is not lost."""
    for trial_id, row in contents.trials.items():
        if trial_id not in contents.asks:
            ask = ask_columns(row)
            files.write(_part(folder, ASKS, trial_id), part_bytes([ask], ASKS.schema))
            contents.asks[trial_id] = ask


def _rebuild_epochs(folder: Path, files: DurableFiles, contents: LogContents) -> None:
    """A trial's row holds its curves: what is lost of its epochs is the rest of their columns."""
    sealed = trials_of(contents.sealed)
    for trial_id, row in contents.trials.items():
        known = trial_id in contents.epochs or trial_id in sealed
        if known or row["status"] != "completed" or not row["train_loss"]:
            continue
        rows = _epochs_of(row)
        files.write(_part(folder, EPOCHS, trial_id), part_bytes(rows, EPOCHS.schema))
        contents.epochs[trial_id] = rows


def _epochs_of(row: TrialRow) -> list[EpochRow]:
    curves = zip(row["train_loss"] or (), row["minival_accuracy"] or (), strict=False)
    return [
        {
            "trial_id": row["trial_id"],
            "attempt": row["attempts"] or 1,
            "epoch": epoch,
            "train_loss": loss,
            "train_accuracy": None,
            "minival_loss": None,
            "minival_accuracy": accuracy,
            "minival_accuracy_raw": None,
            "learning_rate": None,
            "resolution": None,
            "train_seconds": None,
            "evaluate_seconds": None,
            "schema_version": row["schema_version"],
        }
        for epoch, (loss, accuracy) in enumerate(curves, start=1)
    ]


def _part(folder: Path, kind: Kind, trial_id: int) -> Path:
    return folder / "log" / kind.name / part_name(trial_id)
