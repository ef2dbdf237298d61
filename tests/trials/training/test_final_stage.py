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
        {"epochs": 200},
    ],
    ids=str,
)
def test_nothing_is_said_where_enough_is_left_to_the_full_size(changes: dict[str, Any]) -> None:
    if "resolution" in changes:
        changes = {"resolution": Ramp(32, 32)}
    assert final_stage_notes(recipe(**changes)) == ()


def test_a_plan_that_leaves_too_little_to_the_full_size_is_told_with_its_shares() -> None:
    (note,) = final_stage_notes(EQUAL)
    assert "full size (32 px) has 3 of 12 epochs and 2.5 % of the sum of learning rates" in note
    assert "final_share" in note


def test_short_shipped_recipes_leave_enough_and_the_papers_have_the_epochs() -> None:
    shipped = [read_yaml(Recipe, path.stem) for path in Recipe.SHIPPED.glob("*.yaml")]
    assert len(shipped) > 10
    assert [final_stage_notes(one) for one in shipped] == [()] * len(shipped)
