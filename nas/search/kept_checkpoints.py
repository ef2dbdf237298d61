"""Checkpoints that are kept: of trials in flight, and of those that a longer trial may go on from."""

import shutil
from collections.abc import Callable, Collection, Set
from pathlib import Path

from nas.search.config import SearchConfig
from search_spaces.settings.setting_errors import blaming
from trials.checkpoint import TrialCheckpoint
from trials.images.config import DataConfig
from trials.log.durable_files import DurableFiles
from trials.log.file_names import CHECKPOINTS_FOLDER
from trials.log.run_places import check_reached, is_in_store, place_of, states_at, url_of
from trials.log.store import RunStore
from trials.trial import Trial


def checkpoint_folder(config: SearchConfig, run: Path) -> str | None:
    """The folder or URL of the states of trials; None: a lost trial starts again, and none goes on.

    A run in an object store has them there, since whoever goes on with it may be another machine.

    Raises:
        ConfigError: checkpoint_dir is a URL of no object store that is known.
    """
    if config.checkpoint_dir is not None:
        return url_of(config.checkpoint_dir) or str(Path(config.checkpoint_dir).absolute())
    if is_in_store(place := place_of(run)):
        return f"{place}/{CHECKPOINTS_FOLDER}"
    return str(run.absolute() / CHECKPOINTS_FOLDER) if config.rungs else None


def check_checkpoint_dir(config: SearchConfig) -> None:
    """Refuses a checkpoint_dir in an object store that cannot be reached from here.

    Raises:
        SettingError: it cannot, or the URL is none of a store that is known.
    """
    if config.checkpoint_dir is not None:
        with blaming(("checkpoint_dir",)):
            check_reached(config.checkpoint_dir)


def driver_files(config: SearchConfig, store: RunStore) -> tuple[Path | None, DurableFiles]:
    """The folder of checkpoints as the driver sees it, None without one, and the files that write there."""
    place = checkpoint_folder(config, store.folder)
    if place is None:
        return None, store.files
    if config.checkpoint_dir is None:
        return store.folder / CHECKPOINTS_FOLDER, store.files
    return states_at(place)


class KeptCheckpoints:
    """The files of one run's trials in `folder`; None: there are none.

    What is missing, or was removed too early, costs no result: the trial is trained again from its start.

    Args:
        files: the folder's; by default those of a disk.
        is_own: true if the folder is the run's alone, and is removed when the search is over.
        continuable: gives the ended trials that longer ones may soon continue; None: no trial continues one.
        is_overtaken: true once another driver has begun on the run: the files are its own then.
    """

    def __init__(
        self,
        folder: Path | None,
        data: DataConfig,
        *,
        files: DurableFiles | None = None,
        is_own: bool,
        continuable: Callable[[], Collection[int]] | None,
        data_digest: str = "",
        is_overtaken: Callable[[], bool] = lambda: False,
    ) -> None:
        self._is_overtaken = is_overtaken
        self._folder, self._data, self._is_own = folder, data, is_own
        self._disk = files or DurableFiles()
        self._data_digest = data_digest
        self._continuable = continuable
        self._files: dict[int, Path] = {}  # of trials in flight, and of those that may be continued
        self._left: set[Path] = set()  # that could not be removed yet

    @property
    def are_there(self) -> bool:
        """True if trials keep their state at all."""
        return self._folder is not None

    def begun(self, trial: Trial) -> None:
        """Keeps the file of a trial that is dispatched, or of a recorded one that may be continued."""
        if self._folder is not None:
            path = TrialCheckpoint(self._folder, trial, self._data, data_digest=self._data_digest).path
            self._files[trial.trial_id] = path
            self._left.discard(path)

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
        self._remove(set(self._files.values()) - set(kept.values()), but=set(kept.values()))
        self._files = kept

    def remove_all(self) -> str | None:
        """Removes all files: the search is over. Returns a sentence about those that could not be removed."""
        files, self._files = set(self._files.values()), {}
        reason = self._remove(files)
        if self._folder is not None and self._is_own and reason is None:
            reason = self._remove_folder(self._folder)
        if reason is None:
            return None
        return (
            f"checkpoints of trials are left in {place_of(self._folder or '')}: {reason}; remove them by hand"
        )

    def _remove(self, files: Set[Path], *, but: Set[Path] = frozenset()) -> str | None:
        """Removes files; why some are left, which are tried again with the next. No search ends by that."""
        self._left = (self._left | files) - but
        if self._left and self._is_overtaken():
            return None
        for file in sorted(self._left):
            try:
                self._disk.remove(file)
            except OSError as error:
                return error.strerror or str(error)
            self._left.discard(file)
        return None

    def _remove_folder(self, folder: Path) -> str | None:
        """Removes the run's own folder with what earlier drivers have left in it."""
        if self._is_overtaken():
            return None
        try:
            if self._disk.have_locks:
                if folder.is_dir():
                    shutil.rmtree(folder)
            else:  # a bucket has no folders
                for name in self._disk.names(folder):
                    self._disk.remove(folder / name)
        except OSError as error:
            return error.strerror or str(error)
        return None
