"""A comparison: networks timed side by side, then trained in full in turn, resumable."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from nas.comparing.config import (
    ComparisonConfig,
    ComparisonPlan,
    continued,
    is_comparison,
    read_plan,
    record_plan,
)
from nas.comparing.diverged import record_divergence
from nas.comparing.figures import ComparisonFigures, comparison_figures
from nas.comparing.planning import plan_of
from nas.comparing.results import write_results
from nas.comparing.trainings import (
    ComparedTraining,
    left_to_train,
    outcomes_of,
    seconds_left,
    training_folder,
    trainings_of,
)
from nas.training.config import TrainingConfig
from nas.training.failure import divergence_of
from nas.training.start import TrainingImages, check_folder, check_start
from nas.training.train import train_fully
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.unfinished_files import is_unfinished, sweep
from trials.devices.arithmetic import check_precision
from trials.devices.device import available_slots
from trials.log.driver_lock import DriverLock, RunLockedError
from trials.log.durable_files import PRIVATE
from trials.log.file_names import LOCK_FILE
from trials.log.run_places import files_of, is_in_store, place_of


@dataclass(frozen=True)
class Timing:
    """Something is about to be timed, an event."""

    what: str


@dataclass(frozen=True)
class ComparisonBegun:
    """A comparison begins, or goes on."""

    plan: ComparisonPlan
    ended: int  # trainings
    diverged: int
    seconds_left: float | None
    notes: tuple[str, ...]  # about the images


@dataclass(frozen=True)
class TrainingDue:
    """The next training is about to begin, or to go on."""

    training: ComparedTraining
    number: int  # from 1, in the order of all
    total: int
    seconds_left: float | None  # of this and all later ones


@dataclass(frozen=True)
class TrainingDiverged:
    """A training has diverged; the comparison goes on without it."""

    training: ComparedTraining
    reason: str


ComparisonEvent = Timing | ComparisonBegun | TrainingDue | TrainingDiverged


def compare(
    config: ComparisonConfig,
    folder: Path,
    *,
    train: Callable[[TrainingConfig, Path], object] = train_fully,
    on_event: Callable[[ComparisonEvent], object] = lambda event: None,
) -> ComparisonFigures:
    """Trains each network with each seed, or goes on with that, and returns how they compare.

    The step times of all networks are measured before the first training; then each training has a folder of
    its own, in which it is resumed exactly. After each one the figures and their picture are written. A
    training that diverges is recorded and left out; it is tried again only when its folder has been removed.

    Args:
        train: trains, or goes on with, one network in a folder; as `train_fully`.

    Raises:
        ConfigError: something is not right with the images, the folder or the networks; or the comparison was
            begun otherwise.
        RunLockedError: another process works on this comparison.
        TrainingFailedError and others: a training cannot be done, as `train` raises them, but for divergence.
    """
    check_comparison_folder(folder)
    if is_complete(config, folder):
        return write_results(comparison_figures(read_plan(folder), folder))
    check_precision(config.recipe.precision, _device(), name="recipe.precision")
    before = read_plan(folder) if is_comparison(folder) else None
    if before is not None:
        config = continued(config, before, folder)
    # Step 1: the images, which are to be those of before; nothing has been written yet.
    opened = _opened(config, before, folder)
    # Step 2: step times of the networks that are new, and how long each trains.
    plan = plan_of(
        config, before, opened.images, test=opened.test, on_timing=lambda what: on_event(Timing(what))
    )
    trainings = trainings_of(plan, folder)
    for each in trainings:
        check_folder(each.config, each.folder)
    # Step 3: the trainings, one after the other.
    files_of(folder).make_folder(folder, PRIVATE)
    with DriverLock(folder):
        if (read_plan(folder) if is_comparison(folder) else None) != before:
            raise RunLockedError(
                f"{folder}: another driver has begun, or has added to, this comparison meanwhile; the same "
                "command goes on"
            )
        sweep(folder)
        if plan != before:
            record_plan(plan, folder)
        outcomes = outcomes_of(plan, folder)
        on_event(
            ComparisonBegun(
                plan, len(outcomes.ended), len(outcomes.diverged), seconds_left(plan, outcomes), opened.notes
            )
        )
        figures: ComparisonFigures | None = None
        for number, each in enumerate(trainings, 1):
            if (each.network, each.seed) in outcomes:
                continue
            on_event(TrainingDue(each, number, len(trainings), seconds_left(plan, outcomes)))
            try:
                train(each.config, each.folder)
            except Exception as error:
                # It would diverge again: it is left out, and the others are trained.
                if (reason := divergence_of(error)) is None:
                    raise
                record_divergence(each.folder, reason)
                on_event(TrainingDiverged(each, reason))
            outcomes = outcomes_of(plan, folder)
            figures = write_results(comparison_figures(plan, folder))
        return figures or write_results(comparison_figures(plan, folder))


def is_complete(config: ComparisonConfig, folder: Path) -> bool:
    """True of a comparison of which no training is left, so that it needs neither images nor a device.

    Raises:
        ConfigError: it was begun otherwise, or does not read.
    """
    if not is_comparison(folder):
        return False
    before = read_plan(folder)
    same = continued(config, before, folder) == before.config
    return same and not left_to_train(before, outcomes_of(before, folder))


def check_comparison_folder(folder: Path) -> None:
    """Checks that a comparison can begin, or go on, in this folder.

    Raises:
        ConfigError: it is a file, a URL, cannot be written, or holds something else.
    """
    if is_in_store(str(folder)):
        raise ConfigError(
            f"{place_of(folder)}: a comparison lies in a folder, not in an object store; choose another --run"
        )
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: this is a file; choose another --run")
    above = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not above.is_dir():
        raise ConfigError(f"{folder}: {above.name} is a file; choose another --run")
    if not os.access(above, os.W_OK):
        raise ConfigError(f"{folder}: cannot be written here: Permission denied; choose another --run")
    if is_comparison(folder) or not folder.is_dir():
        return
    # A process that was killed while it wrote the plan leaves an unfinished file.
    if any(path.name != LOCK_FILE and not is_unfinished(path) for path in folder.iterdir()):
        raise ConfigError(f"{folder}: this folder holds something else; choose another --run")


def _device() -> torch.device:
    return torch.device(available_slots()[0].device)


# ---------------------------------------------------------------------- images


def _opened(config: ComparisonConfig, before: ComparisonPlan | None, folder: Path) -> TrainingImages:
    """The images, and those to test on; of a comparison that goes on the same as before."""
    if before is None:
        reference = config.networks[config.reference]
        first = TrainingConfig(
            architecture=reference.architecture,
            data=config.data,
            recipe=config.recipe,
            test=config.test,
            patience=config.patience,
            objective=config.objective,
            seed=config.seed,
        )
        return check_start(first, training_folder(folder, config.reference, config.seed), devices=1)
    first_training = trainings_of(replace(before, config=replace(before.config, data=config.data)), folder)[0]
    opened = check_start(
        replace(first_training.config, test=config.test), first_training.folder, devices=1
    )  # names what has changed
    if opened.images.digest != before.conditions.data_digest:
        raise ConfigError(
            f"{folder}: the images are not those that this comparison began with; put them back as they were "
            f"({before.config.data.source} then), or begin anew with another --run"
        )
    tested = before.conditions.test_digest
    if tested is not None and opened.test is not None and opened.test.digest != tested:
        raise ConfigError(
            f"{folder}: the test images are not those that this comparison began with; put them back as they "
            f"were ({before.config.test} then), or begin anew with another --run"
        )
    return opened
