"""The files of a full training: its state after each epoch, its weights, its metrics."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from search_spaces.settings.yaml_files import ConfigError
from trials.log.driver_lock import NAME as LOCK
from trials.log.durable_files import DurableFiles
from trials.training.weights_file import load_tensors, save_tensors

STATES, WEIGHTS, METRICS = "checkpoint", "weights", "metrics.parquet"
SCRATCH = "ray"  # where processes of several devices meet while they train
KEPT = 2  # states: the last, and the one before for when the last is damaged


class TrainingFolder:
    """Where a full training keeps what it has reached; nothing in it is ever half-written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metrics: list[dict[str, Any]] = []
        self.damaged: list[Path] = []  # states that could not be used

    def create(self) -> None:
        """Makes the folders.

        Raises:
            ConfigError: there is something else in its place, or it cannot be written.
        """
        try:
            for name in (STATES, WEIGHTS):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{self.folder}: cannot be written here: {error.strerror}") from error

    @staticmethod
    def is_own(paths: Iterable[Path]) -> bool:
        """Whether a folder holds nothing but what `create` and the lock make."""
        return all(path.name in (STATES, WEIGHTS, LOCK, SCRATCH) for path in paths)

    def weights(self, name: str) -> Path:
        """The path of the `best` or the `last` weights."""
        return self.folder / WEIGHTS / f"{name}.safetensors"

    def save_state(self, epoch: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """The state after so many epochs, with the metrics up to there; older states are removed after."""
        path = self.folder / STATES / f"epoch-{epoch:06d}.safetensors"
        save_tensors(path, tensors, {**facts, "epoch": epoch, "metrics": self.metrics})
        DurableFiles().write(
            self.folder / METRICS, pd.DataFrame(self.metrics).to_parquet(index=False), durable=False
        )
        for old in self._states()[:-KEPT]:
            old.unlink(missing_ok=True)

    def newest_state(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and facts of the newest state that is as it was written; None where there is none."""
        for path in reversed(self._states()):
            try:
                tensors, facts = load_tensors(path)
            except ConfigError:
                self.damaged.append(path)
                continue
            self.metrics = facts["metrics"]
            return tensors, facts
        return None

    def _states(self) -> list[Path]:
        return sorted((self.folder / STATES).glob("epoch-*.safetensors"))
