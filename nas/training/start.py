"""Checks before a full training begins, or goes on, in a folder; and the folder's lock."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from nas.training.checkpoints import TrainingFolder
from nas.training.config import FILE, TrainingConfig, check_same_training
from nas.training.evaluation import check_labelled, refused_as
from nas.training.initial_weights import begin_with
from search_spaces.networks.network import build_network
from search_spaces.settings.yaml_files import ConfigError
from trials.images.data_record import check_same_data, read_facts, record_of
from trials.images.packed import TrialImages, open_images
from trials.log.driver_lock import DriverLock, RunLockedError
from trials.log.durable_files import DurableFiles
from trials.recipe import Recipe
from trials.training.device_group import DeviceGroup, share_of_batch

LOCK_SECONDS = 10.0  # for which a group's first device waits until a dead one has let go of the folder


def check_start(config: TrainingConfig, folder: Path, *, devices: int) -> TrialImages:
    """The images, if the training can begin, or go on, in this folder on so many devices.

    Raises:
        ConfigError: it cannot; nothing has been written.
    """
    begun = check_folder(config, folder)
    with refused_as("data"):
        images = open_images(config.data, resolution=config.recipe.training_stages()[-1].resolution)
    if begun:
        check_same_data(record_of(config.data.source, images), folder, begun="training")
    _check_shares(config.recipe, len(images.train), devices)
    if config.test is not None:  # read at the end, when nobody could name another any more
        check_labelled(config.test, images.classes, option="test")
    if config.init is not None and not begun:
        begin_with(
            build_network(config.architecture, num_classes=images.num_classes), config.init, images.classes
        )
    return images


def record_data(config: TrainingConfig, folder: Path, images: TrialImages) -> None:
    """Writes down which images a training begins with; one of an earlier version goes on with today's."""
    if read_facts(folder) is None:
        for name, content in record_of(config.data.source, images).files().items():
            DurableFiles().write(folder / name, content)


def check_folder(config: TrainingConfig, folder: Path) -> bool:
    """Checks the folder before images are opened; True if a training was begun in it, which goes on.

    Raises:
        ConfigError: that was another training, or the folder is a file or holds something else.
    """
    if (folder / FILE).is_file():
        check_same_training(config, folder)
        return True
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: this is a file; choose another --run")
    if folder.exists() and not TrainingFolder.is_own(folder.iterdir()):
        raise ConfigError(f"{folder}: this folder holds something else; choose another --run")
    return False


def _check_shares(recipe: Recipe, train_images: int, devices: int) -> None:
    try:
        batch_size = min(recipe.batch_size, train_images)
        share_of_batch(batch_size, size=devices, pairing=recipe.pairing())
    except ValueError as error:
        few = f" (there are only {train_images} to train on)" if train_images < recipe.batch_size else ""
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
