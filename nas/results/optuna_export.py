"""A run as an Optuna study, for optuna-dashboard and for notebooks on studies."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from nas.search.recorded_config import recorded_config
from search_spaces.choices.space import SearchSpace
from search_spaces.settings.config_error import ConfigError
from trials.log.row_types import TrialRow, measured
from trials.log.run_reader import recorded_trials
from trials.objective import curve_of

# Columns that go with a trial under their own names.
ATTRIBUTES = (
    "trial_id", "purpose", "status", "failure_kind", "accuracy", "step_time_ratio", "step_seconds", "params",
    "macs", "peak_memory_bytes", "inference_seconds", "epochs", "resolution", "batch_size", "precision",
    "device_name", "host", "architecture_id", "strategy", "seed", "error", "continues", "objective",
    "balanced_accuracy",
)  # fmt: skip
# A stopped trial has only a bound of its reward; a crash or an unfit architecture has none.
STATES = {"completed": TrialState.COMPLETE, "cached": TrialState.COMPLETE, "stopped": TrialState.PRUNED}


def export_study(run: Path, *, storage: str, force: bool) -> tuple[str, int]:
    """Writes a run's rows as a study of its name into a database; that name, and how many trials.

    Finalists' trainings that are longer than trials are left out: a study has one best value.

    Args:
        storage: as SQLAlchemy writes it, sqlite:///runs.db for a file.

    Raises:
        ConfigError: `run` is no run or has no finished trial, the database cannot be used, or it has a study
            of this name and `force` is not given. Nothing was written.
    """
    rows = [row for row in recorded_trials(run) if row["purpose"] != "finalist"]
    rows.sort(key=lambda row: row["trial_id"])
    trials = frozen_trials(rows, recorded_config(run).space)
    name = run.resolve().name
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with _database(storage) as database:
        if name in optuna.get_all_study_names(database):
            if not force:
                raise ConfigError(
                    f"{storage}: it has a study named {name} already; choose another database, or replace "
                    "the study with --force"
                )
            optuna.delete_study(study_name=name, storage=database)
        study = optuna.create_study(storage=database, study_name=name, direction="maximize")
        study.set_user_attr("run", str(run.resolve()))
        study.add_trials(trials)
    return name, len(trials)


@contextmanager
def _database(storage: str) -> Iterator[Any]:
    """The storage at this address; an SQLite file that was not there is removed if it cannot be filled."""
    file = _sqlite_file(storage)
    is_new = file is not None and not file.exists()
    if file is not None and not file.parent.is_dir():
        raise ConfigError(f"--optuna {storage}: there is no folder {file.parent}; make it first")
    database = None
    try:
        database = optuna.storages.RDBStorage(storage)
        yield database
    except (SQLAlchemyError, ImportError, ValueError) as error:
        if is_new and file is not None:
            file.unlink(missing_ok=True)
        if isinstance(error, ConfigError):
            raise
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"--optuna {storage}: this database cannot be used: {reason}") from None
    finally:
        if database is not None:
            database.remove_session()


def _sqlite_file(storage: str) -> Path | None:
    """The file of an SQLite address; None of another database.

    Raises:
        ConfigError: it is no address.
    """
    try:
        url = make_url(storage)
    except SQLAlchemyError:
        raise ConfigError(
            f"--optuna {storage}: a database's address is expected, as in sqlite:///runs.db"
        ) from None
    if url.get_backend_name() != "sqlite":
        return None
    if not url.database or url.database == ":memory:":
        raise ConfigError(f"--optuna {storage}: names no file; sqlite:///runs.db does")
    return Path(url.database)


def frozen_trials(rows: Sequence[TrialRow], space: SearchSpace) -> list[FrozenTrial]:
    """Rows as finished trials: decisions by stage and name, the reward as value, the objective by epoch."""
    distributions = decision_distributions(space)
    return [_frozen(number, row, distributions) for number, row in enumerate(rows)]


def decision_distributions(space: SearchSpace) -> dict[str, CategoricalDistribution]:
    """The decisions of a space in their order, by stage and name, with their options."""
    return {
        f"{decision.stage + 1}. {decision.field}": CategoricalDistribution(
            [_plain(option) for option in decision.options]
        )
        for decision in space.decisions
    }


def _frozen(number: int, row: TrialRow, distributions: Mapping[str, CategoricalDistribution]) -> FrozenTrial:
    state = STATES.get(row["status"], TrialState.FAIL)
    values = enumerate(curve_of(row), start=1)
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=state,
        value=measured(row, "reward") if state == TrialState.COMPLETE else None,
        datetime_start=_local(row["started_at"] or row["asked_at"]),
        datetime_complete=_local(row["finished_at"]),
        params={
            name: distribution.choices[choice]
            for (name, distribution), choice in zip(distributions.items(), row["choices"], strict=True)
        },
        distributions=dict(distributions),
        user_attrs={key: _plain(value) for key in ATTRIBUTES if (value := row.get(key)) is not None},
        system_attrs={},
        intermediate_values={epoch: float(value) for epoch, value in values},
    )


def _local(time: datetime | None) -> datetime | None:
    """A time as Optuna keeps it: local, and without a zone."""
    return time.astimezone().replace(tzinfo=None) if time is not None else None


def _plain(value: object) -> bool | int | float | str:
    """A value as a study can hold it: numbers and text; other options as JSON."""
    return value if isinstance(value, bool | int | float | str) else json.dumps(value, default=str)
