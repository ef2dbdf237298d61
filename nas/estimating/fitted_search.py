"""A search file fitted to a time on this machine: its budget and data.fraction, as overrides."""

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from nas.estimating.estimated_trials import ImageCounts
from nas.estimating.figures import BUSY
from nas.estimating.packing_time import packing_seconds
from nas.estimating.search_estimate import devices_here, timed_costs
from nas.estimating.time_budget import (
    Beforehand,
    FittedSearch,
    TrialSeconds,
    fit_search,
    least_fraction,
    read_duration,
)
from nas.search.config import NAME_IMAGES, SearchConfig, read_search_config
from nas.search.recorded_config import recorded_config
from nas.search.refused_images import refused_images
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.overrides import Override, override_of
from search_spaces.settings.setting_errors import naming_origins
from search_spaces.settings.yaml_files import to_mapping
from trials.images.chosen_images import EncodedImages, find_images
from trials.images.labels import strata
from trials.images.packed import are_packed
from trials.images.recipe_images import stored_packs, view_of_training
from trials.images.splits import share, split_indices
from trials.log.run_folder import check_folder, is_run


@dataclass(frozen=True, kw_only=True)
class TimeBudget:
    """A time that was typed, and the search that fits it; or the recorded one of a run that goes on.

    Attributes:
        fitted: None of a run that goes on.
        images: that the fitted search trains on and evaluates on.
    """

    typed: str
    overrides: tuple[Override, ...]
    trials: int | None
    fraction: float
    whole_fraction: float  # the search file's own
    devices: int
    repeats: int  # trainings of finalists
    repeat_epochs: int | None = None  # of each, where the search file says so
    slowed_down: float = 1.0  # by what else computed while trials were timed
    fitted: FittedSearch | None = None
    images: ImageCounts | None = None


def fit_to_time(
    typed: str,
    file: str,
    folder: Path,
    *,
    overrides: Sequence[str | Override],
    workers: int | None,
    in_process: bool,
    per_device: int,
    console: Console,
) -> TimeBudget:
    """Budget and data.fraction of the search that fits that time here; of a run that exists, its own.

    Raises:
        ConfigError: the time, the file, the images or the folder are not right, `overrides` give a budget, or
            too little fits.
    """
    seconds, begun = read_duration(typed), time.perf_counter()
    for override in map(override_of, overrides):
        if override.location[:1] == ("budget",):
            raise ConfigError(f"--budget {typed} and {override.typed} exclude each other; leave out one")
    config = read_search_config(file, overrides=overrides)
    check_folder(folder)
    devices = devices_here(workers, per_device=per_device, in_process=in_process)
    repeats = config.finalists.trainings if config.finalists else 0
    if is_run(folder):
        recorded = recorded_config(folder)
        return TimeBudget(
            typed=typed,
            overrides=_overrides(typed, to_mapping(recorded.budget), recorded.data.fraction),
            trials=recorded.budget.trials,
            fraction=recorded.data.fraction,
            whole_fraction=config.data.fraction,
            devices=devices,
            repeats=repeats,
        )
    with naming_origins(SearchConfig, file, overrides=overrides):
        found = _found(config)
        labels, classes = found.labels, found.classes
        stored = stored_packs(config.recipe, found)
        packing = packing_seconds(found, stored)
        trial, slowed_down = _trial_seconds(config, _counts(config, labels, classes), console=console)
    try:
        fitted = fit_search(
            seconds,
            trial,
            devices=devices,
            repeats=repeats,
            repeat_length=config.finalist_epochs / config.recipe.epochs,
            baseline=config.baseline,
            fraction=config.data.fraction,
            least_fraction=least_fraction(
                np.unique(strata(labels), return_counts=True)[1],
                minival=config.data.minival,
                fraction=config.data.fraction,
            ),
            beforehand=Beforehand(
                estimating=time.perf_counter() - begun,
                packing=slowed_down * packing,
                is_packed=are_packed(found.viewed(view_of_training(config.recipe)), stored),
            ),
        )
    except ConfigError as error:
        raise ConfigError(f"--budget {typed}: {error}{_busy_words(slowed_down)}") from None
    rest = share(labels, fitted.fraction / config.data.fraction, config.data.split_seed)
    return TimeBudget(
        typed=typed,
        overrides=_overrides(typed, {"trials": fitted.trials}, fitted.fraction),
        trials=fitted.trials,
        fraction=fitted.fraction,
        whole_fraction=config.data.fraction,
        devices=devices,
        repeats=repeats,
        repeat_epochs=config.finalists.epochs if config.finalists else None,
        slowed_down=slowed_down,
        fitted=fitted,
        images=_counts(config, labels[rest], classes),
    )


def _overrides(typed: str, budget: dict[str, object], fraction: float) -> tuple[Override, ...]:
    return (
        Override("budget", json.dumps(budget), f"--budget {typed}"),
        Override("data.fraction", repr(fraction), f"--budget {typed}"),
    )


def _trial_seconds(
    config: SearchConfig, images: ImageCounts, *, console: Console
) -> tuple[TrialSeconds, float]:
    """Mean seconds of a trial by the wall clock; and by what others' work makes them longer."""
    bench, costs, _ = timed_costs(config, images, console=console)
    slower = max(1.0, bench.slowed_down)
    seconds = TrialSeconds(
        fixed=slower * statistics.mean(cost.build_seconds + cost.timing_seconds for cost in costs),
        of_images=slower * statistics.mean(cost.train_seconds + cost.evaluate_seconds for cost in costs),
    )
    return seconds, slower


def _busy_words(slowed_down: float) -> str:
    if slowed_down <= BUSY:
        return ""
    return (
        f". Others computed meanwhile, which made trials {slowed_down:.1f} times as long: ask again when "
        "it is quiet"
    )


def _found(config: SearchConfig) -> EncodedImages:
    with refused_images(advice=NAME_IMAGES):
        return find_images(config.data)


def _counts(config: SearchConfig, labels: np.ndarray, classes: Sequence[str]) -> ImageCounts:
    """Images to train on and for minival, listed and not decoded."""
    data = config.data
    with refused_images():
        train, held_out = split_indices(labels, minival=data.minival, seed=data.split_seed, classes=classes)
    return ImageCounts(len(train), len(held_out), len(classes))
