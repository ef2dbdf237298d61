"""The share of the learning that is left to the stage of full size, and what is said where it is small."""

from dataclasses import replace
from typing import Any

import pytest

from search_spaces.settings.yaml_files import read_yaml
from trials.recipe import Ramp, Recipe
from trials.training.final_stage import final_rate_share, final_stage_notes

EQUAL = Recipe(
    epochs=12, batch_size=64, resolution=Ramp(16, 32), num_training_stages=4, warmup_epochs=0.0
)  # fmt: skip


def recipe(**changes: Any) -> Recipe:
    return replace(EQUAL, **changes)


def notes_of(found: Recipe, *, steps: int = 100) -> tuple[str, ...]:
    return final_stage_notes(found, epochs=found.epochs, steps=steps)


def test_equal_stages_under_a_cosine_leave_little_of_the_rate_to_the_last() -> None:
    """The integral of 1 + cos over the last quarter: 1/4 - sqrt(2) / (2 pi)."""
    assert final_rate_share(EQUAL, epochs=12) == pytest.approx(0.0249, abs=0.001)


def test_a_plateau_leaves_the_whole_cosine_to_the_last_stage() -> None:
    """Half of the steps at the mean of a cosine, half at the peak: 0.25 of 0.75."""
    halves = recipe(final_share=0.5, decay_share=0.5)
    assert final_rate_share(halves, epochs=12) == pytest.approx(1 / 3, abs=0.002)


@pytest.mark.parametrize(
    "changes",
    [
        {"final_share": 0.4, "decay_share": 0.4},
        {"final_share": 0.5},
        {"schedule": "constant"},
        {"num_training_stages": 1},
        {"resolution": 32},
        {"resolution_schedule": "constant"},
        {"resolution_schedule": "random_batch"},
    ],
    ids=str,
)
def test_nothing_is_said_where_enough_is_left_to_the_full_size(changes: dict[str, Any]) -> None:
    if "resolution" in changes:
        changes = {"resolution": Ramp(32, 32)}
    assert notes_of(recipe(**changes)) == ()


def test_a_plan_that_leaves_too_little_to_the_full_size_is_told_with_its_shares() -> None:
    (note,) = notes_of(EQUAL)
    assert "full size (32 px) has 3 of 12 epochs and 2.5 % of the sum of learning rates" in note
    assert "final_share" in note


def test_as_many_steps_as_the_paper_has_are_enough_at_any_rate() -> None:
    assert notes_of(EQUAL, steps=25_000 // 3) != ()
    assert notes_of(EQUAL, steps=25_000 // 3 + 1) == ()


def test_shipped_recipes_leave_enough_on_the_images_that_they_are_for() -> None:
    steps = {"imagenet21k": 13_000_000 // 4096, "official_imagenet21k": 13_000_000 // 4096}
    full = 1_271_167 // 4096
    shipped = [path.stem for path in Recipe.SHIPPED.glob("*.yaml")]
    assert len(shipped) > 10
    for name in shipped:
        of_epoch = steps.get(name, full if name.startswith(("full", "official")) else 100)
        assert notes_of(read_yaml(Recipe, name), steps=of_epoch) == (), name
