"""Verification of a run's log: its invariants, what breaks them, and repair."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from nas.search.config import SearchConfig
from nas.search.seeds import trial_seed
from search_spaces.settings.yaml_files import ConfigError, read_yaml
from trials.images.data_record import record_faults
from trials.log.driver_lock import RunLockedError, driver_of
from trials.log.durable_files import DurableFiles
from trials.log.invariants import Fault, are_views_older, log_faults, view_faults
from trials.log.lost_trials import Declared, numbers
from trials.log.reading import LogContents, read_log
from trials.log.recovery import read_declared, viewed_trials
from trials.log.row_types import AskRow
from trials.log.rows import architecture_json
from trials.log.store import RunStore, refuse_other_than_run


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
    with RunStore(run, accept_losses=True) as store:
        if store.asks:
            store.refresh_views(force=True)
    after = _verdict(run)
    mended = tuple(fault for fault in verdict.faults if fault not in after.faults)
    return replace(after, mended=mended)


def _verdict(run: Path) -> Verdict:
    refuse_other_than_run(run)
    if driver := driver_of(run):
        raise RunLockedError(f"{run}: a driver works on this run ({driver}); wait for it, or stop it")
    files = DurableFiles()
    try:
        contents = read_log(run, files)
    except OSError as error:
        raise ConfigError(f"{error.filename or run}: cannot be read: {error.strerror}") from error
    declared, broken = read_declared(run, files)
    faults = [
        *log_faults(run, contents, declared.losses, viewed_trials(run, files)),
        *(Fault("files", f"{path.relative_to(run)}: does not read") for path in broken),
        *_config_faults(run, contents),
        *(Fault("data", fault, is_mendable=False) for fault in record_faults(run)),
        *view_faults(run, files, contents),
    ]
    return Verdict(
        run=str(run),
        is_whole=not faults,
        trials=len(contents.trials),
        in_flight=len(contents.asks.keys() - contents.trials.keys()),
        faults=tuple(faults),
        mended=(),
        notes=tuple(_notes(run, files, contents, declared)),
    )


def _config_faults(run: Path, contents: LogContents) -> Iterator[Fault]:
    """Where a row does not follow from the search file (I6)."""
    try:
        config = read_yaml(SearchConfig, run / "search.yaml", recorded=True)
    except ConfigError as error:
        yield Fault("I6", f"search.yaml does not read: {str(error).splitlines()[0]}", is_mendable=False)
        return
    for trial_id, ask in sorted(contents.asks.items()):
        if ask["seed"] != _expected_seed(contents, config, ask):
            yield Fault("I6", f"trial {trial_id}: its seed is not the search's for it", is_mendable=False)
        try:
            built = architecture_json(config.space.decode(tuple(ask["choices"])))
        except (ValueError, IndexError, AssertionError):
            built = None
        if built != ask["architecture"]:
            yield Fault("I6", f"trial {trial_id}: its architecture is not of its choices", is_mendable=False)


def _expected_seed(contents: LogContents, config: SearchConfig, ask: AskRow) -> int | None:
    """A trial that continues another has its seed."""
    continued = contents.asks.get(ask["continues"]) if ask["continues"] is not None else None
    if continued is not None:
        return int(continued["seed"])
    return trial_seed(config.seed, ask["trial_id"])


def _notes(run: Path, files: DurableFiles, contents: LogContents, declared: Declared) -> Iterator[str]:
    for path in contents.foreign:
        yield f"{path.relative_to(run)}: not ours; left alone"
    if leftovers := len(contents.unfinished) + len(contents.repeated):
        yield f"{leftovers} files that a killed driver left; the next one removes them"
    if are_views_older(run, files, contents):
        yield "trials.parquet is older than the log; the next driver makes it again"
    if lost := declared.losses.trials:
        yield f"declared lost: trials {numbers(lost)}"
    if declared.entries:
        count = len(declared.entries)
        yield f"{count} repair{' is' if count == 1 else 's are'} declared in log/repairs.json"
    if moved := len(list((run / "log" / "quarantine").glob("*"))):
        yield f"{moved} file{' lies' if moved == 1 else 's lie'} in log/quarantine"
