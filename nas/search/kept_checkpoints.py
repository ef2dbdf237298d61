"""Checkpoints that are kept: of trials in flight, and of those that a longer trial may go on from."""

import shutil
from collections.abc import Callable, Collection
from pathlib import Path

from nas.search.config import SearchConfig
from trials.checkpoint import TrialCheckpoint
from trials.images.config import DataConfig
from trials.trial import Trial

FOLDER = "checkpoints"  # in the run directory, where the search file names no other


def checkpoint_folder(config: SearchConfig, run: Path) -> Path | None:
    """The folder of the states of trials; None: a lost trial starts again, and none goes on."""
    if config.checkpoint_dir is not None:
        return Path(config.checkpoint_dir).absolute()
    return run.absolute() / FOLDER if config.rungs else None


class KeptCheckpoints:
    """The files of one run's trials in `folder`; None: there are none.

    What is missing, or was removed too early, costs no result: the trial is trained again from its start.

    Args:
        is_own: true if the folder is the run's alone, and is removed when the search is over.
        continuable: gives the ended trials that longer ones may soon continue; None: no trial continues one.
    """

    def __init__(
        self,
        folder: Path | None,
        data: DataConfig,
        *,
        is_own: bool,
        continuable: Callable[[], Collection[int]] | None,
        data_digest: str = "",
    ) -> None:
        self._folder, self._data, self._is_own = folder, data, is_own
        self._data_digest = data_digest
        self._continuable = continuable
        self._files: dict[int, Path] = {}  # of trials in flight, and of those that may be continued

    @property
    def are_there(self) -> bool:
        """True if trials keep their state at all."""
        return self._folder is not None

    def begun(self, trial: Trial) -> None:
        """A trial is dispatched, or a recorded one may be continued: its file is kept."""
        if self._folder is not None:
            self._files[trial.trial_id] = TrialCheckpoint(
                self._folder, trial, self._data, data_digest=self._data_digest
            ).path

    def prune(self, is_in_flight: Callable[[int], bool]) -> None:
        """Removes the files that no trial in flight uses and none may soon go on from.

        A trial and those that continue it share a file.
        """
        if not self._files:
            return
        continuable = frozenset(self._continuable() if self._continuable else ())
        kept = {
            trial_id: file
            for trial_id, file in self._files.items()
            if is_in_flight(trial_id) or trial_id in continuable
        }
        for file in set(self._files.values()) - set(kept.values()):
            file.unlink(missing_ok=True)
        self._files = kept

    def remove_all(self) -> None:
        """Removes all files: the search is over."""
        for file in self._files.values():
            file.unlink(missing_ok=True)
        self._files = {}
        if self._folder is not None and self._is_own and self._folder.is_dir():
            shutil.rmtree(self._folder)
