"""Decisions before a comparison's trainings: step times, epochs of equal time; and the time left."""

from dataclasses import replace
from pathlib import Path

import pytest
from clocks import number_of_weights, passes_that_take
from comparisons import CONDITIONS, DATA, SHORT, networks_of
from small_networks import SMALL, WIDE

from nas.comparing.config import ComparisonConfig, ComparisonPlan, NetworkCosts
from nas.comparing.planning import plan_of
from nas.comparing.trainings import Outcomes, epochs_of, estimated_seconds, seconds_left, training_config
from nas.training.finished import FinishedTraining
from search_spaces.networks.counting import count
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import read_yaml, write_yaml
from trials.images.packed import open_images
from trials.recipe import Ramp

pytestmark = pytest.mark.usefixtures("as_a_worker")

SECONDS_PER_WEIGHT_AND_IMAGE = 1e-9
TIMED = ComparisonConfig(
    networks=networks_of(small=SMALL, wide=WIDE), data=DATA, recipe=replace(SHORT, epochs=100), equal="time"
)


def planned(config: ComparisonConfig, before: ComparisonPlan | None = None) -> ComparisonPlan:
    """The plan where a pass takes as long as a network has weights."""
    images = open_images(config.data, resolution=12)
    with passes_that_take(lambda network, n: SECONDS_PER_WEIGHT_AND_IMAGE * number_of_weights(network) * n):
        return plan_of(config, before, images)


def ended(seconds: float) -> FinishedTraining:
    return FinishedTraining(
        epochs=4, best_epoch=2, accuracy=0.5, test_accuracy=None, test_images=None, seconds=seconds,
        stopped_early=False, device_name="some CPU", precision="fp32", threads=1,
    )  # fmt: skip


def test_equal_time_gives_each_network_the_epochs_of_the_first_over_its_step_time_ratio() -> None:
    plan = planned(TIMED)
    small, wide = (count(each, num_classes=10, resolution=12) for each in (SMALL, WIDE))
    ratio = wide.params / small.params
    assert plan.costs["wide"].step_time_ratio == pytest.approx(ratio, rel=1e-6)
    assert plan.costs["wide"].epochs == round(100 / ratio) == 10
    assert plan.costs["small"].epochs == 100
    assert training_config(plan, "wide", 3).recipe == replace(TIMED.recipe, epochs=10)
    assert training_config(plan, "small", 3).recipe == TIMED.recipe
    assert (plan.conditions.resolution, plan.conditions.batch_size) == (12, 64)


def test_equal_epochs_are_the_recipe_s_also_those_that_its_steps_need() -> None:
    recipe = replace(SHORT, min_steps=31)  # 324 images are 5 steps of an epoch
    plan = planned(replace(TIMED, equal="epochs", recipe=recipe))
    assert [costs.epochs for costs in plan.costs.values()] == [7, 7]
    assert training_config(plan, "wide", 0).recipe == recipe
    of_time = planned(replace(TIMED, recipe=replace(recipe, min_steps=500)))
    assert of_time.costs["wide"].epochs == 10
    own = training_config(of_time, "wide", 0).recipe
    assert (own.epochs, own.min_steps) == (10, 0)


@pytest.mark.parametrize(("ratio", "epochs"), [(1.0, 9), (0.5, 18), (2.0, 4), (1.8, 5), (50.0, 1)])
def test_epochs_of_equal_time_are_whole_and_at_least_one(ratio: float, epochs: int) -> None:
    config = replace(TIMED, recipe=replace(SHORT, epochs=9))
    assert epochs_of(config, "wide", ratio=ratio, epochs=9) == epochs
    assert epochs_of(config, "small", ratio=1.0, epochs=9) == 9
    assert epochs_of(replace(config, equal="epochs"), "wide", ratio=ratio, epochs=9) == 9


def test_too_few_or_too_many_epochs_for_the_recipe_are_refused_with_what_to_change() -> None:
    staged = replace(SHORT, epochs=9, num_training_stages=4, resolution=Ramp(8, 16))
    with pytest.raises(
        ConfigError, match=r"wide takes 3 times as long as one of small, so that 3 of the rec"
    ):
        epochs_of(replace(TIMED, recipe=staged), "wide", ratio=3.0, epochs=9)
    warm = replace(SHORT, epochs=9, warmup_epochs=5)
    with pytest.raises(ConfigError, match=r"recipe\.warmup_epochs is 5: lower it, raise recipe\.epochs"):
        epochs_of(replace(TIMED, recipe=warm), "wide", ratio=3.0, epochs=9)
    with pytest.raises(ConfigError, match=r"so that 200,000 epochs fit, and there may be 100,000"):
        epochs_of(replace(TIMED, recipe=replace(SHORT, epochs=50_000)), "wide", ratio=0.25, epochs=50_000)
    with pytest.raises(ConfigError, match="does not fit into memory"):
        epochs_of(TIMED, "wide", ratio=None, epochs=9)


