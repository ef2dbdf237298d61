"""Facts of a card from the search that found the architecture: its step time, its audit, its log's digest."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isclose, isfinite
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.frame import read_trials
from analysis.proxy_audit import proxy_audit
from nas.results.audit import AuditFigures, audit_figures
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.sentences import one_line
from trials.log.earlier_log import values_digest
from trials.log.file_names import AUDIT_FOLDER
from trials.log.row_types import TrialRow
from trials.log.run_folder import is_run
from trials.log.run_places import place_of, run_folder
from trials.log.run_reader import recorded_trials


@dataclass(frozen=True, kw_only=True)
class RecordedStepTime:
    """A training step's time, as it was recorded where it was measured; None: not recorded."""

    ratio: float  # to the reference network of the search
    relative_error: float | None  # standard error of the ratio, over the ratio
    seconds: float | None
    seconds_p10: float | None
    seconds_p90: float | None
    reference_seconds: float | None
    device: str | None
    resolution: int | None
    batch_size: int | None
    precision: str | None
    mode: str | None
    source: str | None  # measured or predicted
    is_exclusive: bool | None
    uncertain: str | None  # why it is uncertain

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the ratio."""
        if self.relative_error is None:
            return None
        half = 1.96 * self.relative_error * self.ratio
        return (self.ratio - half, self.ratio + half)


@dataclass(frozen=True, kw_only=True)
class SearchFacts:
    """A search's run: the trial whose architecture this is, all trials' digest, and its audit."""

    run: str  # its name
    trial_id: int
    trials: int  # that have finished
    strategy: str | None
    step_time: RecordedStepTime | None
    log_digest: str  # SHA-256 of the rows of all finished trials
    audit: AuditFigures | None
    audit_epochs: tuple[int, int] | None  # the fewest and the most of an architecture's long trainings
    trials_of_it: int = 1  # that have completed with this architecture; none of several is named


def found_run(architecture: Architecture, training: Path, *, given: Path | None) -> Path | None:
    """The run of the search that an architecture names as its origin, or the given one; None without one.

    Looked for where runs usually are: in runs/, beside the training, and in runs/ beside its folder.

    Raises:
        ConfigError: the given one is no run, or has no trial of this architecture.
    """
    if given is not None:
        _trial_row(given, architecture)
        return given
    name = Path(str((architecture.provenance or {}).get("run", ""))).name
    if not name:
        return None
    above = training.absolute().parent
    for folder in (Path("runs") / name, above / name, above.parent / "runs" / name, above.parent / name):
        if is_run(folder):
            folder = run_folder(place_of(folder))  # of a mirror what its store has now
            try:
                _trial_row(folder, architecture)
            except ConfigError:  # another run of this name
                continue
            return folder
    return None


def search_facts(run: Path, architecture: Architecture) -> SearchFacts:
    """The facts of a run about the trial of this architecture.

    Raises:
        ConfigError: it does not read, or has no trial of this architecture.
    """
    rows = sorted(recorded_trials(run), key=lambda each: each["trial_id"])
    row, same = _trial_row(run, architecture)
    audits = _audits(run)
    found = None if audits is None else proxy_audit(_frame(run), audits)
    figures = audit_figures(Path(run.name), found)  # its place here is nobody's business
    return SearchFacts(
        run=one_line(run.absolute().name),
        trial_id=int(row["trial_id"]),
        trials=len(rows),
        strategy=row.get("strategy"),
        step_time=step_time_of(row),
        log_digest=values_digest(rows),
        audit=figures if isinstance(figures, AuditFigures) else None,
        audit_epochs=None
        if found is None
        else (int(found.pairs["epochs"].min()), int(found.pairs["epochs"].max())),
        trials_of_it=same,
    )


def step_time_of(row: Mapping[str, object]) -> RecordedStepTime | None:
    """The step time of a trial's row, or of an architecture's provenance; None where there is none."""

    def number(name: str) -> Any:
        value = row.get(name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
        return value if is_number else None

    if (ratio := number("step_time_ratio")) is None:
        return None

    def text(*names: str) -> str | None:
        return next((str(row[name]) for name in names if row.get(name) is not None), None)

    exclusive = row.get("timing_exclusive")
    return RecordedStepTime(
        ratio=float(ratio),
        relative_error=number("step_time_ratio_error"),
        seconds=number("step_seconds"),
        seconds_p10=number("step_seconds_p10"),
        seconds_p90=number("step_seconds_p90"),
        reference_seconds=number("reference_step_seconds"),
        device=text("timing_device", "device_name"),
        resolution=number("timing_resolution") or number("resolution"),
        batch_size=number("timing_batch_size") or number("batch_size"),
        precision=text("timing_precision", "precision"),
        mode=text("timing_mode"),
        source=text("timing_source"),
        is_exclusive=exclusive if isinstance(exclusive, bool) else None,
        uncertain=text("timing_flag", "uncertain_step_time"),
    )


def _trial_row(run: Path, architecture: Architecture) -> tuple[TrialRow, int]:
    """The trial that an architecture's provenance names, or the first one of it where none is named.

    Returns:
        Its row; how many trials it could be.

    Raises:
        ConfigError: there is none, or the one that is named is another one here.
    """
    wanted, provenance = architecture.architecture_id, architecture.provenance or {}
    rows = [row for row in recorded_trials(run) if row["architecture_id"] == wanted]
    completed = [
        row for row in rows if row["status"] == "completed" and row.get("step_time_ratio") is not None
    ]
    if not completed:
        raise ConfigError(f"{run}: this run has no completed trial of the architecture {wanted}")
    if "trial_id" not in provenance:
        return completed[0], len(completed)
    for row in completed:
        if row["trial_id"] == provenance["trial_id"] and not (other := _difference(row, provenance)):
            return row, 1
        if row["trial_id"] == provenance["trial_id"]:
            raise ConfigError(
                f"{run}: this is not the run that found the architecture: the {other} of its trial "
                f"{row['trial_id']} is another one than the architecture's file records"
            )
    raise ConfigError(
        f"{run}: this is not the run that found the architecture: its trial {provenance['trial_id']} is not "
        f"one of the architecture {wanted}"
    )


def _difference(row: TrialRow, provenance: Mapping[str, object]) -> str:
    """The first field that a trial's row has otherwise than a provenance records it; empty if none."""
    at = row["finished_at"]
    found: dict[str, object] = {
        "seed": row.get("seed"),
        "finished_at": None if at is None else at.isoformat(timespec="seconds"),
    }
    if "selected_by" not in provenance:  # of a finalist it is the mean of its own trainings
        found["step_time_ratio"] = row.get("step_time_ratio")
    for name, value in found.items():
        if value is not None and name in provenance and not _is_same(value, provenance[name]):
            return name
    return ""


def _is_same(value: object, recorded: object) -> bool:
    """True of equal values, also of a time that YAML has read as one, and of a number that was rounded."""
    if isinstance(value, float) and isinstance(recorded, int | float):
        return isclose(value, recorded, rel_tol=1e-6)
    return str(value).replace(" ", "T") == str(recorded).replace(" ", "T")


def _frame(run: Path) -> pd.DataFrame:
    try:
        return read_trials(run)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _audits(run: Path) -> pd.DataFrame | None:
    """Rows of longer trainings; None where there has been no audit."""
    try:
        return _frame(run / AUDIT_FOLDER)
    except FileNotFoundError:
        return None
