"""Reading of several runs by one reward: which of them compare with the first, and why others do not."""

import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.frame import floats, read_trials
from analysis.ledger import ledger
from analysis.progress import progress
from analysis.ranking import searched
from nas.report.facts import RunFacts, formula, read_facts, won_by_trainings
from nas.report.side_by_side.settings import settings_of, shared_settings
from nas.search.config import SearchConfig
from nas.search.recorded_config import recorded_config
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.json_text import json_value
from trials.log.file_names import DATA_FILE
from trials.objective import Objective, in_words

MOST_RUNS = 24  # on a page: letters and colours are few
ACCURACY_ALONE = "--reward none compares by it alone"
SAME_TRIALS = 3  # first trials, by which a copy of a run is known: times to the microsecond are never alike


@dataclass(frozen=True)
class Side:
    """One run of a comparison.

    Attributes:
        label: a letter for equal settings, and a number where several runs have them.
        group: the letter.
        typed: the run's place as it was given.
        config: of its search, as it was recorded; that of `facts` may have the comparison's objective.
        facts: under the reward of the comparison; under its own where the run is apart. The winner is the
            best of its finalists by their trainings, where there are any.
        apart: why it does not compare with the first run.
        own_reward: the reward of its search, in words, where that is another one.
    """

    label: str
    group: str
    typed: str
    config: SearchConfig
    facts: RunFacts
    apart: tuple[str, ...]
    own_reward: str | None

    @cached_property
    def curve(self) -> pd.DataFrame:
        """Its counted trials with the best reward so far, see `progress`."""
        return progress(self.facts.trials)

    @cached_property
    def spent(self) -> pd.DataFrame:
        """Its device-seconds, see `ledger`."""
        return ledger(self.facts.trials)

    @property
    def device_seconds(self) -> float:
        """Device time of the counted trials."""
        return float(self.curve["device_seconds"].iloc[-1]) if len(self.curve) else 0.0


@dataclass(frozen=True)
class Sides:
    """The runs of a comparison, the first being the one that others are compared with.

    Attributes:
        waiting: runs of which no trial has finished yet, as they were given.
        device: whose step times are used; then only trials that were measured on it are here, and nothing is
            compared at equal budgets.
    """

    sides: tuple[Side, ...]
    terms: Mapping[str, float]
    objective: Objective
    device: str | None
    waiting: tuple[str, ...] = ()

    @property
    def compared(self) -> list[Side]:
        """The first run and all runs that compare with it."""
        return [side for side in self.sides if not side.apart]

    @property
    def groups(self) -> dict[str, list[Side]]:
        """The compared runs by their letter: runs of equal settings, other seeds."""
        found: dict[str, list[Side]] = {}
        for side in self.compared:
            found.setdefault(side.group, []).append(side)
        return found

    @property
    def at_trials(self) -> int | None:
        """Number of trials that all compared runs have; None where there is nothing to compare."""
        return self.trials_of(self.compared) if len(self.compared) > 1 else None

    @property
    def at_seconds(self) -> float | None:
        """Device time that all compared runs have spent; None where there is nothing to compare."""
        return self.seconds_of(self.compared) if len(self.compared) > 1 else None

    def trials_of(self, sides: Iterable[Side]) -> int | None:
        """The fewest trials of these runs, those without any left out; None with another device's times."""
        counts = [len(side.curve) for side in sides if len(side.curve)]
        return min(counts) if counts and self.device is None else None

    def seconds_of(self, sides: Iterable[Side]) -> float | None:
        """The least device time of these runs, those without a trial left out; None as `trials_of`."""
        spent = [side.device_seconds for side in sides if side.device_seconds]
        return min(spent) if spent and self.device is None else None


