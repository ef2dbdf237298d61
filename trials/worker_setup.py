"""The settings that all trials of a run share, as each worker gets them."""

from dataclasses import dataclass
from pathlib import Path

import torch

from search_spaces.networks.architecture import Architecture
from search_spaces.networks.own_modules import OwnOps
from search_spaces.settings.config_error import ConfigError
from trials.devices.arithmetic import check_precision, fastest_of_cuda
from trials.devices.lock_files import FOLDER
from trials.images.config import DataConfig
from trials.images.packed import TrialImages, open_images
from trials.images.recipe_images import evaluated_images, trained_images
from trials.kernels.choice import use_fused
from trials.kernels.cpu_library import why_not
from trials.recipe import Precision, Recipe
from trials.timing.precision import ChosenPrecision
from trials.trial import Kernels


@dataclass(frozen=True, kw_only=True)
class WorkerSetup:
    """The settings that all trials of a run share."""

    data: DataConfig
    reference: Architecture
    recipe: Recipe | None = None  # of all trials, but for their length; None: one that needs no other images
    data_digest: str = ""  # of the images that the driver sees; a worker that sees others is refused
    checkpoints: str | Path | None = None  # that all workers reach; None: a lost trial starts from scratch
    resolutions: tuple[int, ...] = ()  # of the images that trials will need, in pixels
    locks: Path = FOLDER  # of devices, the same for all processes of a host
    precisions: tuple[Precision, ...] = ()  # that recipe and timing ask for, in this order
    decided: ChosenPrecision | None = None  # for all trials of the run; None: each worker's device decides
    kernels: Kernels | None = None  # for all trials of the run; None: each worker's device decides
    own_ops: OwnOps | None = None  # that a worker imports; one where they are others is refused

    def import_ops(self) -> None:
        """Imports the user's own ops in this process.

        Raises:
            ConfigError: they are not importable here, or others than where the search was started.
        """
        if self.own_ops is not None:
            self.own_ops.load()

    def check_precisions(self, device: torch.device) -> None:
        """Checks that a worker's device trains and is timed in the precisions of the run.

        Raises:
            ConfigError: it cannot; a worker that said so in each of its trials would crash the search.
        """
        for precision in self.precisions:
            check_precision(precision, device)
        if self.decided is not None and self.decided.device_type in (None, device.type):
            check_precision(self.decided.precision, device)

    def use_kernels(self, device: torch.device) -> None:
        """Sets this process to the kernels of the run.

        Raises:
            ConfigError: the run's step times are those of own kernels, and this host has none.
        """
        use_fused(self.kernels != "torch")
        if self.kernels == "fused" and device.type == "cpu" and (reason := why_not()) is not None:
            raise ConfigError(
                f"step times of this run are those of own kernels, which this host lacks: {reason}"
            )

    def gpu_precision(self, device: torch.device) -> str | None:
        """The precision in which a GPU trains; None of a CPU, where a probe has to decide."""
        if device.type == "cpu":
            return None
        asked = self.precisions[0] if self.precisions else "auto"
        if asked != "auto":
            return asked
        return self.decided.precision if self.decided is not None else fastest_of_cuda(device)[0]

    def images_at(self, resolution: int) -> TrialImages:
        """The packed images to train on, decoded first if no process of this host has done so yet.

        Raises:
            ValueError: they are not those that the driver sees.
        """
        if self.recipe is not None:
            packed = trained_images(self.data, self.recipe, resolution)
        else:
            packed = open_images(self.data, resolution=resolution, sizes=self.resolutions)
        if self.data_digest not in ("", packed.digest):
            raise ValueError(
                f"{self.data.source}: other images here than where the search was started; give all hosts "
                "the same"
            )
        return packed

    def evaluated_at(self, resolution: int) -> TrialImages:
        """Likewise those that are evaluated on, where they are others than the recipe's own of training.

        Raises:
            ValueError: they are not those that the driver sees.
        """
        assert self.recipe is not None, "the recipe says how they are evaluated"
        images = self.images_at(self.recipe.image_sizes[-1])
        return evaluated_images(self.data, self.recipe, images, resolution)
