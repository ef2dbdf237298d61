"""Reports of a search or a training to TensorBoard, MLflow or Weights & Biases, by their own libraries.

Off unless asked for with `--log`. The run directory stays the record: nothing is ever read back from these.
"""

import importlib
import json
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from analysis.trial_rules import COUNTED, may_win, standing
from nas.events import Begun, EpochDone, RowWritten
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.near_names import suggestion
from search_spaces.settings.sentences import first_line
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


TRIAL, EPOCH = "trial_id", "epoch"  # what steps count: of a search, and of a training
# By which TensorBoard's table compares runs; of a search and of a training.
COMPARED = {TRIAL: "best_reward", EPOCH: "minival_accuracy"}
LONGEST_VALUE = 500  # characters of a setting: MLflow refuses longer ones
MOST_AT_ONCE = 100  # settings that MLflow takes in one request


class Logger(Protocol):
    """A service that keeps numbers by step, settings and files. `axis` is TRIAL or EPOCH."""

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        """Keeps numbers by name, at a step; steps may come in any order."""
        ...

    def attach(self, file: Path) -> None:
        """Keeps a file of the run."""
        ...

    def close(self) -> None:
        """Sends what is left."""
        ...


class _TensorBoard:
    def __init__(self, folder: Path, config: Mapping[str, object], axis: str) -> None:
        self._writer = _library("tensorboard").SummaryWriter(str(folder / "tensorboard"))
        self._writer.add_text("config", f"```\n{config}\n```", 0)
        # The session is this folder's own, so that its table has the numbers that are logged below.
        summary = importlib.import_module(f"{PACKAGES['tensorboard']}.summary")
        *begun, self._ended = summary.hparams(settings_of(config), {COMPARED[axis]: 0.0})
        for each in begun:
            self._writer.file_writer.add_summary(each)

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)

    def attach(self, file: Path) -> None:
        # It keeps no files: a page stays where it is, and is named.
        is_text = file.suffix == ".yaml"
        text = f"```\n{file.read_text(encoding='utf-8')}\n```" if is_text else place_of(file)
        self._writer.add_text(file.name, text, 0)

    def close(self) -> None:
        self._writer.file_writer.add_summary(self._ended)
        self._writer.close()


class _MLflow:
    def __init__(self, folder: Path, config: Mapping[str, object], axis: str) -> None:
        self._mlflow = _library("mlflow")
        self._mlflow.set_experiment(PROJECT)
        self._mlflow.start_run(run_name=folder.name)
        settings = [(key, str(value)) for key, value in settings_of(config).items()]
        for i in range(0, len(settings), MOST_AT_ONCE):
            self._mlflow.log_params(dict(settings[i : i + MOST_AT_ONCE]))

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        self._mlflow.log_metrics(dict(scalars), step=step)

    def attach(self, file: Path) -> None:
        self._mlflow.log_artifact(str(file))

    def close(self) -> None:
        self._mlflow.end_run()


class _Wandb:
    def __init__(self, folder: Path, config: Mapping[str, object], axis: str) -> None:
        self._wandb, self._axis = _library("wandb"), axis
        self._name = re.sub(r"[^\w.-]+", "-", folder.name, flags=re.ASCII) or "run"
        self._run = self._wandb.init(project=PROJECT, name=folder.name, dir=str(folder), config=dict(config))
        # Its own step may only grow, and trials end in another order than that of their numbers.
        self._run.define_metric(axis)
        self._run.define_metric("*", step_metric=axis)

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        self._run.log({**scalars, self._axis: step})

    def attach(self, file: Path) -> None:
        artifact = self._wandb.Artifact(f"{self._name}-{file.name}", type=file.stem)
        artifact.add_file(str(file))
        self._run.log_artifact(artifact)

    def close(self) -> None:
        self._run.finish()


LOGGERS: dict[str, Callable[[Path, Mapping[str, object], str], Logger]] = {
    "tensorboard": _TensorBoard,
    "mlflow": _MLflow,
    "wandb": _Wandb,
}


class Loggers(AbstractContextManager["Loggers"]):
    """Loggers by name; use as a context manager, and pass `show` the events of the search or the training.

    An error of a service stops nothing: it is said once, and the search or training goes on without it.

    Args:
        say: is told what a service did not take, in a sentence.
        at_stop: files that are attached where the search or training ends by an error or is stopped.

    Raises:
        ConfigError: there is no such logger, its library is not installed, or its files have no place.
    """

    def __init__(
        self,
        names: Sequence[str],
        folder: Path,
        config: Mapping[str, object],
        *,
        say: Callable[[str], None] = warnings.warn,
        at_stop: Sequence[Path] = (),
    ) -> None:
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
        self._names, self._folder, self._config, self._say = names, folder, config, say
        self._at_stop = at_stop
        self._loggers: dict[str, Logger] | None = None  # those that go on; None before the first number
        self._best = (0, 0.0)  # epochs, reward

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and self._loggers:
            for note in self.attach(*self._at_stop):
                self._say(note)
        for name, logger in (self._loggers or {}).items():
            try:
                logger.close()
            except Exception as fault:  # of whatever kind the service's library has
                self._say(f"--log {name}: it was not closed, and may lack the end ({first_line(fault)})")

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
            self._log(scalars | {"best_reward": self._best[1]}, row["trial_id"], TRIAL)
        elif isinstance(event, EpochDone):
            self._log(_scalars(vars(event.metrics), EPOCH_SCALARS), event.metrics.epoch, EPOCH)

    def attach(self, *files: Path) -> list[str]:
        """Gives files of the run to all services, as far as they are there.

        Services begin with them where nothing was logged, as when a search continues with nothing left.

        Returns:
            Sentences about what a service did not take: by then the search has succeeded.
        """
        notes = []
        there = [file for file in files if file.is_file()]
        for name, logger in self._begun(TRIAL).items() if there else ():
            for file in there:
                try:
                    logger.attach(file)
                except Exception as error:  # of whatever kind the service's library has
                    notes.append(f"--log {name}: {file.name} was not attached ({first_line(error)})")
        return notes

    def _compare_with_best(self, row: TrialRow) -> None:
        if may_win(row):
            self._best = max(self._best, standing(row))

    def _log(self, scalars: Mapping[str, float], step: int, axis: str) -> None:
        for name, logger in list(self._begun(axis).items()):
            try:
                logger.log(scalars, step)
            except Exception as error:  # of whatever kind the service's library has
                self._give_up(name, error)

    def _begun(self, axis: str) -> dict[str, Logger]:
        """The services that go on; they begin at the first call."""
        if self._loggers is None:
            self._loggers = {}
            for name in self._names:
                try:
                    self._loggers[name] = LOGGERS[name](self._folder, self._config, axis)
                except Exception as error:  # of whatever kind the service's library has
                    self._give_up(name, error)
        return self._loggers

    def _give_up(self, name: str, error: Exception) -> None:
        """Says why a service gets no more, and closes it as far as it can be."""
        self._say(f"--log {name}: nothing more is logged there ({first_line(error)}); all else goes on")
        logger = (self._loggers or {}).pop(name, None)
        if logger is not None:
            with suppress(Exception):
                logger.close()


def settings_of(config: Mapping[str, object]) -> dict[str, bool | int | float | str]:
    """A configuration's settings by path (`recipe.epochs`): lists as JSON, without what is not given."""
    found: dict[str, bool | int | float | str] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found |= {f"{key}.{name}": each for name, each in settings_of(value).items()}
        elif isinstance(value, bool | int | float):
            found[key] = value
        elif value is not None:
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            found[key] = text[:LONGEST_VALUE]
    return found


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
