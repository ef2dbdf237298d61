"""The size of the images on which given weights are fine-tuned: that at which they were evaluated."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from nas.training.config import FILE, TrainingConfig, read_training
from nas.training.evaluation import evaluation_resolution
from trials.recipe import Ramp
from trials.training.weights_file import load_weights

NAMED = "recipe.resolution"  # by --set


def with_size_of_weights(
    config: TrainingConfig,
    folder: Path,
    *,
    overrides: Sequence[str],
    say: Callable[[str], object] = lambda note: None,
) -> TrainingConfig:
    """The configuration at the size of its initial weights, where the recipe says so, and nobody another one.

    One that was begun in the folder has the size with which it was begun.

    Raises:
        ConfigError: the weights cannot be read.
    """
    keys = [override.split("=")[0].strip() for override in overrides]
    is_named = any(key == NAMED or key.startswith(f"{NAMED}.") for key in keys)
    if config.init is None or config.recipe.initial_weights != "given_size" or is_named:
        return config
    places = (folder, folder / "repeat-0")  # of --repeats
    if begun := next((place for place in places if (place / FILE).is_file()), None):
        size = read_training(begun).recipe.resolution
    else:
        pixels = evaluation_resolution(load_weights(Path(config.init)), None)
        size = Ramp(pixels, pixels)
        say(f"images of {pixels} px, the size that the initial weights were evaluated at")
    return replace(config, recipe=replace(config.recipe, resolution=size))
