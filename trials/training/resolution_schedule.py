"""Which training stage each step has: one after the other, or drawn from the seed and the epoch alone."""

from collections.abc import Sequence

import numpy as np

from trials.recipe import Recipe, TrainingStage

PERIOD = 8  # epochs for which `random_epochs` keeps a size (EfficientNetV2, section 6.3)
SIZES = 3  # the stream of randomness, beside those of trials.training.train


def stages_of_epoch(
    recipe: Recipe, stages: Sequence[TrainingStage], *, epoch: int, steps: int, seed: int
) -> list[TrainingStage]:
    """The stage of each of an epoch's steps; `stages` are the recipe's for all epochs, `epoch` is from 0.

    Any epoch can be drawn alone, so that a training that is resumed has the sizes that it would have had.
    """
    if recipe.resolution_schedule == "random_batch":
        drawn = np.random.default_rng([seed, SIZES, epoch]).integers(len(stages), size=steps)
        return [stages[i] for i in drawn]
    if recipe.resolution_schedule == "random_epochs":
        index = int(np.random.default_rng([seed, SIZES, epoch // PERIOD]).integers(len(stages)))
        return [stages[index]] * steps
    return [evaluation_stage(recipe, stages, epoch=epoch)] * steps


def evaluation_stage(recipe: Recipe, stages: Sequence[TrainingStage], *, epoch: int) -> TrainingStage:
    """The stage at whose size an epoch is judged: its own or, where sizes are drawn, always the largest."""
    if recipe.draws_sizes:
        return stages[-1]
    return next(stage for stage in stages if epoch < stage.first_epoch + stage.epochs)
