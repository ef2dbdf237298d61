"""The images of a full training on its device."""

import torch

from nas.training.config import TrainingConfig
from search_spaces.settings.setting_errors import refused_as
from trials.images.packed import TrialImages
from trials.images.recipe_images import DeviceImages, evaluated_images, trained_images


def device_images(config: TrainingConfig, device: torch.device) -> DeviceImages:
    """The images to train on and to evaluate on, each opened when it is needed.

    Raises (when it opens them):
        ConfigError: they cannot be read.
    """
    data, recipe = config.data, config.recipe

    def trained(resolution: int) -> TrialImages:
        with refused_as("--data"):
            return trained_images(data, recipe, resolution)

    def evaluated(resolution: int) -> TrialImages:
        with refused_as("--data"):
            return evaluated_images(data, recipe, trained(recipe.image_sizes[-1]), resolution)

    return DeviceImages(recipe, device, trained=trained, evaluated=evaluated)