def read_sides(
    runs: Sequence[Path],
    *,
    names: Sequence[str],
    terms: Mapping[str, float] | None = None,
    device: str | None = None,
) -> Sides:
    """Reads runs by the reward of the first, or by other exponents.

    Args:
        names: the runs as they were given.
        terms: exponents that replace those of the first run's reward.

    Raises:
        ConfigError: as `read_facts` of the first run, and of others where they are no runs or are damaged;
            the reward cannot be computed of the first run; a run is given twice, or there are too many.
    """
    _refuse_too_many(names)
    _refuse_twice(runs, names)
    begun = [(run, name) for run, name in zip(runs, names, strict=True) if run == runs[0] or _has_trials(run)]
    waiting = tuple(name for run, name in zip(runs, names, strict=True) if (run, name) not in begun)
    read = [_own_facts(run, device, is_first=run == runs[0]) for run, _ in begun]
    own = [facts for facts, _ in read]
    first = own[0].config
    common = {**first.reward, **(terms or {})}
    groups = list(_groups(own))
    sides: list[Side] = []
    for (mine, lacking), (_, name), group, label in zip(read, begun, groups, _labels(groups), strict=True):
        facts, other_reward = (
            (mine, ()) if lacking else _by_common_reward(mine, common, first.objective, device)
        )
        copied = (f"it is a copy of {side.label}: the same seed, and the same first trials to the microsecond"
                  for side in sides if side.group == group and _is_copy(side.facts, mine))  # fmt: skip
        apart = (*lacking, *other_reward, *_other_data(own[0], mine, common), *copied)
        if apart and not sides:
            raise ConfigError(
                f"{name}: {apart[0]}, and others are compared by its reward; choose it by --reward, such as "
                "--reward none, or give another run first"
            )
        shown = won_by_trainings(mine if apart else facts)
        sides.append(Side(label, group, name, mine.config, shown, apart, _own_reward(mine, common, first)))
    return Sides(tuple(sides), common, first.objective, device, waiting)


def _has_trials(run: Path) -> bool:
    """False of a run of which no trial has finished yet.

    Raises:
        ConfigError: it is no run.
    """
    recorded_config(run)
    try:
        read_trials(run, columns=["trial_id"])
    except FileNotFoundError:
        return False
    except ValueError:  # damaged, which is said where it is read
        return True
    return True


def _own_facts(run: Path, device: str | None, *, is_first: bool) -> tuple[RunFacts, tuple[str, ...]]:
    """A run's facts, and why they are not by step times on the device."""
    if device is None or is_first:
        return read_facts(run, device=device), ()
    try:
        return read_facts(run, device=device), ()
    except ConfigError as error:
        return read_facts(run), (f"it has no step times on {device} ({_reason(error, run)})",)


def _reason(error: ConfigError, run: Path) -> str:
    return str(error).removeprefix(f"{run}: ").split("; ")[0]


def _is_copy(one: RunFacts, other: RunFacts) -> bool:
    """True if both have the same first trials, times included: no two searches take equally long."""
    if one.config.seed != other.config.seed:
        return False
    first, second = (
        facts.trials.sort_values("tell_seq")[["choices", "finished_at", "train_seconds"]].head(SAME_TRIALS)
        for facts in (one, other)
    )
    return all(list(map(str, first[name])) == list(map(str, second[name])) for name in first.columns)


def _refuse_too_many(names: Sequence[str]) -> None:
    if len(names) > MOST_RUNS:
        raise ConfigError(
            f"{len(names)} runs are given, and one page compares up to {MOST_RUNS}; leave some out, or read "
            'them in a notebook:  analysis.run_comparison.compare_runs(read_trials("runs/*"))'
        )


def _refuse_twice(runs: Sequence[Path], names: Sequence[str]) -> None:
    known: dict[Path, str] = {}
    for run, name in zip(runs, names, strict=True):
        place = run.resolve()
        if place in known:
            also = f" (as {known[place]}, too)" if known[place] != name else ""
            raise ConfigError(f"{name}: this run is given twice{also}; give each run once")
        known[place] = name


# ---------------------------------------------------------------------- one reward for all


def _by_common_reward(
    own: RunFacts, common: Mapping[str, float], objective: Objective, device: str | None
) -> tuple[RunFacts, tuple[str, ...]]:
    """A run's facts by the reward of the comparison; or its own, and why that reward cannot be computed."""
    weighted = {name: exponent for name, exponent in common.items() if exponent}
    recorded = {name: exponent for name, exponent in own.config.reward.items() if exponent}
    if weighted == recorded and own.config.objective == objective:
        return own, ()
    if objective != own.config.objective and not _has(own, objective):
        return own, (f"its objective is {in_words(own.config.objective)}, and its trials have no "
                     f"{in_words(objective)}",)  # fmt: skip
    terms = {**dict.fromkeys(own.config.reward, 0.0), **common}
    try:
        facts = read_facts(own.folder, terms=terms, device=device, objective=objective)
    except ConfigError as error:
        return own, (
            f"the reward of the comparison cannot be computed of its trials ({_reason(error, own.folder)})",
        )
    known = searched(facts.trials)
    if len(known) and not np.isfinite(floats(known, "reward")).any():
        return own, (f"none of its trials has all of {', '.join(weighted)}, which the reward needs",)
    return facts, ()


def _has(facts: RunFacts, objective: Objective) -> bool:
    known = searched(facts.trials)
    return objective in known and bool(np.isfinite(floats(known, objective)).any())


