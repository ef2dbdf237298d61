"""The search loop: ask, write down, run, write down, tell; started again on the same run it continues."""

import json
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nas.config import SearchConfig, check_networks
from nas.environment import describe_environment
from nas.export import best_yaml
from nas.same_search import check_same_search
from nas.strategy import Strategy, build_strategy
from search_spaces.yaml_io import yaml_text
from trials.packed import open_images
from trials.reward import Reward
from trials.rows import ask_from_row, ask_row, cached_row, outcome_from_row, trial_row
from trials.run_trial import WorkerSetup, start_worker
from trials.store import RunStore
from trials.trial import (
    INFERENCE,
    Ask,
    EpochResult,
    Event,
    Execute,
    Purpose,
    StartWorker,
    Trial,
    TrialResult,
)

COUNTED = frozenset({"completed", "stopped", "infeasible"})  # by the budget, as search or baseline trials
MAX_ATTEMPTS = 3  # of a trial whose worker is lost
MAX_REPEATS = 50  # proposals in a row that were trained before; then a uniform unseen one is taken
MAX_CRASHES = 3  # trials in a row that crash for good; then the search stops
UNSEEN_DRAWS = 2_000  # uniform draws that must all have been seen before a space counts as exhausted
DERIVE_TRIAL_SEED = 1  # keeps a trial's own seed apart from the randomness of its ask


class SearchFailedError(RuntimeError):
    """Trials crash one after another: the fault is the program's or the machine's. The run is resumable."""


@dataclass(frozen=True)
class Begun:
    """News for whoever watches: the log has been read. What an earlier driver left is in it."""

    rows: list[dict[str, Any]]
    in_flight: int


@dataclass(frozen=True)
class RowWritten:
    """News for whoever watches: a row is durable."""

    row: Mapping[str, Any]


@dataclass(frozen=True)
class Retried:
    """News for whoever watches: a trial's worker was lost, and the trial will run again."""

    trial: Trial


News = Begun | Event | RowWritten | Retried


@dataclass(frozen=True)
class SearchResult:
    """What is there when a search ends."""

    folder: Path
    rows: list[dict[str, Any]]
    best: dict[str, Any] | None
    exhausted: bool  # the space ran out before the budget


def search(
    config: SearchConfig,
    run: str | Path,
    *,
    execute: Execute,
    start: StartWorker | None = None,
    num_classes: int = 1000,
    on_news: Callable[[News], None] = lambda news: None,
) -> SearchResult:
    """Searches until the budget is spent, in the run directory `run`; a run that exists is continued.

    `start` replaces the real worker in tests, and then `num_classes` stands for the images' classes.
    Everything is on disk before it is acted on.

    Raises:
        ConfigError: the run was made with another configuration, or the folder holds something else.
        RunLockedError: another driver works on this run.
        SearchFailedError: several trials in a row crashed.
    """
    folder = Path(run)
    if start is None:
        start = partial(start_worker, setup=WorkerSetup(data=config.data, reference=config.space.reference))
        images = open_images(config.data, resolution=config.recipe.training_stages()[-1].resolution)
        num_classes = images.num_classes
        check_networks(config, num_classes=num_classes)
    continued = RunStore.is_run(folder)
    if continued:
        check_same_search(config, folder)
    with RunStore(folder) as store, _removed_if_never_begun(store, new=not continued):
        environment = describe_environment()
        store.write_text("search.yaml", yaml_text(config, header=f"nas search {folder}/search.yaml"))
        number = 1 + len(list((folder / "environment").glob("*.json")))
        store.write_text(f"environment/{number:04d}.json", json.dumps(environment, indent=1) + "\n")
        loop = _Loop(
            config,
            store,
            num_classes=num_classes,
            environment_id=environment["environment_id"],
            on_news=on_news,
        )
        try:
            for event in execute(start, loop.trials()):
                loop.handle(event)
        finally:
            if store.asks:
                store.refresh_views(force=True)
        return SearchResult(
            folder=folder, rows=list(store.trials.values()), best=loop.best, exhausted=loop.exhausted
        )


@contextmanager
def _removed_if_never_begun(store: RunStore, *, new: bool) -> Iterator[None]:
    """A new run that failed before its first ask (no workers, say) leaves nothing behind."""
    try:
        yield
    except BaseException:
        if new and not store.asks:
            shutil.rmtree(store.folder, ignore_errors=True)
            with suppress(OSError):  # runs/, where nothing else lies in it
                store.folder.parent.rmdir()
        raise


