"""The files of a full training: its state after an epoch, its weights, its metrics."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from nas.events import EpochMetrics
from nas.training.fence import DRIVERS, Fence
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.unfinished_files import sweep
from trials.images.data_record import RECORD_FILES
from trials.log.bucket_files import MARKER
from trials.log.durable_files import PRIVATE
from trials.log.file_names import LOCK_FILE as LOCK
from trials.log.object_store import StoreError
from trials.log.run_places import files_of, place_of
from trials.log.tables import DamagedPartError, read_parquet
from trials.training.weights_file import save_tensors, tensors_of

STATES, WEIGHTS, METRICS = "checkpoint", "weights", "metrics.parquet"
SCRATCH = "ray"  # where processes of several devices meet while they train
STATE = re.compile(r"epoch-\d+\.safetensors")
KEPT = 2  # states: the last, and the one before for when the last is damaged


@dataclass(frozen=True, kw_only=True)
class TrainingProgress:
    """Figures that a training goes on from, kept with its tensors after an epoch."""

    epoch: int  # how many are done
    precision: str
    best_accuracy: float  # or of the training's other objective
    best_epoch: int
    best_resolution: int  # at which that was evaluated
    seconds: float  # training and evaluating, over all processes so far
    estimated_seconds: float
    devices: int
    # Decided when it began. Of an earlier version: each epoch was evaluated, the batch is the recipe's.
    evaluate_every: int = 1  # epochs
    batch_size: int = 0
    threads: int = 0  # of the CPU; 0: one for each core


class TrainingFolder:
    """Folder of a full training: its state, metrics and weights; nothing in it is ever half-written.

    Of a training in an object store it is the mirror, which holds no states: they are in the bucket alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = files_of(folder)
        self.fence = Fence(folder, self.files)
        self.metrics: list[EpochMetrics] = []
        self.damaged: list[Path] = []  # states that could not be used

    def create(self) -> None:
        """Makes the folders.

        Raises:
            ConfigError: there is something else in its place, or it cannot be written.
        """
        try:
            self.files.make_folder(self.folder, PRIVATE)
            for name in (STATES, WEIGHTS):
                self.files.make_folder(self.folder / name)
        except OSError as error:
            raise ConfigError(f"{self.folder}: cannot be written here: {error.strerror}") from error

    def sweep(self) -> None:
        """Removes what a killed process left half-written; for the holder of the folder's lock."""
        for folder in (self.folder, self.folder / STATES, self.folder / WEIGHTS):
            sweep(folder)

    @staticmethod
    def is_own(paths: Iterable[Path]) -> bool:
        """True of a folder that holds nothing but what `create` and the lock make."""
        own = (STATES, WEIGHTS, LOCK, SCRATCH, MARKER, DRIVERS, *RECORD_FILES)
        return all(path.name in own for path in paths)

    def weights(self, name: str) -> Path:
        """The path of the `best` or the `last` weights."""
        return self.folder / WEIGHTS / f"{name}.safetensors"

    def save_state(
        self, tensors: Mapping[str, Tensor], progress: TrainingProgress, metrics: Sequence[EpochMetrics]
    ) -> None:
        """Writes the state after an epoch, with all metrics until then; older states are removed after it."""
        path = self.folder / STATES / f"epoch-{progress.epoch:06d}.safetensors"
        rows = [asdict(epoch) for epoch in metrics]
        save_tensors(path, tensors, {**asdict(progress), "metrics": rows}, files=self.files)
        for old in self._states()[:-KEPT]:
            self.files.remove(old)

    def save_metrics(self) -> None:
        """Writes the metrics so far, for others to read: a training goes on with those of its state."""
        frame = pd.DataFrame([asdict(epoch) for epoch in self.metrics])
        self.files.write(self.folder / METRICS, frame.to_parquet(index=False), durable=False)

    def shown_epoch(self) -> int:
        """The last epoch in the metrics that others read; 0 if there are none."""
        try:
            table, _ = read_parquet((self.folder / METRICS).read_bytes())
            return max(table.column("epoch").to_pylist(), default=0)
        except (OSError, DamagedPartError, KeyError, TypeError):
            return 0

    def read_metrics(self) -> tuple[EpochMetrics, ...]:
        """The metrics that others read, in the order of their epochs; empty where there are none.

        Raises:
            ConfigError: they do not read.
        """
        path = self.folder / METRICS
        try:
            rows = read_parquet(path.read_bytes())[0].to_pylist()
            return tuple(sorted(map(_metrics, rows), key=lambda each: each.epoch))
        except FileNotFoundError:
            return ()
        except (OSError, DamagedPartError, KeyError, TypeError) as error:
            raise ConfigError(f"{place_of(path)}: damaged; nas train --run writes it again") from error

    def newest_state(self) -> tuple[dict[str, Tensor], TrainingProgress] | None:
        """Tensors and progress of the newest state that is as it was written; None where there is none.

        Raises:
            ConfigError: the object store does not answer, or refuses: nothing is trained again for that.
        """
        self.metrics = []
        for path in reversed(self._states()):
            try:
                tensors, facts = tensors_of(self.files.read_back(path), str(path))
            except StoreError as error:
                raise ConfigError(f"{place_of(path)}: {error.strerror}") from error
            except (ConfigError, OSError):
                self.damaged.append(path)
                continue
            self.metrics = [_metrics(row) for row in facts["metrics"]]
            return tensors, _progress(facts)
        return None

    def _states(self) -> list[Path]:
        folder = self.folder / STATES
        return [folder / name for name in self.files.names(folder) if STATE.fullmatch(name)]


def _progress(facts: Mapping[str, Any]) -> TrainingProgress:
    """Progress from a state's file; what earlier versions did not write is filled in."""
    known = {"best_resolution": 0, "devices": 1, **facts}
    names = [field.name for field in fields(TrainingProgress)]
    return TrainingProgress(**{name: known[name] for name in names if name in known})


def _metrics(row: Mapping[str, Any]) -> EpochMetrics:
    """An epoch from a state's file; what earlier versions did not write is filled in."""
    known = {
        "train_resolution": row["resolution"],
        "data_seconds": 0.0,
        "minival_balanced_accuracy": None,
        **row,
    }
    return EpochMetrics(**{field.name: known[field.name] for field in fields(EpochMetrics)})
