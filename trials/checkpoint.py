"""Checkpoints of trials, written after each epoch into a folder, or an object store, that all workers reach.

With them a lost worker costs one epoch, and a longer trial continues where a shorter one ended.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import to_mapping
from trials.images.config import DataConfig
from trials.log.durable_files import DurableFiles
from trials.log.run_places import check_reached, states_at
from trials.objective import ACCURACY
from trials.training.step import TrainingStep
from trials.training.train import EpochEnd
from trials.training.weights_file import load_tensors, save_tensors
from trials.trial import Trial


class TrialCheckpoint:
    """The checkpoint file of one training: its tensors, and the figures of its epochs so far.

    The file's name is a hash of everything that determines the training, so that runs may share a folder. A
    trial and those that continue it have the same seed and share a file. A checkpoint that is damaged, or
    was computed in another precision, is not used.
    """

    def __init__(
        self,
        folder: Path,
        trial: Trial,
        data: DataConfig,
        *,
        data_digest: str = "",
        files: DurableFiles | None = None,
    ) -> None:
        """Names the file.

        Args:
            data_digest: of the images, since a configuration names only where they lie.
            files: the folder's; by default those of a disk.
        """
        self._architecture_id = trial.architecture.architecture_id
        identity = {
            "architecture": self._architecture_id,
            "recipe": trial.recipe.identity(),
            "data": to_mapping(data),
            "data_digest": data_digest,
            "epochs": None if trial.recipe.is_extensible else trial.epochs,
            "seed": trial.seed,
        }
        if trial.objective != ACCURACY:  # earlier versions measured nothing else
            identity["objective"] = trial.objective
        text = json.dumps(identity, sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.path = folder / f"training-{digest}.safetensors"
        self._files = files or DurableFiles()

    def save(self, step: TrainingStep, ends: Sequence[EpochEnd]) -> None:
        """Replaces the checkpoint; durable when it returns.

        Raises:
            OSError: it cannot be written, which ends the trial as crashed: a disk that is full, or a store
                that has not answered for a minute.
        """
        if self._files.have_locks:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        facts = {
            "precision": step.precision,
            "architecture_id": self._architecture_id,
            "ends": [vars(end) for end in ends],
        }
        save_tensors(self.path, step.state(), facts, files=self._files)

    def restore(self, step: TrainingStep) -> list[EpochEnd]:
        """Loads the checkpoint into the step and returns its epochs; without a valid one, returns none."""
        try:
            tensors, facts = load_tensors(self.path, files=self._files)
            ends = [EpochEnd(**end) for end in facts["ends"]]
        except (ConfigError, KeyError, TypeError):
            return []
        own = step.state()
        if facts.get("precision") != step.precision or {n: t.shape for n, t in own.items()} != {
            name: tensor.shape for name, tensor in tensors.items()
        }:
            return []
        step.load({name: tensor.to(step.device) for name, tensor in tensors.items()})
        return ends


class Checkpoints:
    """The checkpoints of a worker's trials: in a folder or store that all workers reach, or nowhere."""

    def __init__(self, place: str | Path | None, data: DataConfig, *, data_digest: str) -> None:
        self._place, self._data, self._data_digest = place, data, data_digest
        self._states = None if place is None else states_at(place)

    def check_reached(self) -> None:
        """Checks that this host reaches the place.

        Raises:
            ConfigError: it does not.
        """
        if self._place is not None:
            check_reached(self._place)

    def of(self, trial: Trial) -> TrialCheckpoint | None:
        """The trial's checkpoint, whether or not there is one yet; None where none are kept."""
        if self._states is None:
            return None
        folder, files = self._states
        return TrialCheckpoint(folder, trial, self._data, data_digest=self._data_digest, files=files)