def _own_reward(own: RunFacts, common: Mapping[str, float], first: SearchConfig) -> str | None:
    words = formula(own.config.reward, own.config.objective)
    return words if words != formula(common, first.objective) else None


# ---------------------------------------------------------------------- equal data, equal units


def _other_data(first: RunFacts, other: RunFacts, common: Mapping[str, float]) -> Iterator[str]:
    """Reasons why rewards of a run are of another kind than the first one's."""
    if not images_of(first).are(images_of(other)):
        here, there = _data_words(other), _data_words(first)
        if here == there:  # then their digests tell them apart
            here, there = (_digest_words(facts) for facts in (other, first))
        yield (
            f"its images are others ({here}; the first run's are {there}), so its "
            "accuracies are of another task"
        )
    terms = [name for name, exponent in common.items() if exponent]
    if terms and first.config.space.reference != other.config.space.reference:
        yield (
            f"its reference network is another one, in whose units {', '.join(terms)} count; accuracies "
            f"compare:  {ACCURACY_ALONE}"
        )


@dataclass(frozen=True)
class _Images:
    """Identity of a run's images: digests, where the run has recorded them, and what its file says."""

    digests: tuple[str, str] | None  # of all of them, and of who is trained on and who evaluated on
    source: tuple[str, float, int | None]
    split: tuple[float | None, int]

    def are(self, other: "_Images") -> bool:
        """True if both are the same images."""
        if self.digests and other.digests:
            return self.digests[0] == other.digests[0]
        return self.source == other.source

    def are_split_as(self, other: "_Images") -> bool:
        """True if the same of them are evaluated on."""
        if self.digests and other.digests:
            return self.digests[1] == other.digests[1]
        return self.split == other.split


def images_of(facts: RunFacts) -> _Images:
    """The identity of a run's images."""
    data = facts.config.data
    try:
        known = json_value((facts.folder / DATA_FILE).read_text(encoding="utf-8"))
        digests = (str(known["digest"]), str(known["split_digest"]))
    except (OSError, ValueError, KeyError, TypeError):
        digests = None
    drawn_by = None if data.fraction == 1 else data.split_seed  # which share of the images it is
    return _Images(digests, (data.source, data.fraction, drawn_by), (data.minival, data.split_seed))


def _data_words(facts: RunFacts) -> str:
    data = facts.config.data
    return (
        data.source
        if data.fraction == 1
        else (f"{data.fraction:g} of {data.source}, drawn by split_seed {data.split_seed}")
    )


def _digest_words(facts: RunFacts) -> str:
    digests = images_of(facts).digests
    return f"digest {digests[0][:12]}" if digests else "without a recorded digest"


# ---------------------------------------------------------------------- groups


def _groups(found: Sequence[RunFacts]) -> Iterator[str]:
    """A letter for each run; runs of equal settings, images and devices have the same one."""
    known: list[RunFacts] = []
    for facts in found:
        place = next((i for i, other in enumerate(known) if _are_alike(facts, other)), len(known))
        if place == len(known):
            known.append(facts)
        yield string.ascii_uppercase[place]


def _are_alike(one: RunFacts, other: RunFacts) -> bool:
    if not images_of(one).are(images_of(other)) or not _are_devices_alike(one, other):
        return False
    settings = (shared_settings(settings_of(facts.config, with_source=False)) for facts in (one, other))
    return next(settings) == next(settings)


def _are_devices_alike(one: RunFacts, other: RunFacts) -> bool:
    """True if both ran on the same models; a run that still goes on may not have come to all of them yet."""
    first, second = devices_of(one), devices_of(other)
    if first == second:
        return True
    return (_goes_on(one) and all(set(first[name]) <= set(second[name]) for name in first)) or (
        _goes_on(other) and all(set(second[name]) <= set(first[name]) for name in first)
    )


def _goes_on(facts: RunFacts) -> bool:
    budget = facts.config.budget.trials
    return budget is not None and len(progress(facts.trials)) < budget


def _labels(groups: Sequence[str]) -> Iterator[str]:
    counts: dict[str, int] = {}
    for group in groups:
        counts[group] = counts.get(group, 0) + 1
        yield f"{group}{counts[group]}" if groups.count(group) > 1 else group


def devices_of(facts: RunFacts) -> dict[str, tuple[str, ...]]:
    """Models of the devices that trained, and that step times were measured on."""
    rows = searched(facts.trials)
    return {name: _different(rows[name]) for name in ("device_name", "timing_device")}


def _different(column: pd.Series) -> tuple[str, ...]:
    return tuple(sorted(map(str, column.dropna().unique())))
