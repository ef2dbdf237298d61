"""The shipped recipe of full training that suits a network, by its stride and the images of its trials."""

from typing import TYPE_CHECKING

from search_spaces.settings.shell_words import path_word
from search_spaces.settings.yaml_files import read_yaml

if TYPE_CHECKING:
    from search_spaces.networks.architecture import Architecture
    from trials.objective import Objective

RECIPES = ("cifar10", "photos", "full_s")  # from small images to large ones
DEFAULT_RECIPE = RECIPES[0]  # of `nas train`
LEAST_MAP = 2  # pixels of a side of the last feature map; one pixel has no neighbours to be convolved with


def suited_recipe(architecture: "Architecture", *, resolution: int) -> str:
    """The recipe with the smallest images from which the network learns, and none smaller at the end.

    In its first stage the last feature map has LEAST_MAP pixels a side, or more; in its last one images are
    as large as those of the network's trials (`resolution`, pixels), or larger.
    """
    from trials.recipe import Recipe  # the help of `nas train`, which shows the default, is to come at once

    *smaller, largest = RECIPES
    for name in smaller:
        images = read_yaml(Recipe, name).resolution
        if images.start >= LEAST_MAP * architecture.total_stride and images.end >= resolution:
            return name
    return largest


def training_command(
    file: str,
    architecture: "Architecture",
    *,
    resolution: int,
    data: str,
    objective: "Objective" = "accuracy",
    class_weights: str = "none",
) -> str:
    """The command that trains a search's winner in full.

    With the recipe, the search's objective and its class weights, where they are not the defaults.
    """
    recipe = suited_recipe(architecture, resolution=resolution)
    named = f" --recipe {recipe}" if recipe != DEFAULT_RECIPE else ""
    named += f" --set objective={objective}" if objective != "accuracy" else ""
    named += f" --set recipe.class_weights={class_weights}" if class_weights != "none" else ""
    return f"nas train {path_word(file)} --data {path_word(data)}{named}"
