"""A trial's architecture as YAML, with where it comes from."""

from collections.abc import Mapping
from pathlib import Path

from analysis.finalists import Finalist, finalists
from analysis.pareto import pareto_front
from analysis.rungs import may_win, standing
from nas.results.winner import winner_id
from nas.search.best_file import best_yaml
from search_spaces.settings.yaml_files import ConfigError
from trials.log.row_types import TrialRow
from trials.log.store import recorded_trials


def export_trial(run: Path, *, trial: int | None, output: Path | None, force: bool) -> str:
    """The YAML text of a trial of a run (default: the winner), also written to `output` if given.

    Raises:
        ConfigError: `run` is no run, it has no such completed trial, or `output` exists and `force` is not
        given.
    """
    refuse_existing(output, force=force)
    row, repeats = exported_row(run, trial=trial)
    text = best_yaml(row, run=run, repeats=repeats)
    if output is not None:
        write_text(output, text)
    return text


def exported_row(run: Path, *, trial: int | None) -> tuple[TrialRow, Finalist | None]:
    """The row of a trial of a run, by default the winner's with what its repeats said.

    Raises:
        ConfigError: `run` is no run, or it has no such completed trial.
    """
    rows = {row["trial_id"]: row for row in recorded_trials(run)}
    ranked = finalists(rows.values())
    if trial is None and ranked:
        return rows[ranked[0].trial_id], ranked[0]
    trial = _completed_winner(run, rows) if trial is None else trial
    return chosen_row(rows, trial=trial, run=run), None


def write_text(output: Path, text: str) -> None:
    """Writes a file, with the folders it needs.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{output}: cannot be written: {error.strerror}") from error


def refuse_existing(output: Path | None, *, force: bool) -> None:
    """Refuses to replace a file unasked.

    Raises:
        ConfigError: `output` exists and `force` is not given.
    """
    if output is not None and output.exists() and not force:
        raise ConfigError(f"{output}: this file exists; choose another name, or replace it with --force")


def export_front(run: Path, *, folder: Path, force: bool) -> list[Path]:
    """Writes the run's Pareto front of accuracy, step time and parameters, one YAML file for each trial.

    Raises:
        ConfigError: `run` is no run or has no completed trial; a file exists and `force` is not given.
    """
    rows = pareto_front(recorded_trials(run))
    if not rows:
        raise ConfigError(f"{run}: no trial has completed yet; wait for the first, or look at its trials")
    files = {folder / f"trial-{row['trial_id']:05d}.yaml": row for row in rows}
    if existing := [path for path in files if path.exists() and not force]:
        raise ConfigError(f"{existing[0]}: this file exists; choose another folder, or add --force")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, row in files.items():
            path.write_text(best_yaml(row, run=run), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written: {error.strerror}") from error
    return list(files)


def _completed_winner(run: Path, rows: Mapping[int, TrialRow]) -> int | None:
    winner = winner_id(run)
    row = None if winner is None else rows.get(winner)
    return winner if row is not None and row["status"] == "completed" else None


def chosen_row(rows: Mapping[int, TrialRow], *, trial: int | None, run: Path) -> TrialRow:
    """The given trial's row, or that of the best completed one by reward.

    Raises:
        ConfigError: there is no such trial, or none that has completed.
    """
    completed = [row for row in rows.values() if row["status"] in ("completed", "cached")]
    completed = [row for row in completed if row["accuracy"] is not None]
    if trial is None:
        best = max(filter(may_win, completed), key=standing, default=None)
        if best is None:
            raise ConfigError(f"{run}: no trial has completed yet; wait for the first, or look at its trials")
        return best
    row = rows.get(trial)
    if row is None:
        known = f"trials are 0 to {max(rows)}" if rows else "it has no finished trial"
        raise ConfigError(f"{run}: there is no finished trial {trial}; {known}")
    if row not in completed:
        raise ConfigError(
            f"{run}: trial {trial} is {row['status']}"
            + (f" ({row['failure_kind']})" if row.get("failure_kind") else "")
            + "; only completed trials can be exported"
        )
    return row
