"""The batch of a full training on few images: a part of them, so that an epoch has several steps."""

from dataclasses import replace

from trials.recipe import Recipe

FEWEST_STEPS = 4  # of an epoch
MULTIPLE = 8  # of which a smaller batch is one, for devices that share it and images that are mixed in pairs
SMALLEST = 2  # batch norm has no statistics of one image


def suited_batch(recipe: Recipe, *, images: int) -> Recipe:
    """The recipe with a batch of which an epoch has FEWEST_STEPS or more; its rate follows the batch.

    A batch of the whole set, or of half of it, would see the same images in each step: with as many epochs
    as steps, batch norm's statistics and the order of images would hardly change from one to the next.
    """
    most = images // FEWEST_STEPS
    if recipe.batch_size <= most or images <= SMALLEST * FEWEST_STEPS:
        return recipe
    whole = most // MULTIPLE * MULTIPLE
    return replace(recipe, batch_size=max(whole or most, SMALLEST))


def batch_words(asked: Recipe, recipe: Recipe, *, images: int) -> str:
    """A sentence that says why the batch is another one than the recipe's."""
    return (
        f"batch of {recipe.batch_size:,} instead of {asked.batch_size:,}: {FEWEST_STEPS} steps or more of an "
        f"epoch's {images:,} images; its learning rate is {recipe.peak_learning_rate():.3g} at most"
    )
