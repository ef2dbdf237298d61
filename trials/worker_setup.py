"""The settings that all trials of a run share, as each worker gets them."""

from dataclasses import dataclass
from pathlib import Path

from search_spaces.networks.architecture import Architecture
from trials.devices.lock_files import FOLDER
from trials.images.config import DataConfig
from trials.images.packed import TrialImages, open_images
from trials.recipe import Precision
from trials.timing.precision import ChosenPrecision


@dataclass(frozen=True, kw_only=True)
class WorkerSetup:
    """The settings that all trials of a run share."""

    data: DataConfig
    reference: Architecture
    data_digest: str = ""  # of the images that the driver sees; a worker that sees others is refused
    checkpoints: str | Path | None = None  # that all workers reach; None: a lost trial starts from scratch
    resolutions: tuple[int, ...] = ()  # of the images that trials will need, in pixels
    locks: Path = FOLDER  # of devices, the same for all processes of a host
    precisions: tuple[Precision, ...] = ()  # that recipe and timing ask for
    decided: ChosenPrecision | None = None  # for all trials of the run; None: each worker's device decides

    def images_at(self, resolution: int) -> TrialImages:
        """The packed images, decoded first if no process of this host has done so yet.

        Raises:
            ValueError: they are not those that the driver sees.
        """
        packed = open_images(self.data, resolution=resolution, sizes=self.resolutions)
        if self.data_digest not in ("", packed.digest):
            raise ValueError(
                f"{self.data.source}: other images here than where the search was started; give all hosts "
                "the same"
            )
        return packed
