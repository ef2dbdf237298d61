"""Longer trainings of a sample of a run's architectures: whether its short trials can be trusted."""

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from analysis.frame import read_trials
from analysis.proxy_audit import ProxyAudit, proxy_audit
from analysis.rungs import longest
from nas.search.config import Budget, SearchConfig
from nas.search.crash_limit import CrashLimit
from nas.search.environment import describe_environment
from nas.search.search import removed_if_never_begun
from nas.search.search_loop import MAX_ATTEMPTS, needs_inference_time
from nas.search.strategy_guard import SearchFailedError
from search_spaces.settings.yaml_files import ConfigError, read_yaml, yaml_text
from trials.log.rows import ask_from_row, ask_row, step_time_from_row, trial_row
from trials.log.run_reader import read_run
from trials.log.store import RunStore, recorded_trials
from trials.reward import Reward, recorded_reward
from trials.run_trial import WorkerSetup, start_worker
from trials.trial import (
    Ask,
    EpochResult,
    Event,
    Execute,
    Notice,
    StartWorker,
    Trial,
    TrialResult,
    WorkerJoined,
)

FOLDER = "audit"  # in the run directory: a run directory of its own, whose rows no strategy is told
DERIVE_AUDIT_SEED = 2  # keeps its seeds apart from those of the search's trials
Row = Mapping[str, Any]


@dataclass(frozen=True)
class AuditPlan:
    """What to train: read and checked before anything is written or started."""

    run: Path
    config: SearchConfig
    epochs: int
    sample: tuple[Row, ...]  # of the run's rows, those that are not yet in the audit
    recorded: int  # asks that are
    in_flight: int  # of these, without an end

    @property
    def folder(self) -> Path:
        """Where the audit keeps its trials."""
        return self.run / FOLDER


@dataclass(frozen=True)
class AuditTrained:
    """News for whoever watches: a longer training has ended, and its row is durable."""

    short: Row
    row: Row


def plan_audit(run: Path, *, trials: int, epochs: int) -> AuditPlan:
    """A sample over the whole range of rewards; an audit that exists is continued, or made larger.

    Raises:
        ConfigError: no run, too few completed trials, trainings that are not longer, or an audit of another
            length.
    """
    rows = recorded_trials(run)
    config = read_yaml(SearchConfig, run / "search.yaml")
    recorded_reward(config.reward, where=run)
    if epochs <= config.recipe.epochs:
        raise ConfigError(
            f"--epochs {epochs}: this run's trials have {config.recipe.epochs}, and an audit trains for "
            f"longer; {4 * config.recipe.epochs} is usual"
        )
    log = read_run(run / FOLDER) if RunStore.is_run(run / FOLDER) else None
    known = [*log.trials.values(), *log.in_flight.values()] if log else []
    if others := sorted({row["epochs"] for row in known} - {epochs}):
        raise ConfigError(
            f"{run / FOLDER}: holds trainings of {others[0]} epochs, which are not compared with others; use "
            f"--epochs {others[0]}, or move that folder away"
        )
    audited = {row["architecture_id"] for row in known}
    distinct = list(short_rows(rows).values())
    if len(distinct) < 2:
        raise ConfigError(
            f"{run}: an audit compares architectures, and {len(distinct)} has completed; search on first"
        )
    left = [row for row in distinct if row["architecture_id"] not in audited]
    sample = stratified(left, max(trials - len(known), 0), seed=config.seed)
    in_flight = len(log.in_flight) if log else 0
    return AuditPlan(run, config, epochs, tuple(sample), len(known), in_flight)


