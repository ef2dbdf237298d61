"""Trials chosen from a run, and their architectures as YAML with their provenance: one, or the front."""

from collections.abc import Mapping
from pathlib import Path

from analysis.finalists import Standing, finalists, standings
from analysis.pareto import pareto_front
from nas.results.winner import run_winner
from nas.search.best_file import architecture_of, best_yaml, provenance_of
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.output_files import refuse_existing, writing
from trials.log.row_types import TrialRow
from trials.log.run_reader import recorded_trials


def exported_row(run: Path, *, trial: int | None) -> tuple[TrialRow, Standing | None]:
    """The row of a trial of a run, by default the winner's; and its standing, if it selected a finalist.

    Raises:
        ConfigError: `run` is no run, or it has no such completed trial.
    """
    rows = {row["trial_id"]: row for row in recorded_trials(run)}
    if trial is not None:
        row = chosen_row(rows, trial=trial, run=run)
        found = standings(finalists(rows.values()))
        return row, next((each for each in found if each.finalist.trial_id == trial), None)
    chosen = run_winner(run, rows.values())
    if chosen is None:
        raise _none_completed(run)
    return rows[chosen.trial_id], chosen.standing


def best_of_run(run: Path) -> tuple[int, Architecture]:
    """The winner of a run, or the best so far: its trial, and its architecture with its provenance.

    Raises:
        ConfigError: no trial has completed yet.
    """
    row, standing = exported_row(run, trial=None)
    return row["trial_id"], architecture_of(row, provenance=provenance_of(row, run=run, standing=standing))


def export_front(run: Path, *, folder: Path, force: bool) -> list[Path]:
    """Writes the run's Pareto front of its objective, step time and parameters, one YAML file for each trial.

    Raises:
        ConfigError: `run` is no run or has no completed trial; a file exists and `force` is not given.
    """
    rows = pareto_front(recorded_trials(run))
    if not rows:
        raise _none_completed(run)
    files = {folder / f"trial-{row['trial_id']:05d}.yaml": row for row in rows}
    refuse_existing(*files, force=force)
    for path, row in files.items():
        with writing(path):
            path.write_text(best_yaml(row, run=run, file=path), encoding="utf-8")
    return list(files)


def chosen_row(rows: Mapping[int, TrialRow], *, trial: int, run: Path) -> TrialRow:
    """The row of a completed trial, also of one that an equal trial answered.

    Raises:
        ConfigError: there is no such trial, or it has not completed.
    """
    row = rows.get(trial)
    if row is None:
        known = f"trials are 0 to {max(rows)}" if rows else "it has no finished trial"
        raise ConfigError(f"{run}: there is no finished trial {trial}; {known}")
    if row["status"] not in ("completed", "cached") or row["accuracy"] is None:
        raise ConfigError(
            f"{run}: trial {trial} is {row['status']}"
            + (f" ({row['failure_kind']})" if row.get("failure_kind") else "")
            + "; only completed trials can be exported"
        )
    return row


def _none_completed(run: Path) -> ConfigError:
    return ConfigError(f"{run}: no trial has completed yet; wait for the first, or look at its trials")