def test_networks_on_another_device_than_before_are_refused() -> None:
    costs = {"small": NetworkCosts(params=1, macs=1, epochs=2, step_seconds=0.1, step_time_ratio=1.0)}
    before = ComparisonPlan(config=TIMED, conditions=CONDITIONS, costs=costs)
    with pytest.raises(
        ConfigError, match="wide: the step times of this comparison were measured on some CPU"
    ):
        planned(TIMED, before)


def test_precision_is_decided_once_for_all_networks() -> None:
    config = replace(TIMED, recipe=replace(TIMED.recipe, precision="auto"))
    costs = {
        name: NetworkCosts(params=1, macs=1, epochs=2, step_seconds=0.1, step_time_ratio=1.0)
        for name in config.networks
    }
    decided = replace(CONDITIONS, precision="bf16")
    plan = ComparisonPlan(config=config, conditions=decided, costs=costs)
    assert {training_config(plan, name, 0).recipe.precision for name in config.networks} == {"bf16"}


# ---------------------------------------------------------------------- time that is left

COSTS = {
    "small": NetworkCosts(params=1, macs=1, epochs=4, step_seconds=0.1, step_time_ratio=1.0),
    "wide": NetworkCosts(params=1, macs=1, epochs=4, step_seconds=0.3, step_time_ratio=3.0),
}
PLAN = ComparisonPlan(
    config=replace(TIMED, equal="epochs", recipe=replace(SHORT, epochs=4), repeats=2),
    conditions=CONDITIONS,
    costs=COSTS,
)


def test_estimate_of_a_training_is_its_steps_at_each_stage_s_pixels() -> None:
    recipe = replace(SHORT, epochs=4, num_training_stages=2, resolution=Ramp(8, 16))
    steps = 324 // 64
    expected = 0.1 * steps * (2 * (8 / 16) ** 2 + 2)
    assert estimated_seconds(recipe, COSTS["small"], CONDITIONS) == pytest.approx(expected)
    assert estimated_seconds(recipe, replace(COSTS["small"], step_seconds=None), CONDITIONS) is None


def test_time_left_follows_from_ended_trainings_and_of_others_from_steps_at_their_pace() -> None:
    of_small = estimated_seconds(PLAN.config.recipe, COSTS["small"], CONDITIONS)
    assert of_small is not None
    assert seconds_left(PLAN, Outcomes({})) == pytest.approx(2 * of_small + 2 * 3 * of_small)
    half_pace = Outcomes({("small", 0): ended(2 * of_small)})
    assert seconds_left(PLAN, half_pace) == pytest.approx(2 * of_small + 2 * 3 * of_small * 2)
    every = {(name, seed): ended(1.0) for name in COSTS for seed in (0, 1)}
    assert seconds_left(PLAN, Outcomes(every)) == 0


def test_trainings_that_diverged_take_no_time_any_more() -> None:
    of_small = estimated_seconds(PLAN.config.recipe, COSTS["small"], CONDITIONS)
    assert of_small is not None
    wide = {("wide", seed): "the training loss of epoch 1 is nan" for seed in (0, 1)}
    assert seconds_left(PLAN, Outcomes({}, wide)) == pytest.approx(2 * of_small)
    one = {("wide", 1): "the training loss of epoch 1 is nan"}
    assert seconds_left(PLAN, Outcomes({}, one)) == pytest.approx(2 * of_small + 3 * of_small)


def test_time_left_is_unknown_where_a_network_was_neither_timed_nor_trained() -> None:
    untimed = replace(PLAN, costs={**COSTS, "wide": replace(COSTS["wide"], step_seconds=None)})
    assert seconds_left(untimed, Outcomes({})) is None
    assert seconds_left(untimed, Outcomes({("wide", 0): ended(7.0)})) is not None


def test_a_plan_reads_back_as_it_was_written(tmp_path: Path) -> None:
    named = replace(PLAN, config=replace(PLAN.config, networks=networks_of(**{"12": SMALL, "yes": WIDE})))
    plan = replace(named, costs=dict(zip(("12", "yes"), COSTS.values(), strict=True)))
    write_yaml(plan, tmp_path / "plan.yaml")
    assert read_yaml(ComparisonPlan, tmp_path / "plan.yaml", recorded=True) == plan
