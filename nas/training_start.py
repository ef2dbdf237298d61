"""Whether a full training can begin, or go on, in a folder; and the folder's lock."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from nas.checkpoints import TrainingFolder
from nas.training_config import FILE, TrainingConfig, check_same_training
from search_spaces.yaml_io import ConfigError
from trials.device_group import DeviceGroup, share_of_batch
from trials.driver_lock import DriverLock, RunLockedError
from trials.packed import TrialImages, open_images
from trials.recipe import Recipe

LOCK_SECONDS = 10.0  # for which a group's first device waits until a dead one has let go of the folder


def check_start(config: TrainingConfig, folder: Path, *, devices: int) -> TrialImages:
    """The images, if the training can begin, or go on, in this folder on so many devices.

    Raises:
        ConfigError: it cannot; nothing has been written.
    """
    if (folder / FILE).is_file():
        check_same_training(config, folder)
    elif folder.exists() and not TrainingFolder.is_own(folder.iterdir()):
        raise ConfigError(f"{folder}: this folder holds something else; choose another --run")
    images = open_images(config.data, resolution=config.recipe.training_stages()[-1].resolution)
    _check_shares(config.recipe, len(images.train), devices)
    return images


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
