"""Verification of a run: its log, its identity, its files and its audit; and repair."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from nas.results.run_files import run_files
from nas.search.recorded_config import config_of
from nas.search.seeds import seed_of
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.sentences import first_line, numbers
from trials.images.data_record import record_faults
from trials.log.driver_lock import RunLockedError, driver_of
from trials.log.durable_files import DurableFiles
from trials.log.file_names import AUDIT_FOLDER as AUDIT
from trials.log.file_names import SEARCH_FILE, TRIALS_FILE
from trials.log.identity import changed_files, identity_digest, identity_of, is_search_file_changed
from trials.log.invariants import Fault, are_views_older, log_faults, view_faults
from trials.log.lost_trials import Declared
from trials.log.reading import LogContents, read_log
from trials.log.recovery import read_declared, viewed_trials
from trials.log.rows import architecture_json, ask_from_row
from trials.log.run_folder import QUARANTINE, has_log, refuse_other_than_run
from trials.log.run_places import place_of
from trials.log.store import RunStore


@dataclass(frozen=True)
class Verdict:
    """The state of a log.

    Attributes:
        mended: faults that --repair has put right.
        notes: findings that are no faults.
    """

    run: str
    is_whole: bool
    trials: int
    in_flight: int
    faults: tuple[Fault, ...]
    mended: tuple[Fault, ...]
    notes: tuple[str, ...]


def verify_run(run: Path, *, repair: bool = False) -> Verdict:
    """Checks every invariant; with `repair` mends what can be mended: files are moved, never deleted.

    Raises:
        ConfigError: the folder is no run, or cannot be read (to repair: written).
        RunLockedError: a driver works on it.
    """
    verdict = _verdict(run)
    if not repair:
        return verdict
    for folder in (run, run / AUDIT):
        if folder == run or has_log(folder):
            with RunStore(folder, accept_losses=True) as store:
                store.restore_search_file()
                if store.asks:
                    store.refresh_views(force=True)
    after = _verdict(run)
    mended = tuple(fault for fault in verdict.faults if fault not in after.faults)
    return replace(after, mended=mended)


def _verdict(run: Path) -> Verdict:
    if not has_log(run):  # search.yaml may be gone: the log has it
        refuse_other_than_run(run)
    if driver := driver_of(run):
        raise RunLockedError(f"{run}: a driver works on this run ({driver}); wait for it, or stop it")
    files = DurableFiles()
    try:
        contents = read_log(run, files)
    except OSError as error:
        raise ConfigError(f"{error.filename or run}: cannot be read: {error.strerror}") from error
    declared, broken = read_declared(run, files, contents)
    others = run_files(run, is_earlier=contents.is_earlier)
    faults = [
        *log_faults(run, contents, declared.losses, viewed_trials(run, files)),
        *(Fault("files", f"{path.relative_to(run)}: does not read") for path in broken),
        *_identity_faults(run, contents),
        *_config_faults(run, contents),
        *(Fault("data", fault, is_mendable=False) for fault in record_faults(run)),
        *view_faults(run, files, contents),
        *others.faults,
        *_audit_faults(run),
    ]
    return Verdict(
        run=place_of(run),
        is_whole=not faults,
        trials=len(contents.trials),
        in_flight=len(contents.asks.keys() - contents.trials.keys()),
        faults=tuple(faults),
        mended=(),
        notes=tuple(_notes(run, files, contents, declared, others.foreign)),
    )


def _audit_faults(run: Path) -> list[Fault]:
    """Faults of the run's audit, which is a run of its own."""
    if not has_log(run / AUDIT):
        return []
    return [replace(fault, says=f"{AUDIT}: {fault.says}") for fault in _verdict(run / AUDIT).faults]


def _identity_faults(run: Path, contents: LogContents) -> Iterator[Fault]:
    """Files of the search that differ from what the log recorded, and records of it that the log has lost."""
    identity = identity_of(contents.recorded_identities())
    if identity is not None:
        for fault in changed_files(run, identity):
            yield Fault("identity", fault, is_mendable=False)
        if is_search_file_changed(run, identity):
            yield Fault("identity", f"{SEARCH_FILE}: says something else than was recorded, or is gone")
    known = {"", *map(identity_digest, contents.recorded_identities())}
    if contents.marks - known:
        yield Fault("identity", "a record of what the run is has gone from the log", is_mendable=False)


def _config_faults(run: Path, contents: LogContents) -> Iterator[Fault]:
    """Rows that do not follow from the search file (I6)."""
    try:
        config = config_of(run, identity_of(contents.recorded_identities()))
    except ConfigError as error:
        yield Fault("I6", first_line(error), is_mendable=False)
        return
    for trial_id, ask in sorted(contents.asks.items()):
        if ask["seed"] != seed_of(ask_from_row(ask), config.seed, contents.asks):
            yield Fault("I6", f"trial {trial_id}: its seed is not the search's for it", is_mendable=False)
        if ask["purpose"] == "finalist" and ask["epochs"] != config.finalist_epochs:
            yield Fault("I6", f"trial {trial_id}: its epochs are not finalists.epochs", is_mendable=False)
        try:
            built = architecture_json(config.space.decode(tuple(ask["choices"])))
        except (ValueError, IndexError, AssertionError):
            built = None
        if built != ask["architecture"]:
            yield Fault("I6", f"trial {trial_id}: its architecture is not of its choices", is_mendable=False)


def _notes(
    run: Path,
    files: DurableFiles,
    contents: LogContents,
    declared: Declared,
    foreign: tuple[str, ...],
) -> Iterator[str]:
    for name in foreign:
        yield f"{name}: not ours; left alone"
    for path in contents.foreign:
        yield f"{path.relative_to(run)}: not ours; left alone"
    if contents.is_earlier and not contents.identities:
        yield "an earlier version began it, and recorded no search file in the log; nas search will"
    if leftovers := len(contents.unfinished) + len(contents.repeated):
        yield f"{leftovers} files that a killed driver left; the next one removes them"
    if are_views_older(run, files, contents):
        yield f"{TRIALS_FILE} is older than the log; the next driver makes it again"
    if lost := declared.losses.trials:
        yield f"declared lost: trials {numbers(lost)}"
    if declared.entries:
        count = len(declared.entries)
        yield f"{count} repair{' is' if count == 1 else 's are'} declared in the log"
    if moved := len(list((run / QUARANTINE).glob("*"))):
        yield f"{moved} file{' lies' if moved == 1 else 's lie'} in log/quarantine"
