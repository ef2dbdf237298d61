"""The size of the images on which given weights are fine-tuned: that at which they were evaluated."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from nas.training.config import FILE, TrainingConfig, read_training
from nas.training.evaluation import evaluation_resolution
from trials.recipe import Ramp
from trials.training.weights_file import load_weights

OF_NO_SIZE = ("finetune",)  # shipped recipes whose resolution is of no network in particular


def with_size_of_weights(
    config: TrainingConfig,
    folder: Path,
    *,
    recipe: str,
    overrides: Sequence[str],
    say: Callable[[str], object] = lambda note: None,
) -> TrainingConfig:
    """The configuration at the size of its initial weights, where neither recipe nor command line names one.

    One that was begun in the folder has the size with which it was begun.

    Raises:
        ConfigError: the weights cannot be read.
    """
    is_named = any(override.split("=")[0].strip() == "recipe.resolution" for override in overrides)
    if config.init is None or recipe not in OF_NO_SIZE or is_named:
        return config
    places = (folder, folder / "repeat-0")  # of --repeats
    if begun := next((place for place in places if (place / FILE).is_file()), None):
        size = read_training(begun).recipe.resolution
    else:
        pixels = evaluation_resolution(load_weights(Path(config.init)), None)
        size = Ramp(pixels, pixels)
        say(f"images of {pixels} px, the size that the initial weights were evaluated at")
    return replace(config, recipe=replace(config.recipe, resolution=size))
