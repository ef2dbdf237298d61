"""Reports of a search or a training to TensorBoard, MLflow or Weights & Biases, by their own libraries.

Off unless asked for with `--log`. The run directory stays the record: nothing is ever read back from these.
"""

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from analysis.trial_rules import COUNTED, may_win, standing
from nas.events import Begun, EpochDone, RowWritten
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.near_names import suggestion
from trials.log.row_types import TrialRow
from trials.log.run_places import is_in_store, place_of

PROJECT = "training-aware-nas"
PACKAGES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}
FILES_IN_RUN = ("tensorboard", "wandb")
TRIAL_SCALARS = (
    "reward",
    "accuracy",
    "balanced_accuracy",
    "step_time_ratio",
    "params",
    "macs",
    "train_seconds",
)
EPOCH_SCALARS = (
    "train_loss",
    "train_accuracy",
    "minival_loss",
    "minival_accuracy",
    "minival_accuracy_raw",
    "minival_balanced_accuracy",
    "learning_rate",
    "resolution",
    "images_per_second",
)


class Logger(Protocol):
    """A service that keeps numbers by step."""

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        """Keeps numbers by name, at a step."""
        ...

    def close(self) -> None:
        """Sends what is left."""
        ...


class _TensorBoard:
    def __init__(self, folder: Path, config: Mapping[str, object]) -> None:
        self._writer = _library("tensorboard").SummaryWriter(str(folder / "tensorboard"))
        self._writer.add_text("config", f"```\n{config}\n```", 0)

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _MLflow:
    def __init__(self, folder: Path, config: Mapping[str, object]) -> None:
        self._mlflow = _library("mlflow")
        self._mlflow.set_experiment(PROJECT)
        self._mlflow.start_run(run_name=folder.name)
        self._mlflow.log_params({key: str(value)[:500] for key, value in config.items()})

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        self._mlflow.log_metrics(dict(scalars), step=step)

    def close(self) -> None:
        self._mlflow.end_run()


class _Wandb:
    def __init__(self, folder: Path, config: Mapping[str, object]) -> None:
        wandb = _library("wandb")
        self._run = wandb.init(project=PROJECT, name=folder.name, dir=str(folder), config=dict(config))

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        self._run.log(dict(scalars), step=step)

    def close(self) -> None:
        self._run.finish()


LOGGERS: dict[str, Callable[[Path, Mapping[str, object]], Logger]] = {
    "tensorboard": _TensorBoard,
    "mlflow": _MLflow,
    "wandb": _Wandb,
}


class Loggers(AbstractContextManager["Loggers"]):
    """Loggers by name; use as a context manager, and pass `show` the events of the search or the training.

    Raises:
        ConfigError: there is no such logger, its library is not installed, or its files have no place.
    """

    def __init__(self, names: Sequence[str], folder: Path, config: Mapping[str, object]) -> None:
        for name in names:
            if name not in LOGGERS:
                known = f"{', '.join(LOGGERS)}{suggestion(name, LOGGERS)}"
                raise ConfigError(f"--log {name}: there is no such logger; there are {known}")
            if name in FILES_IN_RUN and is_in_store(place := place_of(folder)):
                raise ConfigError(
                    f"--log {name}: its files lie in the run, and {place} is in an object store, which does "
                    "not get them; leave it out, or take a folder for --run"
                )
        for name in names:
            _library(name)
        self._names, self._folder, self._config = names, folder, config
        self._loggers: list[Logger] = []
        self._best = (0, 0.0)  # epochs, reward

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for logger in self._loggers:
            logger.close()

    def show(self, event: object) -> None:
        """Logs a trial's row, or an epoch of a training. Other events are ignored.

        Services begin with the first: not before.
        """
        if isinstance(event, Begun):
            for recorded in event.rows:
                self._compare_with_best(recorded)
        elif isinstance(event, RowWritten) and event.row["status"] in COUNTED:
            row = event.row
            self._compare_with_best(row)
            scalars = _scalars(row, TRIAL_SCALARS)
            if row["purpose"] == "finalist":  # longer than trials: figures of their own
                scalars = {f"finalist_{name}": value for name, value in scalars.items()}
            self._log(scalars | {"best_reward": self._best[1]}, row["tell_seq"])
        elif isinstance(event, EpochDone):
            self._log(_scalars(vars(event.metrics), EPOCH_SCALARS), event.metrics.epoch)

    def _compare_with_best(self, row: TrialRow) -> None:
        if may_win(row):
            self._best = max(self._best, standing(row))

    def _log(self, scalars: Mapping[str, float], step: int) -> None:
        if not self._loggers:
            self._loggers = [LOGGERS[name](self._folder, self._config) for name in self._names]
        for logger in self._loggers:
            logger.log(scalars, step)


def _scalars(row: Mapping[str, object], names: Sequence[str]) -> dict[str, float]:
    """Columns of a trial's or an epoch's row that are finite numbers."""
    known = {name: row.get(name) for name in names}
    numbers = {name: float(value) for name, value in known.items() if isinstance(value, int | float)}
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


def _library(name: str) -> Any:
    package = PACKAGES[name]
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"--log {name}: the package {package} is not installed here; pip install {package}"
        ) from error
