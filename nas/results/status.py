"""The state of a search, from its run directory alone: while it runs, after it ended, after it was killed."""

import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from analysis.finalists import finalists
from analysis.rungs import SEARCHED, longest, may_win, own_epochs, standing
from nas.results.winner import winner_id
from nas.search.config import Budget, Finalists, SearchConfig
from nas.search.run_record import device_seconds
from nas.search.trial_queue import MAX_REPEATS, is_counted
from nas.strategies.strategy import STRATEGIES, Recommends
from search_spaces.choices.space import SearchSpace
from search_spaces.settings.yaml_files import ConfigError, read_yaml
from trials.log.row_types import TrialRow, measured, number_of
from trials.log.run_reader import RunLog, read_run

State = Literal["running", "finished", "stopped"]
KINDS = ("train", "timing", "evaluate", "build")
PACED_TRIALS = 40  # the last ones, by which the time left is told
MOST_COUNTED = 10_000  # choices of a space whose architectures are counted: in more it may take seconds


@dataclass(frozen=True)
class Spent:
    """The part of the budget that is used, in the budget's own unit."""

    unit: str
    spent: float
    total: float


@dataclass(frozen=True)
class Best:
    """The best trial so far, fields named as the columns."""

    trial_id: int
    reward: float
    accuracy: float
    step_time_ratio: float
    params: int
    architecture_id: str


@dataclass(frozen=True)
class RunStatus:
    """The state of a run, fields named as the columns.

    Attributes:
        driver: who works on it; None if nobody does.
        in_flight: trials that were asked for and have not ended.
        status, purpose, failure_kind: numbers of trials that have ended.
        device_seconds: by kind of work.
        seconds_left: None where nothing runs, or no pace is known yet.
        unreadable: files of the log that are damaged.
    """

    run: str
    state: State
    driver: str | None
    asked: int
    in_flight: int
    status: dict[str, int]
    purpose: dict[str, int]
    failure_kind: dict[str, int]
    budget: Spent
    best: Best | None
    baseline_median_reward: float | None
    baseline_trials: int
    device_seconds: dict[str, float]
    seconds_left: float | None
    unreadable: tuple[str, ...]


def run_status(run: Path, *, now: datetime | None = None) -> RunStatus:
    """The state of a run, of which nothing is changed.

    Raises:
        ConfigError: the folder is no run, or its search.yaml does not read.
    """
    log = read_run(run)
    try:
        config = read_yaml(SearchConfig, run / "search.yaml")
    except ConfigError as error:
        raise ConfigError(f"{run}: its search.yaml does not read\n{error}") from None
    rows = [log.trials[trial_id] for trial_id in sorted(log.trials)]
    spent = _spent(config.budget, rows, log.trials)
    state: State = "running" if log.driver else "stopped"
    if not log.driver and not log.in_flight and _has_ended(config, spent, rows):
        state = "finished"
    now = now or datetime.now(UTC)
    best = _best(run, rows)
    baseline = [r["reward"] or 0.0 for r in rows if r["purpose"] == "baseline" and is_counted(r)]
    return RunStatus(
        run=str(run),
        state=state,
        driver=log.driver,
        asked=log.asked,
        in_flight=len(log.in_flight),
        status=dict(Counter(row["status"] for row in rows)),
        purpose=dict(Counter(row["purpose"] for row in rows)),
        failure_kind=dict(Counter(row["failure_kind"] for row in rows if row["failure_kind"])),
        budget=spent,
        best=_figures_of(best) if best is not None and best["reward"] is not None else None,
        baseline_median_reward=statistics.median(baseline) if baseline else None,
        baseline_trials=len(baseline),
        device_seconds={
            kind: sum(number_of(r, f"{kind}_seconds") or 0.0 for r in rows if r["status"] != "cached")
            for kind in KINDS
        },
        seconds_left=seconds_left(config.budget, log, spent, now) if log.driver else None,
        unreadable=log.unreadable,
    )


def _figures_of(best: TrialRow) -> Best:
    return Best(
        trial_id=best["trial_id"],
        reward=measured(best, "reward"),
        accuracy=measured(best, "accuracy"),
        step_time_ratio=measured(best, "step_time_ratio"),
        params=int(measured(best, "params")),
        architecture_id=best["architecture_id"],
    )


