"""Figures of a comparison: accuracies and differences with intervals, step time, size, seconds."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from analysis.intervals import Estimate, Interval, interval_of
from analysis.paired import SURE, PairedDifference, mean_of_seeds, paired_differences
from analysis.standard_error import standard_error
from nas.comparing.config import ComparisonPlan, Conditions, Equal
from nas.comparing.trainings import Outcomes, left_to_train, outcomes_of, seconds_left, training_folder
from nas.training.finished import FinishedTraining
from trials.objective import ACCURACY, Objective


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A network's accuracy minus the first network's, over the seeds that both have been trained with."""

    difference: Interval  # mean over pairs
    pairs: int
    p_value: float | None  # of this pair of networks alone
    is_sure: bool  # by Holm's correction over all networks; False until no training is left


@dataclass(frozen=True, kw_only=True)
class SeedFigures:
    """One training that has ended. Accuracies are 0-1, of the epoch that was best on minival.

    `value` is what is compared: the objective, on the test images where there are some.
    """

    seed: int
    run: str
    accuracy: float  # on minival
    test_accuracy: float | None
    value: float
    epochs: int
    best_epoch: int
    seconds: float
    stopped_early: bool
    device_name: str
    threads: int


@dataclass(frozen=True, kw_only=True)
class DivergedSeed:
    """One training that diverged, and is left out, with its pair."""

    seed: int
    run: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class NetworkFigures:
    """One network of a comparison.

    Its accuracy is that on the test images, where there are some; balanced, if that is the objective.
    """

    name: str
    source: str
    architecture_id: str
    params: int
    macs: int
    step_seconds: float | None
    step_time_ratio: float | None  # to the first network's
    step_time_ratio_spread: float | None
    timing_flag: str | None
    epochs: int  # of each training, where nothing ends it early
    accuracy: Interval | None  # None before its first training has ended
    against_first: Difference | None  # None of the first; and where no seed is common yet
    seconds: float | None  # mean of its trainings
    trainings: tuple[SeedFigures, ...]
    diverged: tuple[DivergedSeed, ...]


@dataclass(frozen=True, kw_only=True)
class ComparisonFigures:
    """A comparison, so far."""

    run: str
    equal: Equal
    seeds: tuple[int, ...]
    ended: int  # trainings
    diverged: int
    total: int
    seconds_left: float | None
    objective: Objective  # that is compared
    evaluated_on: str  # test or minival
    images: int  # that accuracies are shares of
    # Standard error of one accuracy by the number of images, of the first network; None of other objectives.
    image_error: float | None
    significance: float  # bound of the probability of a false "sure"
    data: str
    conditions: Conditions
    networks: tuple[NetworkFigures, ...]  # the first is the one that others are compared with

    @property
    def is_complete(self) -> bool:
        """True if no training is left: each has ended, or diverged."""
        return self.ended + self.diverged == self.total


def comparison_figures(plan: ComparisonPlan, folder: Path) -> ComparisonFigures:
    """The figures of what has ended.

    Raises:
        ConfigError: the result of a training does not read.
    """
    outcomes = outcomes_of(plan, folder)
    ended = outcomes.ended
    is_complete = not left_to_train(plan, outcomes)
    config, conditions = plan.config, plan.conditions
    by_network = {
        name: {seed: each for (network, seed), each in ended.items() if network == name}
        for name in config.networks
    }
    differences = _differences(by_network)
    first = by_network[config.reference]
    tested = next((each.test_images for each in ended.values() if each.test_images), None)
    images = tested or conditions.minival_images
    has_error = first and config.objective == ACCURACY
    first_mean = fmean(each.final_value for each in first.values()) if has_error else None
    return ComparisonFigures(
        run=str(folder),
        equal=config.equal,
        seeds=tuple(config.seeds),
        ended=len(ended),
        diverged=len(outcomes.diverged),
        total=config.repeats * len(config.networks),
        seconds_left=seconds_left(plan, outcomes),
        objective=config.objective,
        evaluated_on="test" if config.test is not None else "minival",
        images=images,
        image_error=standard_error(first_mean, float(images)) if first_mean is not None else None,
        significance=SURE,
        data=config.data.source,
        conditions=conditions,
        networks=tuple(
            _network(plan, name, outcomes, differences.get(name), folder, is_complete=is_complete)
            for name in config.networks
        ),
    )


def _differences(by_network: Mapping[str, Mapping[int, FinishedTraining]]) -> dict[str, PairedDifference]:
    """Differences of the networks that have a seed in common with the first one, by name."""
    accuracies = [
        (name, {seed: each.final_value for seed, each in own.items()}) for name, own in by_network.items()
    ]
    (_, first), *others = accuracies
    common = {name: own for name, own in others if own.keys() & first.keys()}
    return dict(zip(common, paired_differences(first, list(common.values())), strict=True))


def _network(
    plan: ComparisonPlan,
    name: str,
    outcomes: Outcomes,
    difference: PairedDifference | None,
    folder: Path,
    *,
    is_complete: bool,
) -> NetworkFigures:
    network, costs = plan.config.networks[name], plan.costs[name]
    ended = {seed: each for (of, seed), each in outcomes.ended.items() if of == name}
    diverged = {seed: reason for (of, seed), reason in outcomes.diverged.items() if of == name}
    accuracies = np.array([each.final_value for each in ended.values()])
    return NetworkFigures(
        name=name,
        source=network.source,
        architecture_id=network.architecture_id,
        params=costs.params,
        macs=costs.macs,
        step_seconds=costs.step_seconds,
        step_time_ratio=costs.step_time_ratio,
        step_time_ratio_spread=costs.step_time_ratio_spread,
        timing_flag=costs.timing_flag,
        epochs=costs.epochs,
        accuracy=interval_of(_share(mean_of_seeds(accuracies))) if len(accuracies) else None,
        against_first=_difference(difference, is_complete=is_complete) if difference is not None else None,
        seconds=fmean(each.seconds for each in ended.values()) if ended else None,
        trainings=tuple(
            _seed(seed, each, training_folder(folder, name, seed)) for seed, each in ended.items()
        ),
        diverged=tuple(
            DivergedSeed(seed=seed, run=str(training_folder(folder, name, seed)), reason=reason)
            for seed, reason in diverged.items()
        ),
    )


def _seed(seed: int, ended: FinishedTraining, folder: Path) -> SeedFigures:
    return SeedFigures(
        seed=seed,
        run=str(folder),
        accuracy=ended.accuracy,
        test_accuracy=ended.test_accuracy,
        value=ended.final_value,
        epochs=ended.epochs,
        best_epoch=ended.best_epoch,
        seconds=ended.seconds,
        stopped_early=ended.stopped_early,
        device_name=ended.device_name,
        threads=ended.threads,
    )


def _difference(found: PairedDifference, *, is_complete: bool) -> Difference:
    return Difference(
        difference=interval_of(found.difference),
        pairs=found.pairs,
        p_value=found.p_value,
        is_sure=found.is_sure and is_complete,  # early looks inflate false positives
    )


def _share(found: Estimate) -> Estimate:
    """An estimate of a share, which is none below 0 or above 1; NaN stays."""
    return Estimate(found.value, *np.clip([found.low, found.high], 0.0, 1.0))
