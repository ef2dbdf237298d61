"""The search loop: ask, write down, run, write down, tell; started again on the same run it continues."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from analysis.finalists import Standing, finalists, standings
from nas.config import SearchConfig, check_networks
from nas.environment import describe_environment
from nas.export import best_yaml
from nas.predicted_step_time import Prediction, PredictionError, open_prediction, searched_space
from nas.rules import STOP_BELOW, Rules, trial_seed
from nas.same_search import check_same_search
from nas.strategy import build_strategy
from nas.warm_start import check_warm_start, warm_start
from search_spaces.yaml_io import yaml_text
from trials.device import this_device
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
    Notice,
    Outcome,
    StartWorker,
    StopBelow,
    Trial,
    TrialResult,
    WorkerJoined,
)
from trials.trial_checkpoint import TrialCheckpoint

STARTS = "[0-9][0-9][0-9][0-9].json"  # of environment/: one for each start of a driver
MAX_ATTEMPTS = 3  # of a trial whose worker is lost
MAX_CRASHES = 3  # trials in a row that crash for good; then the search stops


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
    standings: list[Standing] = field(default_factory=list)  # of repeated finalists, the winner first
    prediction_error: PredictionError | None = None  # against step times measured in this run


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
    own_workers = start is None
    if start is None:
        checkpoints = Path(config.checkpoint_dir).absolute() if config.checkpoint_dir else None
        setup = WorkerSetup(
            data=config.data,
            reference=config.space.reference,
            checkpoints=checkpoints,
            resolutions=tuple(sorted({stage.resolution for stage in config.recipe.training_stages()})),
        )
        start = partial(start_worker, setup=setup)
        images = open_images(config.data, resolution=config.recipe.training_stages()[-1].resolution)
        num_classes = images.num_classes
        check_networks(config, num_classes=num_classes)
    continued = RunStore.is_run(folder)
    if continued:
        check_same_search(config, folder)
    else:
        check_warm_start(config)
    predicted = open_prediction(
        config, folder if continued else None, num_classes=num_classes, on_this_device=own_workers
    )
    with RunStore(folder) as store, _removed_if_never_begun(store, new=not continued):
        environment = describe_environment()
        store.write_text("search.yaml", yaml_text(config, header=f"nas search {folder}/search.yaml"))
        if predicted is not None:
            predicted.keep(store)
        number = 1 + len(list((folder / "environment").glob(STARTS)))
        store.write_text(f"environment/{number:04d}.json", json.dumps(environment, indent=1) + "\n")
        loop = _Loop(
            config,
            store,
            num_classes=num_classes,
            environment_id=environment["environment_id"],
            workers_file=f"environment/{number:04d}-workers.json",
            predicted=predicted,
            on_news=on_news,
        )
        try:
            for event in execute(start, loop.trials()):
                loop.handle(event)
            loop.choose_winner()
        finally:
            if store.asks:
                store.refresh_views(force=True)
        rows = list(store.trials.values())
        return SearchResult(
            folder=folder,
            rows=rows,
            best=loop.best,
            exhausted=loop.rules.exhausted,
            standings=standings(finalists(rows)),
            prediction_error=predicted.error(rows) if predicted else None,
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


class _Loop:
    """What becomes of asks and events on disk and on the screen; what to ask and run is the Rules' to say."""

    def __init__(
        self,
        config: SearchConfig,
        store: RunStore,
        *,
        num_classes: int,
        environment_id: str,
        workers_file: str,
        predicted: Prediction | None,
        on_news: Callable[[News], None],
    ) -> None:
        self.workers_file = workers_file
        self.config = config
        self.store = store
        self.environment_id = environment_id
        self.predicted = predicted
        self.on_news = on_news
        self.reward = Reward(config.reward)
        self.measures_finalists = config.timing.device in (None, this_device())
        space = searched_space(config, predicted, num_classes=num_classes)
        strategy = build_strategy(
            config.strategy["name"],
            space,
            seed=config.seed,
            epochs=config.recipe.epochs,
            settings=config.strategy_settings(),
        )
        self.rules = Rules(
            space,
            strategy,
            self,
            seed=config.seed,
            epochs=config.recipe.epochs,
            baseline=config.baseline,
            budget=config.budget,
            initial=[config.space.encode(architecture) for architecture in config.initial],
            fixed_lag=None if config.order == "arrival" else config.order.fixed_lag,
            finalists=config.finalists,
            bound_stopping=config.bound_stopping is not None,
        )
        for ask, outcome in warm_start(config, store):
            self.rules.warm(ask, outcome)
        self.in_flight: dict[int, Trial] = {}
        self.best: dict[str, Any] | None = None
        self.crashes = 0
        self.losses: dict[int, int] = {}  # of workers, by trial
        self.workers: list[dict[str, Any]] = []
        self._replay()

    def _replay(self) -> None:
        in_flight = self.store.in_flight()
        self.on_news(Begun(list(self.store.trials.values()), len(in_flight)))
        for kind, row in self.store.history():
            if kind == "ask":
                self.rules.asked(ask_from_row(row))
            else:
                self.rules.told(ask_from_row(row), _outcome(row), seconds=device_seconds(row))
                self._compare_with_best(row)
        for row in in_flight:
            ask = ask_from_row(row)
            self.in_flight[ask.trial_id] = self._trial(ask, attempt=2)
            self.rules.place(ask)

    def trials(self) -> Iterator[Trial | None]:
        """What to run, as long as the budget lasts; None while only waiting helps."""
        for ask in self.rules.asks():
            if ask is not None and ask.trial_id not in self.in_flight:
                self.in_flight[ask.trial_id] = self._trial(ask, attempt=1)
            yield None if ask is None else self.in_flight[ask.trial_id]

    def _trial(self, ask: Ask, *, attempt: int) -> Trial:
        architecture = self.config.space.decode(ask.choices)
        # Finalists are measured, also where the search predicts, unless it is for another device.
        measures = ask.purpose == "repeat" and self.measures_finalists
        return Trial(
            trial_id=ask.trial_id,
            choices=ask.choices,
            architecture=architecture,
            recipe=self.config.recipe,
            epochs=ask.epochs,
            seed=self.store.asks[ask.trial_id]["seed"],
            attempt=attempt,
            timing=self.config.timing,
            step_time=self.predicted.step_time(architecture) if self.predicted and not measures else None,
            needs_inference_time=needs_inference_time(self.config),
            limits=self.config.space.limits.measured(),
            stop_below=self._stop_below(ask),
            timeout_seconds=self.config.trial_timeout,
        )

    def _stop_below(self, ask: Ask) -> StopBelow | None:
        stopping, reward = self.config.bound_stopping, ask.aux.get(STOP_BELOW)
        if stopping is None or reward is None:
            return None
        return StopBelow(reward=reward, max_accuracy=stopping.max_accuracy, terms=self.config.reward)

    # ------------------------------------------------------------------ writing down

    def ask(self, ask: Ask) -> None:
        """A new ask is durable before it is dispatched."""
        self.store.record_ask(
            ask_row(
                ask,
                architecture=self.config.space.decode(ask.choices),
                strategy=self.config.strategy["name"],
                seed=trial_seed(self.config.seed, ask.trial_id),
                asked_at=datetime.now(UTC),
            )
        )

    def cached(self, ask: Ask, earlier: int) -> Outcome:
        """The row of an ask that an earlier trial answers."""
        self.in_flight.pop(ask.trial_id, None)
        row = self._write(cached_row(self.store.asks[ask.trial_id], self.store.trials[earlier]))
        return outcome_from_row(row)

    def crashed(self, ask: Ask, equal: int) -> None:
        """The row of an ask that has waited for an equal trial, which crashed for good."""
        self.in_flight.pop(ask.trial_id, None)
        self._write({**self.store.trials[equal], **self.store.asks[ask.trial_id]})

    def _write(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row is durable before anybody learns from it; the best architecture so far is written out."""
        written = self.store.record_trial(row)
        if self._compare_with_best(written):
            self.store.write_text("best.yaml", best_yaml(written, run=self.store.folder))
        self.on_news(RowWritten(written))
        return written

    def _compare_with_best(self, row: dict[str, Any]) -> bool:
        """Whether this row is the best so far, which it then is."""
        better = self.best is None or (row["reward"] or 0.0) > self.best["reward"]
        if row["status"] != "completed" or row["purpose"] not in ("search", "baseline") or not better:
            return False
        self.best = row
        return True

    def choose_winner(self) -> None:
        """Of repeated finalists the best is the one with the highest mean, and best.yaml says so."""
        ranked = finalists(self.store.trials.values())
        if ranked:
            self.best = self.store.trials[ranked[0].trial_id]
            text = best_yaml(self.best, run=self.store.folder, repeats=ranked[0])
            self.store.write_text("best.yaml", text)

    # ------------------------------------------------------------------ handling

    def handle(self, event: Event) -> None:
        """One event of a trial. Those of an attempt that is no longer the current one are ignored."""
        if isinstance(event, (WorkerJoined, Notice)):
            self._handle_workers(event)
            return
        trial = self.in_flight.get(event.trial_id)
        if trial is None or event.attempt != trial.attempt:
            return
        if isinstance(event, EpochResult):
            self.store.record_epoch(event)
        if isinstance(event, TrialResult):
            self._finish(trial, event)
        else:
            self.on_news(event)
        self.store.refresh_views()

    def _handle_workers(self, event: WorkerJoined | Notice) -> None:
        """Who works where, and with what, is recorded beside the driver's environment."""
        if isinstance(event, WorkerJoined):
            self.workers.append({"slot": event.slot, **vars(event.info)})
            self.store.write_text(self.workers_file, json.dumps(self.workers, indent=1) + "\n")
        self.on_news(event)

    def _may_run_again(self, result: TrialResult) -> bool:
        """A lost worker is not the trial's fault, unless it happens again and again; preemption never is."""
        if result.failure_kind == "worker_lost":
            self.losses[result.trial_id] = self.losses.get(result.trial_id, 0) + 1
            return self.losses[result.trial_id] < MAX_ATTEMPTS
        return result.failure_kind == "preempted"

    def _finish(self, trial: Trial, result: TrialResult) -> None:
        if self._may_run_again(result):
            self.in_flight[trial.trial_id] = replace(trial, attempt=trial.attempt + 1)
            self.rules.run_again(trial.trial_id)
            self.on_news(Retried(self.in_flight[trial.trial_id]))
            return
        del self.in_flight[trial.trial_id]
        asked = self.store.asks[trial.trial_id]
        row = self._write(
            trial_row(asked, result, reward=self.reward(result), environment_id=self.environment_id)
        )
        if self.config.checkpoint_dir is not None:
            folder = Path(self.config.checkpoint_dir).absolute()
            TrialCheckpoint(folder, trial, self.config.data).remove()
        self.rules.ended(trial.trial_id, _outcome(row), seconds=device_seconds(row))
        self.crashes = self.crashes + 1 if result.status == "crashed" else 0
        if self.crashes >= MAX_CRASHES:
            raise SearchFailedError(
                f"{self.crashes} trials in a row crashed; the last one (trial {result.trial_id}) said:\n"
                f"{result.error}"
            )


def _outcome(row: Mapping[str, Any]) -> Outcome | None:
    return None if row["status"] == "crashed" else outcome_from_row(row)


def needs_inference_time(config: SearchConfig) -> bool:
    """Whether trials measure inference time: a term of the reward, or a limit."""
    return INFERENCE in config.reward or any(
        name.startswith("inference") for name in config.space.limits.measured()
    )


def device_seconds(row: Mapping[str, Any]) -> float:
    """Seconds that a trial held its device."""
    names = ("build_seconds", "timing_seconds", "train_seconds", "evaluate_seconds")
    return float(sum(row.get(name) or 0.0 for name in names))
