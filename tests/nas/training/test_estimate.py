"""The estimate of a full training: what it tells meanwhile, and that it ends in time, by a given clock."""

from dataclasses import replace

import pytest
import torch
from clocks import Clock
from full_trainings import RECIPE
from small_trials import digits, new_step

from nas.training import estimate as module
from nas.training.estimate import MOST_SECONDS, ROUNDS, Estimating, StageEstimate, estimate
from trials.images.device_images import ResidentImages
from trials.recipe import Ramp

pytestmark = pytest.mark.usefixtures("as_a_worker")


class Slow(Clock):
    """A clock by which each call of the estimate takes so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.reads = seconds, 0

    def __call__(self) -> float:
        self.reads += 1
        self.now += self.seconds if self.reads % 2 == 0 else 0.0
        return self.now


def estimated(seconds: float, *, epochs: int = 8) -> tuple[list[StageEstimate], list[Estimating]]:
    """The estimate where each call takes so many seconds, and what it told."""
    told: list[Estimating] = []
    step = new_step(RECIPE)
    before = {name: tensor.clone() for name, tensor in step.state().items()}
    found = estimate(
        step, replace(RECIPE, epochs=epochs), images_at=digits, epochs=epochs, seed=0,
        on_event=told.append, clock=Slow(seconds),
    )  # fmt: skip
    assert all(torch.equal(tensor, before[name]) for name, tensor in step.state().items())
    return found, told


def test_each_stage_is_told_of_before_it_is_timed() -> None:
    found, told = estimated(0.5)
    assert told == [Estimating(stage, 2, i) for i in range(1, ROUNDS + 1) for stage in (1, 2)]
    assert [stage.step_seconds for stage in found] == [0.5, 0.5]
    assert all(stage.is_measured for stage in found)


def test_on_a_slow_machine_no_stage_is_timed_after_the_first_and_the_others_follow_from_it() -> None:
    found, told = estimated(MOST_SECONDS)
    assert told == [Estimating(1, 2, 1)]
    first, second = found
    assert (first.is_measured, second.is_measured) == (True, False)
    assert second.step_seconds == 4 * first.step_seconds == 4 * MOST_SECONDS  # 16 px, not 8
    assert second.seconds == pytest.approx(4 * first.seconds)


def test_a_training_of_fewer_steps_than_its_estimate_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FEWEST_STEPS", 50)
    assert estimated(0.5, epochs=2) == ([], [])


def test_sizes_that_are_drawn_are_evaluated_at_the_last_ones_and_may_have_no_epoch() -> None:
    """With more sizes than epochs some are trained by chance alone; time is over after the first stage."""
    drawn = replace(
        RECIPE, epochs=2, batch_size=32, resolution_schedule="random_batch", resolutions=(8, 12, 16, 20, 24),
        dropout=Ramp(0, 0), evaluation_resolution=32,
    )  # fmt: skip
    assert 0 in [stage.epochs for stage in drawn.training_stages()]
    asked: list[int] = []

    def evaluated_at(resolution: int) -> ResidentImages:
        asked.append(resolution)
        return digits(resolution)

    found = estimate(
        new_step(drawn), drawn, images_at=digits, evaluated_at=evaluated_at, epochs=2, seed=0,
        clock=Slow(MOST_SECONDS),
    )  # fmt: skip
    assert (len(found), set(asked)) == (5, {32})
