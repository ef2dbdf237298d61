"""Decisions of a full training that hold from its begin on: its curve depends on them."""

from dataclasses import dataclass, replace

import torch

from nas.training.checkpoints import TrainingProgress
from nas.training.config import TrainingConfig
from nas.training.evaluated_epochs import epochs_per_evaluation
from nas.training.suited_batch import batch_words, suited_batch
from trials.recipe import Recipe
from trials.recipe_stages import steps_of_epoch
from trials.timing.precision import ChosenPrecision, precision_of_trials
from trials.training.final_stage import final_stage_notes


@dataclass(frozen=True, kw_only=True)
class Decided:
    """Decisions of a training, made when it begins; it is resumed by them, on any day and machine."""

    precision: ChosenPrecision
    recipe: Recipe  # with the batch that suits the images
    epochs: int
    evaluate_every: int  # epochs
    notes: tuple[str, ...]  # sentences about what is other than the configuration may lead to expect


def decided(
    config: TrainingConfig,
    progress: TrainingProgress | None,
    *,
    images: int,
    device: torch.device,
) -> Decided:
    """The decisions of a training on so many images: those recorded in its `progress`, else new ones."""
    # Step 1: the batch, and with it the length.
    recipe = suited_batch(config.recipe, images=images)
    if progress is not None:
        recipe = replace(recipe, batch_size=progress.batch_size or config.recipe.batch_size)
    steps = steps_of_epoch(images, recipe.batch_size)
    epochs = recipe.epochs_for(steps)
    # Step 2: evaluations.
    if progress is not None:
        every = progress.evaluate_every
    else:
        every = config.evaluate_every or epochs_per_evaluation(steps=steps, epochs=epochs)
    # Step 3: the precision, as of trials. A probe may decide otherwise on another day; the curve must not.
    if progress is not None:
        precision = ChosenPrecision(progress.precision, "as it was begun")
    else:
        precision = precision_of_trials(recipe.precision, recipe, device, reference=config.architecture)
    # Step 4: what of this nobody asked for.
    notes = list(final_stage_notes(recipe, epochs=epochs, steps=steps)) if progress is None else []
    if recipe.batch_size != config.recipe.batch_size:
        notes.append(batch_words(config.recipe, recipe, images=images))
    if every > 1:
        notes.append(f"evaluated every {every} epochs, which have {steps} steps each")
    return Decided(
        precision=precision,
        recipe=recipe,
        epochs=epochs,
        evaluate_every=every,
        notes=tuple(notes),
    )
