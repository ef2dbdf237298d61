"""The lengths of a training's epochs and stages, and notes on shares that have no effect."""

from collections.abc import Iterator
from typing import Protocol


def stage_bounds(epochs: int, count: int, *, final_share: float) -> list[int]:
    """The epochs (from 0) at which `count` training stages begin, and the number of epochs itself.

    Equal stages begin at epoch ceil(epochs * i / count), as in Algorithm 1. With a `final_share` above 0 the
    last stage has that share of the epochs, rounded up, and the others divide the rest equally; each has an
    epoch at least, where there are as many.
    """
    if not final_share or count == 1:
        return [-(-epochs * i // count) for i in range(count + 1)]
    before = max(min(int(epochs * (1 - final_share) + 1e-9), epochs - 1), min(count - 1, epochs - 1))
    return [-(-before * i // (count - 1)) for i in range(count)] + [epochs]


def steps_of_epoch(images: int, batch_size: int) -> int:
    """Steps of an epoch: its whole batches. What is left over is left out; a set below a batch is one."""
    return images // min(batch_size, images)


class _Settings(Protocol):
    """The keys of a recipe that are read here by their names."""

    @property
    def num_training_stages(self) -> int: ...
    @property
    def final_share(self) -> float: ...
    @property
    def schedule(self) -> str: ...
    @property
    def decay_share(self) -> float: ...
    @property
    def draws_sizes(self) -> bool: ...


def stage_notes(recipe: _Settings) -> Iterator[str]:
    """Sentences about shares that have no effect."""
    if recipe.final_share and (recipe.num_training_stages == 1 or recipe.draws_sizes):
        why = "sizes are drawn" if recipe.draws_sizes else "there is 1 training stage"
        yield f"final_share is {recipe.final_share:g}, and has no effect: {why}"
    if recipe.decay_share < 1 and recipe.schedule != "cosine":
        yield f"decay_share is {recipe.decay_share:g}, and has no effect: schedule is {recipe.schedule}"
