"""The trials of a search, and the share of its images, that fit a given time, as in --budget 30m."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.numbers import counted, duration
from search_spaces.settings.config_error import ConfigError
from trials.images.splits import minival_size
from trials.trial import MAX_TRIALS

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
USED = 0.85  # of the time for trials: the rest is for workers that start, and the estimate's error
SAID = 10.0  # seconds before the first trial, from which on they are worth a word
FEWEST_TRIALS, AIMED_TRIALS = 20, 24
# Images that a smaller share leaves, where there are so many: with fewer a trial says little.
TRAIN_PER_CLASS, MINIVAL, PER_RARE_CLASS = 20, 50, 2
FRACTION_DIGITS = 3


@dataclass(frozen=True, kw_only=True)
class TrialSeconds:
    """Seconds of a trial by the wall clock: those that grow with the number of images, and the others."""

    fixed: float
    of_images: float  # at the search file's own data.fraction


@dataclass(frozen=True, kw_only=True)
class Beforehand:
    """Seconds by the wall clock until the first trial can begin, without the start of workers."""

    estimating: float = 0.0  # of which share of the images fits: gone already
    packing: float = 0.0  # decoding all images at the search file's own data.fraction
    is_packed: bool = False  # whether these are decoded already; a smaller share of them is not

    def seconds(self, share: float) -> float:
        """All of them, with this share of the images of the search file."""
        return self.estimating + (0.0 if self.is_packed and share == 1 else self.packing * share)


NOTHING = Beforehand()


@dataclass(frozen=True, kw_only=True)
class FittedSearch:
    """The trials and the share of the images that fit a time."""

    trials: int
    fraction: float
    trial_seconds: float
    seconds_before: float = 0.0  # of the time, until the first trial


def read_duration(text: str) -> float:
    """Seconds of 90s, 30m, 2h or 1d.

    Raises:
        ConfigError: it is none of these.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    seconds = float(found[1]) * UNITS[found[2]] if found else 0.0
    if not 0 < seconds <= 10_000 * UNITS["d"]:
        raise ConfigError(f"--budget {text}: expected a time, as in 90s, 30m, 2h or 1d")
    return seconds


def fit_search(
    seconds: float,
    trial: TrialSeconds,
    *,
    devices: int,
    repeats: int,
    baseline: int,
    fraction: float,
    least_fraction: float,
    repeat_length: float = 1.0,
    beforehand: Beforehand = NOTHING,
) -> FittedSearch:
    """The trials that fit the seconds on so many devices, before the finalists' trainings.

    1. What comes before the first trial comes off. Of the rest devices work in rounds: in each as many trials
       as there are devices. The finalists' rounds come off.
    2. Where fewer than FEWEST_TRIALS fit, or fewer than the baseline, a smaller share of the images makes
       trials short enough for AIMED_TRIALS, though never a smaller one than `least_fraction`.

    Args:
        repeats: trainings of finalists.
        fraction: the search file's own data.fraction.
        repeat_length: epochs of such a training, over a trial's.

    Raises:
        ConfigError: even of the smallest share too few trials fit; says what would.
    """
    repeat_rounds = math.ceil(repeats / devices)
    fewest = max(FEWEST_TRIALS, baseline)

    def seconds_at(share: float) -> float:
        return trial.fixed + trial.of_images * share / fraction

    def repeat_seconds_at(share: float) -> float:
        return trial.fixed + repeat_length * trial.of_images * share / fraction

    def fitted(share: float) -> FittedSearch:
        before = beforehand.seconds(share / fraction)
        usable = USED * (seconds - before) - repeat_rounds * repeat_seconds_at(share)
        rounds = max(0, math.floor(usable / seconds_at(share) + 1e-9))
        trials = min(devices * rounds, MAX_TRIALS)
        return FittedSearch(
            trials=trials, fraction=share, trial_seconds=seconds_at(share), seconds_before=before
        )

    whole = fitted(fraction)
    if whole.trials >= fewest:
        return whole
    aimed = math.ceil(max(AIMED_TRIALS, baseline * AIMED_TRIALS / FEWEST_TRIALS) / devices)
    # The share s at which USED (seconds - estimating - packing s) = rounds fixed + lengths of_images s, where
    # a finalist's round has the length of as many trials as its epochs.
    left = USED * (seconds - beforehand.estimating) - (aimed + repeat_rounds) * trial.fixed
    lengths = aimed + repeat_length * repeat_rounds
    share = left / (lengths * trial.of_images + USED * beforehand.packing)
    wanted = _rounded(share * fraction, math.floor)
    smaller = fitted(max(min(wanted, fraction), least_fraction))
    if smaller.trials >= fewest:
        return smaller
    working = math.ceil(fewest / devices) * smaller.trial_seconds
    working += repeat_rounds * repeat_seconds_at(smaller.fraction)
    needed = working / USED + smaller.seconds_before
    of_finalists = ""
    if repeats:
        of_finalists = f" and the {'longer trainings' if repeat_length > 1 else 'repeats'} of finalists"
    raise ConfigError(
        f"in {duration(seconds)} fewer than {fewest} trials{of_finalists} fit on "
        f"{counted(devices, 'device')}: a trial takes about {duration(smaller.trial_seconds)} here, already "
        f"on {smaller.fraction:.3g} of the images{_before_words(smaller.seconds_before)}. Give --budget "
        f"{_typed(needed)} or more, or make trials shorter: a lower recipe.epochs or recipe.resolution "
        "(--set)"
    )


def _before_words(seconds: float) -> str:
    """Sentence on the time that is gone before the first trial, where that is worth a word."""
    return f", and begins after {duration(seconds)} of decoding them and timing" if seconds >= SAID else ""


def least_fraction(images_of_classes: np.ndarray, *, minival: float | None, fraction: float) -> float:
    """The smallest data.fraction that leaves enough images to train on and to evaluate on.

    Args:
        images_of_classes: (K,) images of each class at the search file's own `fraction`; those without any
            are left out.
        minival: share that is held out; None: as by default.
    """
    held_out = minival if minival is not None else minival_size(1000) / 1000
    trained_on = images_of_classes * (1 - held_out)
    # A class of fewer images than that may become as small as the split permits.
    kept = np.where(trained_on >= TRAIN_PER_CLASS, TRAIN_PER_CLASS / (1 - held_out), PER_RARE_CLASS)
    of_classes = float((kept / images_of_classes).max())
    of_minival = max(MINIVAL, len(images_of_classes)) / (held_out * float(images_of_classes.sum()))
    return min(fraction, _rounded(fraction * max(of_classes, of_minival), math.ceil))


def _rounded(share: float, towards: Callable[[float], int]) -> float:
    """A share to FRACTION_DIGITS digits, rounded up (math.ceil) or down (math.floor)."""
    if share <= 0:
        return 0.0
    scale = 10.0 ** (FRACTION_DIGITS - 1 - math.floor(math.log10(share)))
    return towards(share * scale) / scale


def _typed(seconds: float) -> str:
    """A time that is at least so long, as --budget takes it."""
    minutes = math.ceil(seconds / 60)
    return f"{minutes}m" if minutes < 120 else f"{math.ceil(minutes / 60)}h"
