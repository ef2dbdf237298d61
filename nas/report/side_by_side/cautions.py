"""Cautions: differences between compared runs that their rewards do not show."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

import pandas as pd

from analysis.numbers import duration
from analysis.progress import device_seconds
from analysis.ranking import searched
from nas.report.facts import RunFacts
from nas.report.side_by_side.sides import Side, Sides, devices_of, images_of

SHORT = 2  # a run with fewer than one in so many of the longest run's trials is named
OF_ROWS = {"resolution": "resolution", "batch_size": "batch size", "precision": "precision"}


def cautions(found: Sides) -> tuple[str, ...]:
    """Sentences about what the comparison does not tell; nothing of runs that do not compare."""
    waiting = (f"{name} has no finished trial yet, and is left out." for name in found.waiting)
    several = len(found.compared) > 1
    return (*waiting, *(_of_budgets(found) if several else ()), *(_cautions(found) if several else ()))


def _of_budgets(found: Sides) -> Iterator[str]:
    """Cautions about equal budgets, and about runs of one setting."""
    sides = found.compared
    if found.device:
        yield (
            f"Only trials that were measured on {found.device} are here, so nothing is said at equal "
            "trials or at equal device time; winners compare."
        )
    if without := [side.label for side in sides if not len(side.curve)]:
        yield f"No trial that counts has ended in {', '.join(without)}: in no comparison at equal budgets."
    counts = {side.label: len(side.curve) for side in sides if len(side.curve)}
    shortest = min(counts, key=lambda label: counts[label], default="")
    if counts and not found.device and counts[shortest] * SHORT < max(counts.values()):
        yield (
            f"{shortest} has {counts[shortest]:,} trials of up to {max(counts.values()):,}: what is "
            "compared with it is compared at its short budget; leave it out, or let it go on."
        )
    unfinished = [
        f"{side.label} ({len(side.curve):,} of {side.config.budget.trials:,} trials)"
        for side in sides
        if side.config.budget.trials and len(side.curve) < side.config.budget.trials
    ]
    if unfinished and not found.device:
        yield f"Not at the end of their budgets, running or stopped: {', '.join(unfinished)}."
    lost = {side.label: float(device_seconds(_crashed(side.facts)).sum()) for side in sides}
    if not found.device and any(seconds >= 1 for seconds in lost.values()):
        said = ", ".join(f"{label} {duration(seconds)}" for label, seconds in lost.items() if seconds >= 1)
        yield f"Device time does not hold that of crashed trials: {said}."
    for group, own in found.groups.items():
        seeds = [side.config.seed for side in own]
        if len(set(seeds)) < len(seeds):
            yield (
                f"Runs of {group} share a seed: they are less independent than the intervals suppose. Search "
                "again with another `seed`."
            )
    numbers = _by_value(sides, lambda facts: str(len(facts.standings) or ""))
    if len(numbers) > 1:
        yield (
            f"Finalists differ in number: {_said(numbers)}. The best of more is higher by luck, so "
            "winners are not tested against each other."
        )


def _cautions(found: Sides) -> Iterator[str]:
    sides = found.compared
    for side in sides:
        if side.own_reward is not None:
            yield (
                f"{side.label} searched by another reward, {side.own_reward}; its rewards here are computed "
                "again, and its strategy did not try to raise them."
            )
    timed = _by_value(sides, lambda facts: ", ".join(devices_of(facts)["timing_device"]))
    if len(timed) > 1 and found.terms.get("step_time_ratio"):
        yield (
            f"Step times were measured on different devices: {_said(timed)}. Each reward holds its own "
            "device's; --reward step_time_ratio=0 leaves them out."
        )
    trained = _by_value(sides, lambda facts: ", ".join(devices_of(facts)["device_name"]))
    if len(trained) > 1:
        yield f"Trials ran on different devices: {_said(trained)}. Equal device time is not equal work."
    epochs = _by_value(sides, lambda facts: str(facts.config.recipe.epochs))
    if len(epochs) > 1:
        yield (
            f"Trials train for different numbers of epochs: {_said(epochs)}. A longer trial's reward is "
            "higher by its length alone; finalists' trainings of equal length compare networks."
        )
    elif len(ended := _by_value(sides, _lengths)) > 1:
        yield (
            f"Completed trials were of different lengths: {_said(ended)} epochs. Equal trials are not equal "
            "work, and a shorter trial's reward is lower by its length."
        )
    for name, words in OF_ROWS.items():
        values = _by_value(sides, partial(_of_rows, name=name))
        if len(values) > 1:
            yield f"Trials differ in their {words}: {_said(values)}. Part of a difference may be due to it."
    longer = _by_value(sides, lambda facts: str(_finalist_epochs(facts) or ""))
    if len(longer) > 1:
        yield (
            f"Finalists were trained for different numbers of epochs: {_said(longer)}. They are not compared."
        )
    images = [images_of(side.facts) for side in sides]
    if not all(each.are_split_as(images[0]) for each in images):
        yield "Accuracies are of different parts of the same images: minival is not the same in all runs."
    if warm := [
        f"{side.label} ({side.facts.config.warm_start})" for side in sides if side.facts.config.warm_start
    ]:
        yield f"Began with what an earlier run had found, whose cost is not counted: {', '.join(warm)}."


def _crashed(facts: RunFacts) -> pd.DataFrame:
    return facts.trials[facts.trials["status"] == "crashed"]


def _lengths(facts: RunFacts) -> str:
    """Lengths of completed trials that rows show, such as 1, 3 and 9 of successive halving."""
    return ", ".join(map(str, sorted(searched(facts.trials)["epochs"].dropna().astype(int).unique())))


def _of_rows(facts: RunFacts, *, name: str) -> str:
    return ", ".join(sorted(map(str, searched(facts.trials)[name].dropna().unique())))


def _finalist_epochs(facts: RunFacts) -> int:
    return facts.standings[0].finalist.epochs if facts.standings else 0


def _by_value(sides: Iterable[Side], value: Callable[[RunFacts], str]) -> dict[str, list[str]]:
    """Labels by what their runs have; runs that have nothing are left out."""
    found: dict[str, list[str]] = {}
    for side in sides:
        if text := value(side.facts):
            found.setdefault(text, []).append(side.label)
    return found


def _said(by_value: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{value} ({', '.join(labels)})" for value, labels in by_value.items())