def _best(run: Path, rows: list[TrialRow]) -> TrialRow | None:
    """As `nas export` chooses: by the finalists' repeats, else as best.yaml says, else by reward."""
    eligible = [row for row in rows if may_win(row)]
    ranked = finalists(rows)
    chosen = ranked[0].trial_id if ranked else winner_id(run)
    named = next((row for row in eligible if row["trial_id"] == chosen), None)
    return named or max(eligible, key=standing, default=None)


def _has_ended(config: SearchConfig, spent: Spent, rows: list[TrialRow]) -> bool:
    """Whether the search would ask for nothing more, when nothing is in flight."""
    if spent.spent < spent.total and not _is_exhausted(config.space, rows):
        return False
    return config.finalists is None or _are_repeated(config, config.finalists, rows)


def _are_repeated(config: SearchConfig, wanted: Finalists, rows: list[TrialRow]) -> bool:
    """Whether each finalist was asked for as often as it should be; a repeat that crashed is not tried again.

    Which ones a strategy recommends, no row tells: of these it is enough that so many were repeated.
    """
    rewards: dict[tuple[int, ...], float] = {}
    for row in longest(rows):
        choices = tuple(row["choices"])
        rewards[choices] = max(standing(row)[1], rewards.get(choices, 0.0))
    best = sorted(rewards, key=lambda choices: (-rewards[choices], choices))[: wanted.count]
    asked = Counter(tuple(row["choices"]) for row in rows if row["purpose"] == "repeat")
    repeated = {choices for choices, count in asked.items() if count >= wanted.repeats}
    if issubclass(STRATEGIES[config.strategy["name"]], Recommends):
        return len(repeated) >= len(best)
    return repeated.issuperset(best)


def _is_exhausted(space: SearchSpace, rows: list[TrialRow]) -> bool:
    """Whether the space ran out before the budget, as far as that can be told at once."""
    last = [row["status"] for row in rows if row["purpose"] in SEARCHED][-MAX_REPEATS:]
    if last == ["cached"] * MAX_REPEATS:  # then a search takes any unseen architecture, and there was none
        return True
    # In its baseline a search finds so without a row that says it.
    tried = {tuple(row["choices"]) for row in rows if is_counted(row)}
    return space.size <= MOST_COUNTED and len(tried) >= space.distinct_size


def _spent(budget: Budget, rows: list[TrialRow], by_id: Mapping[int, TrialRow]) -> Spent:
    counted = [row for row in rows if is_counted(row)]
    if budget.trials is not None:
        return Spent("trials", len(counted), budget.trials)
    if budget.epochs is not None:
        return Spent("epochs", sum(own_epochs(row, by_id) for row in counted), budget.epochs)
    assert budget.device_seconds is not None, "a budget has one of three"
    return Spent("device-seconds", sum(map(device_seconds, counted)), budget.device_seconds)


def _ended_at(row: TrialRow) -> datetime:
    """The end of a trial; before all others if its row does not tell."""
    return row["finished_at"] or datetime.min.replace(tzinfo=UTC)


def seconds_left(budget: Budget, log: RunLog, spent: Spent, now: datetime) -> float | None:
    """By the median pace of this driver's last trials; None before its first.

    As many trials as run at once end in the time of one, so paces are taken over that many ends.
    """
    started, at_once = log.driver_started_at, max(len(log.in_flight), 1)
    if started is None:
        return None
    new = [row for row in log.trials.values() if is_counted(row) and _ended_at(row) > started]
    new = sorted(new, key=_ended_at)[-PACED_TRIALS:]
    if not new:
        return None
    ends = [(_ended_at(row) - started).total_seconds() for row in new]
    paces = [(later - ends[i]) / at_once for i, later in enumerate(ends[at_once:])]
    pace = statistics.median(paces) if paces else ends[-1] / len(ends)
    per_trial = _spent(budget, new, log.trials).spent / len(new)
    if not per_trial:
        return None
    trials_left = max(spent.total - spent.spent, 0.0) / per_trial
    waited = min((now - started).total_seconds() - ends[-1], pace)
    return max(pace * trials_left - waited, 0.0)
