"""The invariants of a run's log, and what in it breaks them."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from search_spaces.settings.sentences import numbers
from trials.log.durable_files import DurableFiles
from trials.log.file_names import EPOCHS_FILE, TRIALS_FILE, view_of
from trials.log.lost_trials import Losses, are_explained, new_losses
from trials.log.reading import LogContents
from trials.log.row_types import AskRow, R, TrialRow
from trials.log.rows import ask_columns
from trials.log.tables import EPOCHS, TRIALS, DamagedPartError, Kind
from trials.log.views import view_rows

INVARIANTS = {
    "files": "every file verifies: its seal, and the record of its name",
    "identity": "search.yaml and the files that the search depends on are those that the log has recorded",
    "I1": "each trial has one ask and at most one row",
    "I2": "each row has its ask",
    "I3": "places and trials are numbered from 0 without gaps, but for declared losses",
    "I4": "ask and row of a trial say the same",
    "I5": "each ask comes before its row",
    "I6": "seed, architecture and a finalist's epochs follow from the search file and the choices",
    "I7": "a completed trial has each of its epochs once, with finite numbers",
    "I8": "the views hold what the log holds",
}


@dataclass(frozen=True)
class Fault:
    """One breach. `is_mendable`: opening the run, or --repair, mends it."""

    invariant: str
    says: str
    is_mendable: bool = True


def log_faults(folder: Path, contents: LogContents, declared: Losses, viewed: set[int]) -> Iterator[Fault]:
    """Faults of the log: files, and the invariants I1-I5 and I7."""
    for damaged in contents.damaged:
        yield Fault("files", f"{_short(folder, damaged.path)}: {damaged.why}")
    for path in contents.contradicting:
        yield Fault("I1", f"{_short(folder, path)}: says something else than another file of its trial")
    for trial_id in sorted(contents.trials.keys() - contents.asks.keys()):
        yield Fault("I2", f"trial {trial_id}: its ask is gone; its row repeats it")
    yield from _gaps(contents, declared, viewed)
    for trial_id, row in sorted(contents.trials.items()):
        yield from _pair_faults(row, contents.asks.get(trial_id))
    yield from _epoch_faults(contents)


def _gaps(contents: LogContents, declared: Losses, viewed: set[int]) -> Iterator[Fault]:
    losses = new_losses(contents, declared, viewed=viewed)
    if losses.trials:
        yield Fault("I3", f"of these trials both ask and row are gone: {numbers(losses.trials)}")
    elif losses:
        why = "rows of trials that run again" if are_explained(losses, contents) else "nobody knows of what"
        yield Fault("I3", f"nothing is left at these places: {numbers(losses.places)} ({why})")
    asks = [row["ask_seq"] for row in contents.asks.values()]
    places = Counter([*asks, *(row["tell_seq"] for row in contents.trials.values())])
    if twice := [place for place, times in places.items() if times > 1]:
        yield Fault("I3", f"these places are taken twice: {numbers(twice)}", is_mendable=False)


def _pair_faults(row: TrialRow, ask: AskRow | None) -> Iterator[Fault]:
    if ask is None:
        return
    different = [name for name, value in ask_columns(row).items() if not _same(value, ask.get(name))]
    if different:
        yield Fault(
            "I4",
            f"trial {row['trial_id']}: ask and row differ in {', '.join(different)}",
            is_mendable=False,
        )
    if row["ask_seq"] >= row["tell_seq"]:
        yield Fault("I5", f"trial {row['trial_id']}: its row comes before its ask", is_mendable=False)


def _epoch_faults(contents: LogContents) -> Iterator[Fault]:
    epochs = contents.all_epochs()
    for trial_id, row in sorted(contents.trials.items()):
        if row["status"] != "completed" or row["continues"] is not None:
            continue
        found = epochs.get(trial_id, [])
        if sorted(epoch["epoch"] for epoch in found) != list(range(1, len(row["train_loss"] or ()) + 1)):
            have = numbers(epoch["epoch"] for epoch in found) or "none"
            yield Fault(
                "I7",
                f"trial {trial_id}: epochs 1 to {len(row['train_loss'] or ())} are expected, and there are "
                f"{have}",
                is_mendable=not found,
            )
        elif not all(_finite(epoch["train_loss"]) and _finite(epoch["minival_accuracy"]) for epoch in found):
            yield Fault(
                "I7", f"trial {trial_id}: an epoch's loss or accuracy is not finite", is_mendable=False
            )


def view_faults(folder: Path, files: DurableFiles, contents: LogContents) -> Iterator[Fault]:
    """Differences of trials.parquet and epochs.parquet from the log (I8)."""
    trials, damaged = _viewed(folder, files, TRIALS)
    yield from damaged
    logged = contents.trials
    if any(not _same(logged.get(row["trial_id"], row), row) for row in trials):
        yield Fault("I8", f"{TRIALS_FILE}: a row says something else than the log")
    elif len({row["trial_id"] for row in trials}) != len(trials):
        yield Fault("I8", f"{TRIALS_FILE}: holds a row twice")
    epochs, damaged = _viewed(folder, files, EPOCHS)
    yield from damaged
    if len({(row["trial_id"], row["epoch"]) for row in epochs}) != len(epochs):
        yield Fault("I8", f"{EPOCHS_FILE}: holds a row twice")


def _viewed(folder: Path, files: DurableFiles, kind: Kind[R]) -> tuple[list[R], list[Fault]]:
    """The rows of a view, or why it has none; neither where it is not there."""
    name = view_of(kind.name)
    try:
        return view_rows(files.read(folder / name), kind), []
    except FileNotFoundError:
        return [], []
    except (DamagedPartError, OSError) as error:
        return [], [Fault("I8", f"{name}: {error}")]


def are_views_older(folder: Path, files: DurableFiles, contents: LogContents) -> bool:
    """True if rows of the log are not in the views yet, as after a kill."""
    try:
        viewed = view_rows(files.read(folder / TRIALS_FILE), TRIALS)
    except (OSError, DamagedPartError):
        return bool(contents.trials)
    return bool(contents.trials.keys() - {row["trial_id"] for row in viewed})


def _same(a: object, b: object) -> bool:
    return a == b or repr(a) == repr(b)  # a NaN is the same as a NaN


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _short(folder: Path, path: Path) -> Path:
    return path.relative_to(folder)


def faults_by_invariant(faults: Iterable[Fault]) -> dict[str, list[Fault]]:
    """Faults by invariant, in the order of INVARIANTS."""
    found = list(faults)
    return {
        name: [fault for fault in found if fault.invariant == name]
        for name in INVARIANTS
        if any(fault.invariant == name for fault in found)
    }
