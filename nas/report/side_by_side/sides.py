"""Reading of several runs by one reward: which of them compare with the first, and why others do not."""

import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.frame import floats
from analysis.ledger import ledger
from analysis.progress import progress
from analysis.ranking import searched
from nas.report.facts import RunFacts, formula, read_facts
from nas.report.side_by_side.settings import settings_of, shared_settings
from nas.search.config import SearchConfig
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.json_text import json_value
from trials.log.file_names import DATA_FILE
from trials.objective import Objective, in_words

MOST_RUNS = 24  # on a page: letters and colours are few
ACCURACY_ALONE = "--reward none compares by it alone"


@dataclass(frozen=True)
class Side:
    """One run of a comparison.

    Attributes:
        label: a letter for equal settings, and a number where several runs have them.
        group: the letter.
        typed: the run's place as it was given.
        facts: under the reward of the comparison; under its own where the run is apart.
        apart: why it does not compare with the first run.
        own_reward: the reward of its search, in words, where that is another one.
    """

    label: str
    group: str
    typed: str
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
    """The runs of a comparison, the first being the one that others are compared with."""

    sides: tuple[Side, ...]
    terms: Mapping[str, float]
    objective: Objective
    device: str | None

    @property
    def compared(self) -> list[Side]:
        """Those that compare with the first, and the first."""
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
        return min(len(side.curve) for side in self.compared) or None if len(self.compared) > 1 else None

    @property
    def at_seconds(self) -> float | None:
        """Device time that all compared runs have spent; None where there is nothing to compare."""
        if len(self.compared) < 2:
            return None
        return min(side.device_seconds for side in self.compared) or None

    @property
    def reward_words(self) -> str:
        """The reward of the comparison as it is calculated."""
        return formula(self.terms, self.objective)


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
        ConfigError: as `read_facts`; a run is given twice, or there are too many.
    """
    _refuse_too_many(names)
    _refuse_twice(runs, names)
    own = [read_facts(run, device=device) for run in runs]
    first = own[0].config
    common = {**first.reward, **(terms or {})}
    found = [_by_common_reward(facts, common, first.objective, device) for facts in own]
    read = [(facts, (*apart, *_other_data(own[0], facts, common))) for facts, apart in found]
    groups = list(_groups(own))
    return Sides(
        tuple(
            Side(label, group, name, facts if not apart else mine, apart, _own_reward(mine, common, first))
            for (facts, apart), mine, name, group, label in zip(
                read, own, names, groups, _labels(groups), strict=True
            )
        ),
        common,
        first.objective,
        device,
    )


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
        reason = str(error).removeprefix(f"{own.folder}: ").split("; or leave it out")[0]
        return own, (f"the reward of the comparison cannot be computed of its trials ({reason})",)
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
        yield (
            f"its images are others ({_data_words(other)}; the first run's are {_data_words(first)}), so its "
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
    source: tuple[str, float]
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
    return _Images(digests, (data.source, data.fraction), (data.minival, data.split_seed))


def _data_words(facts: RunFacts) -> str:
    data = facts.config.data
    return data.source if data.fraction == 1 else f"{data.fraction:g} of {data.source}"


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
    if not images_of(one).are(images_of(other)) or devices_of(one) != devices_of(other):
        return False
    settings = (shared_settings(settings_of(facts.config, with_source=False)) for facts in (one, other))
    return next(settings) == next(settings)


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
