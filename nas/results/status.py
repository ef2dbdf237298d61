"""The state of a search, from its run directory alone: while it runs, after it ended, after it was killed."""

import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from analysis.finalists import Repeats, repeats
from analysis.headline import Interval, headline
from analysis.trial_rules import RETRAINED, baseline_rewards, spent
from analysis.winner import Winner
from nas.results.time_left import Remaining, seconds_left
from nas.results.winner import run_winner
from nas.search.config import Budget, SearchConfig
from nas.search.exhaustion import is_exhausted
from nas.search.recorded_config import recorded_config
from nas.strategies.strategy import Recommends
from trials.log.row_types import TrialRow, measured
from trials.log.rows import seconds_by_work
from trials.log.run_places import place_of
from trials.log.run_reader import RunLog, read_run
from trials.log.schema import WORK
from trials.objective import Objective

State = Literal["running", "finished", "stopped"]


@dataclass(frozen=True)
class Spent:
    """The part of the budget that is used, in the budget's own unit."""

    unit: str
    spent: float
    total: float


@dataclass(frozen=True)
class Best:
    """The best architecture so far, fields named as the columns.

    Of a finalist, reward, accuracy and step time are means of its trainings, without the trial that selected
    it.

    Attributes:
        trainings: over how many trainings, of `epochs` each.
        words: the same and the intervals, in lines.
        is_longer: these are longer than trials, with which they do not compare.
        objective: the quantity that is rewarded: accuracy, or another one beside it.
        reward_interval, accuracy_interval, objective_interval: of 95 %; None where it is unknown how
            trainings vary, and of accuracies where another objective is rewarded.
        uncertain_step_time: why the step time is uncertain; None if it is not.
    """

    trial_id: int
    reward: float
    accuracy: float
    objective: Objective
    objective_value: float
    step_time_ratio: float
    params: int
    architecture_id: str
    trainings: int
    epochs: int
    words: tuple[str, ...]
    is_longer: bool
    reward_interval: Interval | None
    accuracy_interval: Interval | None
    objective_interval: Interval | None
    uncertain_step_time: str | None


@dataclass(frozen=True)
class RunStatus:
    """The state of a run, fields named as the columns.

    Attributes:
        driver: who works on it; None if nobody does.
        in_flight: trials that were asked for and have not ended.
        status, purpose, failure_kind: numbers of trials that have ended.
        repeats: trainings of finalists, as long as a trial or longer; None of a search that has no finalists.
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
    repeats: Repeats | None
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
    config = recorded_config(run)
    rows = [log.trials[trial_id] for trial_id in sorted(log.trials)]
    budget = config.budget
    used = spent(rows, budget.unit, log.trials)
    is_over = used >= budget.total or _has_run_out(config, log, rows)
    again = _repeats(config, rows, is_over=is_over)
    to_do = Remaining(
        budget=0.0 if is_over else budget.total - used,
        repeats=again.total - again.ended,
        repeat_epochs=config.finalist_epochs,
    )
    state: State = "running" if log.driver else "stopped"
    if not log.driver and not log.in_flight and is_over and not to_do.repeats:
        state = "finished"
    now = now or datetime.now(UTC)
    chosen = run_winner(run, rows)
    seconds = [seconds_by_work(row) for row in rows]
    baseline = baseline_rewards(rows)
    return RunStatus(
        run=place_of(run),
        state=state,
        driver=log.driver,
        asked=log.asked,
        in_flight=len(log.in_flight),
        status=dict(Counter(row["status"] for row in rows)),
        purpose=dict(Counter(row["purpose"] for row in rows)),
        failure_kind=dict(Counter(row["failure_kind"] for row in rows if row["failure_kind"])),
        budget=Spent(budget.unit.replace("_", "-"), used, budget.total),
        repeats=again if config.finalists else None,
        best=_best_of(chosen, log.trials) if chosen is not None else None,
        baseline_median_reward=statistics.median(baseline) if baseline else None,
        baseline_trials=len(baseline),
        device_seconds={kind: sum(each[kind] for each in seconds) for kind in WORK},
        seconds_left=_seconds_left(budget, log, to_do, now) if log.driver else None,
        unreadable=log.unreadable,
    )


def _best_of(chosen: Winner, rows: Mapping[int, TrialRow]) -> Best | None:
    """The figures of the best; None where its reward could not be computed."""
    best = rows[chosen.trial_id]
    if best["reward"] is None:
        return None
    found = headline(best, chosen.standing)
    return Best(
        trial_id=found.trial_id,
        reward=found.reward,
        accuracy=found.accuracy,
        objective=found.objective,
        objective_value=found.objective_value,
        step_time_ratio=found.step_time_ratio,
        params=int(measured(best, "params")),
        architecture_id=best["architecture_id"],
        trainings=found.trainings,
        epochs=found.epochs,
        words=found.lines,
        is_longer=found.is_longer,
        reward_interval=found.reward_interval,
        accuracy_interval=found.accuracy_interval,
        objective_interval=found.objective_interval,
        uncertain_step_time=found.uncertain,
    )


def _repeats(config: SearchConfig, rows: list[TrialRow], *, is_over: bool) -> Repeats:
    if config.finalists is None:
        return Repeats(0, 0)
    found = repeats(
        rows,
        count=config.finalists.count,
        each=config.finalists.repeats,
        is_over=is_over,
        are_recommended=issubclass(config.strategy.kind, Recommends),
    )
    epochs = config.finalist_epochs
    return replace(found, epochs=epochs, is_longer=epochs > config.recipe.epochs)


def _has_run_out(config: SearchConfig, log: RunLog, rows: list[TrialRow]) -> bool:
    """True if the space ran out before the budget, as far as that is known at once."""
    if log.driver:  # it asks for finalists as soon as there is nothing new to ask for
        return bool(log.in_flight) and all(row["purpose"] in RETRAINED for row in log.in_flight.values())
    return not log.in_flight and is_exhausted(config, rows)


def _seconds_left(budget: Budget, log: RunLog, to_do: Remaining, now: datetime) -> float | None:
    if log.driver_started_at is None:
        return None
    return seconds_left(
        budget, log.trials.values(), to_do,
        by_id=log.trials, started=log.driver_started_at, at_once=len(log.in_flight), now=now,
    )  # fmt: skip
