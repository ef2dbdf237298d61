"""Epochs after which a full training is evaluated: each, but where they are many and of a few steps."""

from collections.abc import Sequence

from trials.recipe import TrainingStage

SHORT_STEPS = 64  # of an epoch, below which not each is evaluated if they are many
MOST_EVALUATIONS = 150  # about so many of a training with such epochs


def epochs_per_evaluation(*, steps: int, epochs: int) -> int:
    """Epochs of `steps` steps from one evaluation to the next, by these numbers alone, so that curves repeat.

    Epochs of SHORT_STEPS steps or more are evaluated each, and so are those of a training that has no more
    than MOST_EVALUATIONS. Fine-tuning for 10,000 steps on 2,000 images has 157 evaluations, not 2,500.
    """
    return min(-(-SHORT_STEPS // steps), -(-epochs // MOST_EVALUATIONS))


def is_evaluated(epoch: int, *, every: int, stages: Sequence[TrainingStage]) -> bool:
    """True of each `every`-th epoch (from 1) and of each training stage's last one."""
    return epoch % every == 0 or any(epoch == stage.first_epoch + stage.epochs for stage in stages)
