"""The training stage, and so the resolution, of every step: progressive, or drawn at random.

Progressive learning is Algorithm 1 of the paper (`Recipe.training_stages`); random resolutions are the
alternatives of section 6.3. Draws depend on the seed and the epoch alone.
"""

from collections.abc import Sequence

import numpy as np

from trials.recipe import Recipe, TrainingStage

PERIOD = 8  # epochs for which `random_epochs` keeps a resolution (EfficientNetV2, section 6.3)
SIZES = 3  # stream of randomness of the resolutions; trials.training.train has the others


def stages_of_epoch(
    recipe: Recipe, stages: Sequence[TrainingStage], *, epoch: int, steps: int, seed: int
) -> list[TrainingStage]:
    """The training stage of each step of an epoch (counted from 0); `stages` are all of the recipe's.

    Each epoch is drawn independently, so that resuming a training does not change its resolutions.
    """
    if recipe.resolution_schedule == "random_batch":
        drawn = np.random.default_rng([seed, SIZES, epoch]).integers(len(stages), size=steps)
        return [stages[i] for i in drawn]
    if recipe.resolution_schedule == "random_epochs":
        index = int(np.random.default_rng([seed, SIZES, epoch // PERIOD]).integers(len(stages)))
        return [stages[index]] * steps
    return [evaluation_stage(recipe, stages, epoch=epoch)] * steps


def evaluation_stage(recipe: Recipe, stages: Sequence[TrainingStage], *, epoch: int) -> TrainingStage:
    """The stage whose resolution an epoch is evaluated at: its own, or the largest where they are drawn."""
    if recipe.draws_sizes:
        return stages[-1]
    return next(stage for stage in stages if epoch < stage.first_epoch + stage.epochs)
