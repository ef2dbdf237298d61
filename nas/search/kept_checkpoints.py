"""Which trainings' states are kept: of trials in flight, and of those that a longer trial may go on from."""

import shutil
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from nas.search.config import SearchConfig
from trials.checkpoint import TrialCheckpoint
from trials.images.config import DataConfig
from trials.trial import Trial

FOLDER = "checkpoints"  # in the run directory, where the search file names no other


def checkpoint_folder(config: SearchConfig, run: Path) -> Path | None:
    """Where workers keep the state of trials; None: a lost trial starts again, and none goes on."""
    if config.checkpoint_dir is not None:
        return Path(config.checkpoint_dir).absolute()
    return run.absolute() / FOLDER if config.rungs else None


class KeptCheckpoints:
    """The files of one run's trials in `folder`; None: there are none.

    What is missing, or was removed too early, costs no result: the trial is trained again from its start.

    Args:
        is_own: whether the folder is the run's alone, and goes with it.
        continuable: the trials whose state may soon be needed; None: of those that have ended no one's is.
    """

    def __init__(
        self,
        folder: Path | None,
        data: DataConfig,
        *,
        is_own: bool,
        continuable: Callable[[], Collection[int]] | None,
    ) -> None:
        self._folder, self._data, self._is_own = folder, data, is_own
        self._continuable = continuable
        self._files: dict[int, Path] = {}  # of trials that have ended, if somebody may go on from them

    @property
    def are_there(self) -> bool:
        """Whether trials keep their state at all."""
        return self._folder is not None

    def ended(self, trial: Trial) -> None:
        """A trial's row is durable; its file goes with the next `prune`, unless it is still of use."""
        if self._folder is not None:
            self._files[trial.trial_id] = self._file(trial)

    def prune(self, in_flight: Iterable[Trial]) -> None:
        """Removes the files that no trial in flight uses and none may soon go on from."""
        if not self._files:
            return
        wanted = frozenset(self._continuable() if self._continuable else ())
        used = {self._file(trial) for trial in in_flight} | {
            file for trial_id, file in self._files.items() if trial_id in wanted
        }
        for file in set(self._files.values()) - used:
            file.unlink(missing_ok=True)
        self._files = {trial_id: file for trial_id, file in self._files.items() if trial_id in wanted}

    def remove_all(self) -> None:
        """The search is over."""
        for file in self._files.values():
            file.unlink(missing_ok=True)
        self._files = {}
        if self._folder is not None and self._is_own and self._folder.is_dir():
            shutil.rmtree(self._folder)

    def _file(self, trial: Trial) -> Path:
        assert self._folder is not None
        return TrialCheckpoint(self._folder, trial, self._data).path
