"""The settings that all trials of a search or of its audit share, from the configuration and its images."""

from nas.search.config import SearchConfig
from nas.search.decided_precision import asked_precisions
from nas.search.own_ops import own_ops_of
from trials.images.packed import TrialImages
from trials.images.recipe_images import trained_images
from trials.timing.precision import ChosenPrecision
from trials.trial import Kernels
from trials.worker_setup import WorkerSetup


def driver_images(config: SearchConfig) -> TrialImages:
    """The images of the search, as its driver opens them: those of the last training stage.

    Raises:
        ConfigError: there are none, or they do not suit the configuration.
    """
    return trained_images(config.data, config.recipe, config.recipe.last_resolution)


def shared_setup(
    config: SearchConfig,
    images: TrialImages,
    *,
    decided: ChosenPrecision | None = None,
    kernels: Kernels | None = None,
    checkpoints: str | None = None,
) -> WorkerSetup:
    """The settings of workers, which are refused where they see other images than the driver.

    Args:
        decided: the precision of all trials; None: each worker's device decides, as on `kernels`.
        checkpoints: the folder or URL of trials' states; None: a lost trial starts from scratch.
    """
    return WorkerSetup(
        data=config.data,
        reference=config.space.reference,
        data_digest=images.digest,
        checkpoints=checkpoints,
        recipe=config.recipe,
        resolutions=config.recipe.image_sizes,
        precisions=asked_precisions(config),
        decided=decided,
        kernels=kernels,
        own_ops=own_ops_of(config),
    )
