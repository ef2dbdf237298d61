"""Checks before a full training begins, or goes on, in a folder; and the folder's lock."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.training.checkpoints import TrainingFolder
from nas.training.config import FILE, TrainingConfig, check_same_training
from nas.training.evaluation import Options, images_to_evaluate
from nas.training.initial_weights import begin_with
from nas.training.suited_batch import suited_batch
from search_spaces.networks.network import build_network
from search_spaces.networks.own_modules import own_ops_here
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.setting_errors import refused_as
from trials.images.data_record import OF_TEST, check_same_data, note_of_pixels, read_facts, record_of
from trials.images.packed import TrialImages
from trials.images.recipe_images import trained_images
from trials.log.driver_lock import DriverLock, RunLockedError
from trials.log.log_end import FencedError
from trials.log.object_store import StoreError
from trials.log.run_places import files_of, place_of
from trials.recipe import Recipe
from trials.training.device_group import DeviceGroup, share_of_batch

LOCK_SECONDS = 10.0  # for which a group's first device waits until a dead one has let go of the folder


@dataclass(frozen=True)
class TrainingImages:
    """The images of a training, and those on which it is tested in the end."""

    images: TrialImages
    test: TrialImages | None
    of_pixels: tuple[str, ...] = ()  # sentences where the pixels are made otherwise than at its begin

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user about all of them."""
        notes = [*self.images.all_notes(), *self.of_pixels]
        if self.test is not None:
            known = self.images.digests[np.concatenate([self.images.train, self.images.minival])]
            copies = int(np.isin(self.test.digests[self.test.train], known).sum())
            found = f"{copies:,} of {len(self.test.train):,} pictures are exact copies of some to train on"
            notes += [
                f"test images: {note}" for note in (*self.test.all_notes(), *([found] if copies else []))
            ]
        return tuple(notes)


def check_start(config: TrainingConfig, folder: Path, *, devices: int) -> TrainingImages:
    """The images, if the training can begin, or go on, in this folder on so many devices.

    Raises:
        ConfigError: it cannot; nothing has been written.
    """
    begun = check_folder(config, folder)
    last = config.recipe.training_stages()[-1]
    with refused_as("--data"):
        images = trained_images(config.data, config.recipe, last.resolution)
    of_pixels: list[str] = []
    if begun:
        record = record_of(config.data.source, images)
        if check_same_data(record, folder, begun="training"):
            of_pixels = note_of_pixels(record, folder, begun="training")
    if not begun:  # another batch may have been decided; the state knows
        check_shares(suited_batch(config.recipe, images=len(images.train)), len(images.train), devices)
    # Test images are read at the end, when nobody could name others any more.
    test = images_to_test(config, images.classes, resolution=config.recipe.evaluation_size(last))
    if begun and config.test is not None and test is not None:
        check_same_data(record_of(config.test, test), folder, begun="training", prefix=OF_TEST)
    if config.init is not None and not begun:
        network = build_network(config.architecture, num_classes=images.num_classes)
        begin_with(network, config.init, images.classes, architecture=config.architecture)
    return TrainingImages(images, test, tuple(of_pixels))


def images_to_test(
    config: TrainingConfig, classes: tuple[str, ...], *, resolution: int
) -> TrialImages | None:
    """The images on which a training is tested in the end, by the limit of those that it trains on.

    Raises:
        ConfigError: they cannot be read, or their classes are not among those.
    """
    if config.test is None:
        return None
    options = Options("--test", "--set data.max_pixels=N")
    return images_to_evaluate(
        config.test,
        classes,
        resolution=resolution,
        view=config.recipe.evaluation_view(resolution),
        max_pixels=config.data.max_pixels,
        options=options,
    )


def record_data(config: TrainingConfig, folder: Path, opened: TrainingImages) -> None:
    """Writes down which images a training begins with; one of an earlier version goes on with today's."""
    parts = [("", config.data.source, opened.images), (OF_TEST, config.test, opened.test)]
    for prefix, source, images in parts:
        if source is not None and images is not None and read_facts(folder, prefix=prefix) is None:
            for name, content in record_of(source, images).files(prefix=prefix).items():
                files_of(folder).write(folder / name, content)


def check_folder(config: TrainingConfig, folder: Path) -> bool:
    """Checks the folder before images are opened; True if a training was begun in it, which goes on.

    Raises:
        ConfigError: that was another training, the folder is a file or holds something else, or an op of the
            user's own is not imported.
    """
    own_ops_here(stage.op for stage in config.architecture.stages)
    if (folder / FILE).is_file():
        check_same_training(config, folder)
        return True
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: this is a file; choose another --run")
    if folder.exists() and not TrainingFolder.is_own(folder.iterdir()):
        raise ConfigError(f"{place_of(folder)}: this folder holds something else; choose another --run")
    return False


def check_shares(recipe: Recipe, train_images: int, devices: int) -> None:
    """Checks that each device gets an equal share of a batch, with the partners of its images.

    Raises:
        ConfigError: it does not.
    """
    batch_size = recipe.batch_of(train_images)
    try:
        share_of_batch(batch_size, size=devices, pairing=recipe.pairing())
    except ValueError as error:
        few = f" (there are only {train_images} to train on)" if batch_size < recipe.batch_size else ""
        raise ConfigError(f"--devices {devices}: {error}{few}") from None


@contextmanager
def locked_for(folder: Path, group: DeviceGroup) -> Iterator[None]:
    """The folder's lock. A group that begins again may meet a process that is just being killed."""
    patient_until = time.monotonic() + (LOCK_SECONDS if group.size > 1 else 0.0)
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(DriverLock(folder))
                break
            except RunLockedError:
                if time.monotonic() >= patient_until:
                    raise
                time.sleep(0.2)
        yield


def claim(config: TrainingConfig, files: TrainingFolder) -> None:
    """Takes over a training in an object store, for the holder of the folder's lock; nothing on a disk.

    Raises:
        ConfigError: there is another training, or the store does not answer.
        FencedError: another driver has begun this one since it was looked at: the same command goes on.
    """
    if files.files.have_locks:
        return
    begun = (files.folder / FILE).is_file()
    try:
        files.fence.claim()
        files.files.refresh()
    except StoreError as error:
        raise ConfigError(f"{place_of(files.folder)}: {error.strerror}") from error
    if check_folder(config, files.folder) and not begun:
        raise FencedError(
            f"{place_of(files.folder)}: another driver has just begun this training; the same command goes on"
        )
