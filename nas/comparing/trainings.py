"""The full trainings of a comparison: their order, their configurations, and how long they take."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean

from nas.comparing.config import ComparisonConfig, ComparisonPlan, Conditions, NetworkCosts
from nas.comparing.diverged import recorded_divergence
from nas.training.config import TrainingConfig
from nas.training.finished import FinishedTraining, finished_training
from search_spaces.networks.bounds import LARGEST_EPOCHS
from search_spaces.settings.config_error import ConfigError
from trials.recipe import Recipe
from trials.recipe_stages import steps_of_epoch

FOLDER = "trainings"


@dataclass(frozen=True)
class ComparedTraining:
    """One training of one of the networks."""

    network: str
    seed: int
    folder: Path
    config: TrainingConfig


Key = tuple[str, int]  # name of the network, and seed


@dataclass(frozen=True)
class Outcomes:
    """Trainings that are over, in their order."""

    ended: Mapping[Key, FinishedTraining]
    diverged: Mapping[Key, str] = field(default_factory=dict)  # with the reason

    def __contains__(self, key: Key) -> bool:
        return key in self.ended or key in self.diverged


def trainings_of(plan: ComparisonPlan, folder: Path) -> list[ComparedTraining]:
    """All trainings in their order: each network with one seed, then each with the next.

    However early a comparison is stopped, all networks have then been trained equally often, or all but one
    training of some. With the same seed all see the same images in the same order, with the same crops and
    the same draws of augmentation.
    """
    return [
        ComparedTraining(name, seed, training_folder(folder, name, seed), training_config(plan, name, seed))
        for seed in plan.config.seeds
        for name in plan.config.networks
    ]


def training_folder(folder: Path, network: str, seed: int) -> Path:
    """The folder of one of a comparison's trainings."""
    return folder / FOLDER / network / f"seed-{seed}"


def training_config(plan: ComparisonPlan, name: str, seed: int) -> TrainingConfig:
    """The configuration of one training.

    Precision is decided once for all networks: `auto` would ask how fast each of them is in it.
    """
    config = plan.config
    recipe = replace(config.recipe, precision=plan.conditions.precision)
    if config.equal == "time" and name != config.reference:
        recipe = replace(recipe, epochs=plan.costs[name].epochs, min_steps=0)
    return TrainingConfig(
        architecture=config.networks[name].architecture,
        data=config.data,
        recipe=recipe,
        test=config.test,
        patience=config.patience,
        objective=config.objective,
        seed=seed,
    )


def outcomes_of(plan: ComparisonPlan, folder: Path) -> Outcomes:
    """The trainings that have ended, and those that diverged.

    Raises:
        ConfigError: the figures of one do not read.
    """
    ended, diverged = {}, {}
    for seed in plan.config.seeds:
        for name in plan.config.networks:
            own = training_folder(folder, name, seed)
            if (figures := finished_training(own)) is not None:
                ended[name, seed] = figures
            elif (reason := recorded_divergence(own)) is not None:
                diverged[name, seed] = reason
    return Outcomes(ended, diverged)


def left_to_train(plan: ComparisonPlan, outcomes: Outcomes) -> int:
    """Number of the trainings that are not over."""
    total = plan.config.repeats * len(plan.config.networks)
    return total - len(outcomes.ended) - len(outcomes.diverged)


# ---------------------------------------------------------------------- epochs


def epochs_of(config: ComparisonConfig, name: str, *, ratio: float | None, epochs: int) -> int:
    """The epochs of a network's trainings: the recipe's, or as many as fit the first network's time.

    Args:
        ratio: its step time over the first network's; None where it could not be measured.
        epochs: of the first network, by the recipe.

    Raises:
        ConfigError: they are too few or too many for the recipe, or nobody knows how many fit.
    """
    if config.equal == "epochs" or name == config.reference:
        return epochs
    if ratio is None:
        raise ConfigError(
            f"--equal time: a training step of {name}, or of {config.reference}, does not fit into memory, "
            "so that it cannot be timed; take a smaller recipe.batch_size, or --equal epochs"
        )
    found = max(round(epochs / ratio), 1)
    _check_epochs(config, name, ratio=ratio, epochs=found)
    return found


def _check_epochs(config: ComparisonConfig, name: str, *, ratio: float, epochs: int) -> None:
    recipe = config.recipe
    if epochs > LARGEST_EPOCHS:
        raise ConfigError(
            f"--equal time: a step of {name} takes {ratio:.3g} times as long as one of {config.reference}, "
            f"so that {epochs:,} epochs fit, and there may be {LARGEST_EPOCHS:,}; lower recipe.epochs "
            f"({recipe.epochs:,} now), or take --equal epochs"
        )
    needed = {"num_training_stages": recipe.num_training_stages, "warmup_epochs": recipe.warmup_epochs}
    for key, number in needed.items():
        if number > epochs:
            raise ConfigError(
                f"--equal time: a step of {name} takes {ratio:.3g} times as long as one of "
                f"{config.reference}, so that {epochs} of the recipe's {recipe.epochs} epochs fit; "
                f"recipe.{key} is {number:g}: lower it, raise recipe.epochs, or take --equal epochs"
            )


# ---------------------------------------------------------------------- time


def estimated_seconds(recipe: Recipe, costs: NetworkCosts, conditions: Conditions) -> float | None:
    """Seconds of a training's steps, by the timed one: work grows with an image's pixels.

    None where the step could not be timed. What evaluation takes, and a CPU's other threads save, is not in
    it.
    """
    if costs.step_seconds is None:
        return None
    steps = steps_of_epoch(conditions.train_images, conditions.batch_size)
    pixels = [
        stage.epochs * (stage.resolution / conditions.resolution) ** 2
        for stage in recipe.training_stages(costs.epochs)
    ]
    return costs.step_seconds * steps * sum(pixels)


def seconds_left(plan: ComparisonPlan, outcomes: Outcomes) -> float | None:
    """Seconds that the trainings that are not over take; None where it is unknown.

    By the trainings of the same network that have ended; of a network without one, by its timed step and by
    how the others' seconds were to theirs.
    """
    estimates = {
        name: estimated_seconds(training_config(plan, name, plan.config.seed).recipe, costs, plan.conditions)
        for name, costs in plan.costs.items()
    }
    ended = outcomes.ended
    known = [(each.seconds, estimate) for (name, _), each in ended.items() if (estimate := estimates[name])]
    pace = sum(seconds for seconds, _ in known) / sum(estimate for _, estimate in known) if known else 1.0
    left = 0.0
    for name, estimate in estimates.items():
        own = [each.seconds for (network, _), each in ended.items() if network == name]
        over = len(own) + sum(network == name for network, _ in outcomes.diverged)
        if over == plan.config.repeats:
            continue
        if not own and estimate is None:
            return None
        each = fmean(own) if own else pace * (estimate or 0.0)
        left += (plan.config.repeats - over) * each
    return left