@dataclass
class _Flight:
    """An ask whose trial runs, or waits for an equal one that runs."""

    ask: Ask
    row: dict[str, Any]
    trial: Trial


class _Loop:
    """The state between two events; all of it follows from the log, so a new driver rebuilds it by replay."""

    def __init__(
        self,
        config: SearchConfig,
        store: RunStore,
        *,
        num_classes: int,
        environment_id: str,
        on_news: Callable[[News], None],
    ) -> None:
        self.config = config
        self.store = store
        self.environment_id = environment_id
        self.on_news = on_news
        self.space = config.space.choice_space(
            num_classes=num_classes, resolution=config.recipe.training_stages()[-1].resolution
        )
        self.reward = Reward(config.reward)
        self.strategy: Strategy = build_strategy(
            config.strategy["name"],
            self.space,
            seed=config.seed,
            epochs=config.recipe.epochs,
            settings=config.strategy_settings(),
        )
        self.flights: dict[int, _Flight] = {}
        self.twins: dict[int, list[_Flight]] = {}  # by the trial whose result they wait for
        self.to_run: deque[Trial] = deque()
        self.trained: dict[
            tuple[str, int], dict[str, Any]
        ] = {}  # first counted row by (architecture, epochs)
        self.best: dict[str, Any] | None = None
        self.spent_trials = self.spent_epochs = self.baselines = 0
        self.spent_seconds = 0.0
        self.repeats = 0
        self.crashes = 0
        self.exhausted = False
        self._replay()

    # ------------------------------------------------------------------ from the log

    def _replay(self) -> None:
        in_flight = self.store.in_flight()
        self.on_news(Begun(list(self.store.trials.values()), len(in_flight)))
        for kind, row in self.store.history():
            if kind == "ask":
                self.strategy.asked(ask_from_row(row))
            else:
                self._learn(row)
        for row in in_flight:
            self._place(row, attempt=2)

    def _learn(self, row: dict[str, Any]) -> None:
        """What a recorded row changes; the same live and on replay."""
        ask = ask_from_row(row)
        if row["status"] == "crashed":
            self.strategy.withdrawn(ask)
            return
        self.strategy.told(ask, outcome_from_row(row))
        if row["status"] in COUNTED:
            self.trained.setdefault((row["architecture_id"], row["epochs"]), row)
            self.spent_trials += 1
            self.spent_epochs += row["epochs"]
            self.spent_seconds += device_seconds(row)
            self.baselines += row["purpose"] == "baseline"
        better = self.best is None or (row["reward"] or 0.0) > self.best["reward"]
        if row["status"] == "completed" and better:
            self.best = row

    # ------------------------------------------------------------------ asking

    def trials(self) -> Iterator[Trial | None]:
        """What to run, as long as the budget lasts; None while only waiting helps."""
        while True:
            if self.to_run:
                yield self.to_run.popleft()
            elif self._budget_is_spent() or self.exhausted:
                if not self.flights:
                    return
                yield None
            else:
                self._ask()

    def _budget_is_spent(self) -> bool:
        budget = self.config.budget
        if budget.trials is not None:
            return self.spent_trials + len(self.flights) >= budget.trials
        if budget.epochs is not None:
            under_way = sum(flight.trial.epochs for flight in self.flights.values())
            return self.spent_epochs + under_way >= budget.epochs
        assert budget.device_seconds is not None
        return self.spent_seconds >= budget.device_seconds

    def _ask(self) -> None:
        """One proposal, durable before anything follows from it."""
        trial_id = self.store.next_trial_id
        ask = self._propose(trial_id)
        if ask is None:
            self.exhausted = True
            return
        ask = replace(ask, choices=self.space.canonical(ask.choices))
        row = self.store.record_ask(
            ask_row(
                ask,
                architecture=self.config.space.decode(ask.choices),
                strategy=self.config.strategy["name"],
                seed=self._trial_seed(trial_id),
                asked_at=datetime.now(UTC),
            )
        )
        self.strategy.asked(ask)
        self._place(row, attempt=1)

    def _propose(self, trial_id: int) -> Ask | None:
        if self._baseline_asked() < self.config.baseline:
            return self._uniform_unseen(trial_id, "baseline")
        if self.repeats >= MAX_REPEATS:
            return self._uniform_unseen(trial_id, "search")
        return self.strategy.ask(trial_id)

    def _baseline_asked(self) -> int:
        return self.baselines + sum(flight.ask.purpose == "baseline" for flight in self.flights.values())

    def _uniform_unseen(self, trial_id: int, purpose: Purpose) -> Ask | None:
        """A uniform draw among architectures that were not trained and are not in flight; None if all are."""
        rng = np.random.default_rng([self.config.seed, trial_id])
        epochs = self.config.recipe.epochs
        running = {flight.row["architecture_id"] for flight in self.flights.values()}
        for _ in range(UNSEEN_DRAWS):
            choices = self.space.sample(rng)
            identity = self.config.space.decode(choices).architecture_id
            if identity not in running and (identity, epochs) not in self.trained:
                return Ask(trial_id=trial_id, choices=choices, epochs=epochs, purpose=purpose)
        return None

    def _trial_seed(self, trial_id: int) -> int:
        words = np.random.SeedSequence([self.config.seed, trial_id, DERIVE_TRIAL_SEED]).generate_state(1)
        return int(words[0])

    def _place(self, row: dict[str, Any], *, attempt: int) -> None:
        """A recorded ask runs, waits for an equal one in flight, or is answered from an earlier row."""
        key = (row["architecture_id"], row["epochs"])
        if key in self.trained:
            self.repeats += 1
            self._write(cached_row(row, self.trained[key]))
            return
        ask = ask_from_row(row)
        trial = Trial(
            trial_id=ask.trial_id,
            choices=ask.choices,
            architecture=self.config.space.decode(ask.choices),
            recipe=self.config.recipe,
            epochs=ask.epochs,
            seed=row["seed"],
            attempt=attempt,
            timing=self.config.timing,
            needs_inference_time=needs_inference_time(self.config),
            limits=self.config.space.limits.measured(),
        )
        flight = _Flight(ask, row, trial)
        for other in self.flights.values():
            if (other.row["architecture_id"], other.row["epochs"]) == key:
                self.repeats += 1
                self.twins.setdefault(other.ask.trial_id, []).append(flight)
                return
        self.repeats = 0
        self.flights[ask.trial_id] = flight
        self.to_run.append(trial)

    # ------------------------------------------------------------------ handling

    def handle(self, event: Event) -> None:
        """One event of a trial. Those of an attempt that is no longer the current one are ignored."""
        flight = self.flights.get(event.trial_id)
        if flight is None or event.attempt != flight.trial.attempt:
            return
        if isinstance(event, EpochResult):
            self.store.record_epoch(event)
        if isinstance(event, TrialResult):
            self._finish(flight, event)
        else:
            self.on_news(event)
        self.store.refresh_views()

    def _finish(self, flight: _Flight, result: TrialResult) -> None:
        if result.failure_kind == "worker_lost" and flight.trial.attempt < MAX_ATTEMPTS:
            flight.trial = replace(flight.trial, attempt=flight.trial.attempt + 1)
            self.to_run.append(flight.trial)
            self.on_news(Retried(flight.trial))
            return
        del self.flights[flight.ask.trial_id]
        row = trial_row(flight.row, result, reward=self.reward(result), environment_id=self.environment_id)
        self._write(row)
        for twin in self.twins.pop(flight.ask.trial_id, []):
            if result.status == "crashed":
                self._write({**row, **twin.row})
            else:
                self._place(twin.row, attempt=1)
        self.crashes = self.crashes + 1 if result.status == "crashed" else 0
        if self.crashes >= MAX_CRASHES:
            raise SearchFailedError(
                f"{self.crashes} trials in a row crashed; the last one (trial {result.trial_id}) said:\n"
                f"{result.error}"
            )

    def _write(self, row: Mapping[str, Any]) -> None:
        """Durable first; then the strategy learns, and the best architecture so far is written out."""
        written = self.store.record_trial(row)
        before = self.best
        self._learn(written)
        if self.best is not None and self.best is not before:
            self.store.write_text("best.yaml", best_yaml(self.best, run=self.store.folder))
        self.on_news(RowWritten(written))


def needs_inference_time(config: SearchConfig) -> bool:
    """Whether trials measure inference time: a term of the reward, or a limit."""
    return INFERENCE in config.reward or any(
        name.startswith("inference") for name in config.space.limits.measured()
    )


def device_seconds(row: Mapping[str, Any]) -> float:
    """Seconds that a trial held its device."""
    names = ("build_seconds", "timing_seconds", "train_seconds", "evaluate_seconds")
    return float(sum(row.get(name) or 0.0 for name in names))
