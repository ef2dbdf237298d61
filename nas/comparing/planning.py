"""Decisions before a comparison's first training: step times, precision, epochs of each network."""

from collections.abc import Callable
from dataclasses import replace
from typing import cast

from nas.comparing.config import ComparisonConfig, ComparisonPlan, Conditions, NetworkCosts
from nas.comparing.trainings import epochs_of
from nas.measuring.conditions import Conditions as TimingConditions
from nas.measuring.conditions import NamedNetwork, conditions_for
from nas.measuring.figures import MeasuredNetwork
from nas.measuring.measure import measure_networks
from nas.training.suited_batch import suited_batch
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.sentences import some
from trials.images.packed import TrialImages
from trials.recipe import Precision, Recipe
from trials.recipe_stages import steps_of_epoch

OnTiming = Callable[[str], object]


def plan_of(
    config: ComparisonConfig,
    before: ComparisonPlan | None,
    images: TrialImages,
    *,
    test: TrialImages | None = None,
    on_timing: OnTiming = lambda what: None,
) -> ComparisonPlan:
    """The plan of a comparison; the networks that are in `before` keep what was decided for them.

    Args:
        test: the images on which networks are compared in the end.

    Raises:
        ConfigError: a device cannot compute in the recipe's precision, or is another one than before; or too
            few epochs fit the time.
    """
    known = dict(before.costs) if before is not None else {}
    new = [name for name in config.networks if name not in known]
    if before is not None and not new:
        return replace(before, config=config)
    recipe = suited_batch(config.recipe, images=len(images.train))
    # New networks are timed in turn with the first one, under the conditions of before.
    names = [config.reference, *(name for name in new if name != config.reference)]
    networks = [NamedNetwork(name, config.networks[name].architecture) for name in names]
    timing = _timing_conditions(networks, recipe, images, before, on_timing)
    conditions = before.conditions if before is not None else _recorded(timing, images, test)
    if conditions.device_name != timing.device_name:
        raise ConfigError(
            f"{some(new)}: the step times of this comparison were measured on {conditions.device_name}, and "
            f"this is {timing.device_name}, where they would not compare; add networks there, or choose "
            "another --run"
        )

    def say(what: str) -> None:
        on_timing(what)

    measured = measure_networks(networks, timing, steps_only=True, on_status=say)
    # The first network's epochs are the recipe's.
    epochs = recipe.epochs_for(steps_of_epoch(len(images.train), timing.batch_size))
    for network in measured.networks:
        if network.name in new:
            own = epochs_of(config, network.name, ratio=network.step.ratio, epochs=epochs)
            known[network.name] = _costs(network, epochs=own)
    costs = {name: known[name] for name in config.networks}
    return ComparisonPlan(config=config, conditions=conditions, costs=costs)


def _timing_conditions(
    networks: list[NamedNetwork],
    recipe: Recipe,
    images: TrialImages,
    before: ComparisonPlan | None,
    on_timing: OnTiming,
) -> TimingConditions:
    """Conditions of the last training stage: its size and batch, and the precision of all trainings."""
    if before is None and recipe.precision == "auto":
        on_timing(f"{networks[0].name}: precision")
    timing = conditions_for(
        networks,
        num_classes=images.num_classes,
        resolution=recipe.training_stages()[-1].resolution,
        batch_size=recipe.batch_of(len(images.train)),
        precision=before.conditions.precision if before is not None else recipe.precision,
    )
    return replace(timing, recipe=recipe)


def _recorded(timing: TimingConditions, images: TrialImages, test: TrialImages | None) -> Conditions:
    return Conditions(
        device_name=timing.device_name,
        threads=timing.threads,
        precision=cast(Precision, timing.precision),
        precision_reason=timing.precision_reason,
        num_classes=timing.num_classes,
        resolution=timing.resolution,
        batch_size=timing.batch_size,
        train_images=len(images.train),
        minival_images=len(images.minival),
        data_digest=images.digest,
        test_digest=test.digest if test is not None else None,
    )


def _costs(network: MeasuredNetwork, *, epochs: int) -> NetworkCosts:
    assert network.macs is not None, "all of an architecture is counted"
    return NetworkCosts(
        params=network.params,
        macs=network.macs,
        epochs=epochs,
        step_seconds=network.step.seconds,
        step_time_ratio=network.step.ratio,
        step_time_ratio_spread=network.step.ratio_spread,
        rounds=network.step.rounds,
        timing_flag=network.step.flag,
    )
