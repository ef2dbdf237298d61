"""The learning rate of each step: warm-up, then cosine (also after a plateau), staircase or constant."""

import math

from trials.recipe import Recipe

STAIRCASE_FACTOR, STAIRCASE_EPOCHS = 0.97, 2.4  # EfficientNetV2, section 5.1


def learning_rate_at(step: int, *, recipe: Recipe, steps_per_epoch: int, total_steps: int) -> float:
    """The learning rate of a step (counted from 0), as in the official code.

    During warm-up the rate rises linearly from 0 to the peak. The schedule counts from step 0, not from the
    end of warm-up: the staircase may have taken steps down by then. The cosine ends at 0; with a
    `decay_share` below 1 the rate stays at its peak until the last steps, this share of all, over which the
    whole cosine falls.
    """
    peak = recipe.peak_learning_rate()
    warm_up = recipe.warmup_epochs * steps_per_epoch
    if step < warm_up:
        return peak * step / warm_up
    if recipe.schedule == "cosine":
        plateau = total_steps * (1 - recipe.decay_share)  # steps
        return peak * 0.5 * (1 + math.cos(math.pi * max(step - plateau, 0.0) / (total_steps - plateau)))
    if recipe.schedule == "exponential_staircase":
        return peak * STAIRCASE_FACTOR ** (step // (STAIRCASE_EPOCHS * steps_per_epoch))
    return peak
