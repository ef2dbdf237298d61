"""The learning that a recipe leaves to the stage of full size, and a sentence where that is too little."""

from trials.recipe import Recipe
from trials.training.learning_rate import learning_rate_at

STEPS = 20  # of an epoch, for the sum of the rates
LEAST_RATE = 0.1  # share of the sum of learning rates; below, short trainings lose (docs/progressive.md)
ENOUGH_STEPS = 25_000  # at full size, whatever their rates are; the paper has 27,000


def final_rate_share(recipe: Recipe, *, epochs: int) -> float:
    """The last stage's share (0-1) of the sum of the learning rates of all steps."""
    steps = epochs * STEPS
    rates = [
        learning_rate_at(i, recipe=recipe, steps_per_epoch=STEPS, total_steps=steps) for i in range(steps)
    ]
    return sum(rates[recipe.training_stages(epochs)[-1].first_epoch * STEPS :]) / max(sum(rates), 1e-30)


def final_stage_notes(recipe: Recipe, *, epochs: int, steps: int) -> tuple[str, ...]:
    """A sentence if images grow and too little of the learning is left to the last size; else nothing.

    Args:
        steps: of an epoch.
    """
    stages = recipe.training_stages(epochs)
    full = stages[-1]
    grows = not recipe.draws_sizes and stages[0].resolution < full.resolution
    if not grows or full.epochs * steps >= ENOUGH_STEPS:
        return ()
    share = final_rate_share(recipe, epochs=epochs)
    if share >= LEAST_RATE:
        return ()
    return (
        f"the stage of full size ({full.resolution} px) has {full.epochs} of {epochs} epochs and "
        f"{100 * share:.2g} % of the sum of learning rates, which costs short trainings accuracy; "
        "final_share: 0.4 with decay_share: 0.4 leaves it more",
    )