def short_rows(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The first completed trial of each architecture, the longest where they differ; repeats left out."""
    found: dict[str, dict[str, Any]] = {}
    for row in longest(rows):
        found.setdefault(row["architecture_id"], row)
    return found


def stratified(rows: list[dict[str, Any]], count: int, *, seed: int) -> list[dict[str, Any]]:
    """One row of each of `count` parts of equal size by reward, the best row for the best part; all if fewer.

    A uniform sample would hold few of the best, on which a search depends.
    """
    order = sorted(rows, key=lambda row: (-row["reward"], row["trial_id"]))
    if count >= len(order):
        return order
    rng = np.random.default_rng([seed, DERIVE_AUDIT_SEED])
    bounds = np.linspace(0, len(order), count + 1).round().astype(int)
    places = [int(rng.integers(low, high)) for low, high in pairwise(bounds.tolist())]
    return [order[i] for i in [0, *places[1:]][:count]]


def audit(
    plan: AuditPlan,
    *,
    execute: Execute,
    start: StartWorker | None = None,
    on_event: Callable[[Event | AuditTrained], None] = lambda news: None,
) -> ProxyAudit | None:
    """Trains what is planned, or was in flight, in the run's audit/ folder; compares all audited so far.

    A killed audit goes on where it stopped. `start` replaces the real worker in tests.

    Raises:
        RunLockedError: another audit works on this run.
        SearchFailedError: several trainings in a row crashed.
    """
    config = plan.config
    if start is None:
        start = partial(start_worker, setup=WorkerSetup(data=config.data, reference=config.space.reference))
    new = not RunStore.is_run(plan.folder)
    with RunStore(plan.folder) as store, removed_if_never_begun(store, new=new):
        environment = describe_environment()
        _write_search(plan, store, environment)
        loop = _Loop(plan, store, environment_id=environment["environment_id"], on_event=on_event)
        try:
            for event in execute(start, loop.trials()):
                loop.handle(event)
        finally:
            if store.asks:
                store.refresh_views(force=True)
    return proxy_audit(read_trials(plan.run), read_trials(plan.folder))


def _write_search(plan: AuditPlan, store: RunStore, environment: dict[str, Any]) -> None:
    """What makes audit/ a run directory: its configuration, and what this driver runs on."""
    count = plan.recorded + len(plan.sample)
    recipe = replace(plan.config.recipe, epochs=plan.epochs)
    config = replace(plan.config, recipe=recipe, baseline=0, finalists=None, budget=Budget(trials=count))
    header = f"nas audit {plan.run} --trials {count} --epochs {plan.epochs}"
    store.write_text("search.yaml", yaml_text(config, header=header))
    number = 1 + len(list((plan.folder / "environment").glob("[0-9][0-9][0-9][0-9].json")))
    store.write_text(f"environment/{number:04d}.json", json.dumps(environment, indent=1) + "\n")


class _Loop:
    """Which training comes next, and what becomes of its events."""

    def __init__(
        self,
        plan: AuditPlan,
        store: RunStore,
        *,
        environment_id: str,
        on_event: Callable[[Event | AuditTrained], None],
    ) -> None:
        self.plan = plan
        self.store = store
        self.on_event = on_event
        self.reward = Reward(plan.config.reward)
        self.environment_id = environment_id
        self.short: Mapping[str, Row] = short_rows(recorded_trials(plan.run))
        self.in_flight: dict[int, Trial] = {}
        self.queue: deque[Trial] = deque()
        self.crash_limit = CrashLimit(of="trainings")

    def trials(self) -> Iterator[Trial | None]:
        """What to run: first what was in flight, then the sample; None while only waiting helps."""
        self.queue.extend(self._trial(row, attempt=2) for row in self.store.in_flight())
        sample = iter(self.plan.sample)
        while True:
            if not self.queue and (row := next(sample, None)) is not None:
                self.queue.append(self._trial(self._ask(row), attempt=1))
            if self.queue:
                trial = self.queue.popleft()
                self.in_flight[trial.trial_id] = trial
                yield trial
            elif self.in_flight:
                yield None
            else:
                return

    def _ask(self, short: Row) -> Row:
        """An ask is durable before it is dispatched."""
        trial_id = self.store.next_trial_id
        words = np.random.SeedSequence([self.plan.config.seed, trial_id, DERIVE_AUDIT_SEED]).generate_state(1)
        ask = Ask(
            trial_id=trial_id, choices=tuple(short["choices"]), epochs=self.plan.epochs, purpose="audit"
        )
        return self.store.record_ask(
            ask_row(
                ask,
                architecture=self.plan.config.space.decode(ask.choices),
                strategy=self.plan.config.strategy["name"],
                seed=int(words[0]),
                asked_at=datetime.now(UTC),
            )
        )

    def _trial(self, asked: Row, *, attempt: int) -> Trial:
        ask, config = ask_from_row(asked), self.plan.config
        return Trial(
            trial_id=ask.trial_id,
            choices=ask.choices,
            architecture=config.space.decode(ask.choices),
            recipe=config.recipe,
            epochs=ask.epochs,
            seed=asked["seed"],
            attempt=attempt,
            timing=config.timing,
            step_time=step_time_from_row(self.short[asked["architecture_id"]]),
            needs_inference_time=needs_inference_time(config),
        )

    def handle(self, event: Event) -> None:
        """One event of a trial. Those of an attempt that is no longer the current one are ignored."""
        if isinstance(event, (WorkerJoined, Notice)):
            self.on_event(event)
            return
        trial = self.in_flight.get(event.trial_id)
        if trial is None or event.attempt != trial.attempt:
            return
        if isinstance(event, EpochResult):
            self.store.record_epoch(event)
        self.on_event(event)
        if isinstance(event, TrialResult):
            self._finish(trial, event)
        self.store.refresh_views()

    def _finish(self, trial: Trial, result: TrialResult) -> None:
        del self.in_flight[trial.trial_id]
        if result.failure_kind in ("worker_lost", "preempted") and trial.attempt < MAX_ATTEMPTS:
            self.queue.append(replace(trial, attempt=trial.attempt + 1))
            return
        asked = self.store.asks[trial.trial_id]
        row = self.store.record_trial(
            trial_row(asked, result, reward=self.reward(result), environment_id=self.environment_id)
        )
        self.on_event(AuditTrained(self.short[row["architecture_id"]], row))
        if too_often := self.crash_limit.ended(result):
            raise SearchFailedError(
                f"{too_often}; the last one (trial {result.trial_id} of {self.plan.folder}) said:\n"
                f"{result.error}"
            )
