"""What becomes of a search's asks and of its trials' events: on disk, on the screen, in the strategy."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from analysis.finalists import finalists
from analysis.rungs import may_win, standing
from nas.events import Begun, Retried, RowWritten, SearchEvent
from nas.search.best_file import best_yaml
from nas.search.config import SearchConfig
from nas.search.crash_limit import CrashLimit
from nas.search.kept_checkpoints import KeptCheckpoints, checkpoint_folder
from nas.search.predicted_step_time import Prediction, searched_space
from nas.search.search_reward import SearchReward
from nas.search.stopping import StopRequest
from nas.search.strategy_guard import GuardedStrategy, SearchFailedError
from nas.search.trial_queue import STOP_BELOW, TrialQueue, trial_seed
from nas.search.warm_start import warm_start
from nas.strategies.strategy import build_strategy, promoting
from trials.devices.device import this_device
from trials.log.rows import (
    ask_from_row,
    ask_row,
    cached_row,
    outcome_from_row,
    step_time_from_row,
    trial_row,
)
from trials.log.store import RunStore
from trials.trial import (
    INFERENCE,
    Ask,
    EpochResult,
    Event,
    Notice,
    Outcome,
    StepTime,
    StopBelow,
    Trial,
    TrialResult,
    WorkerJoined,
)

MAX_ATTEMPTS = 3  # of a trial whose worker is lost


class SearchLoop:
    """Records, dispatches and tells what the TrialQueue decides, and shows it."""

    def __init__(
        self,
        config: SearchConfig,
        store: RunStore,
        *,
        num_classes: int,
        environment_id: str,
        workers_file: str,
        predicted: Prediction | None,
        on_event: Callable[[SearchEvent], None],
        stop: StopRequest,
    ) -> None:
        self.workers_file = workers_file
        self.config = config
        self.stop = stop
        self.store = store
        self.environment_id = environment_id
        self.predicted = predicted
        self.on_event = on_event
        self.search_reward = SearchReward(config.reward, run=store.folder)
        space = searched_space(config, predicted, num_classes=num_classes)
        strategy = build_strategy(
            config.strategy["name"],
            space,
            seed=config.seed,
            epochs=config.recipe.epochs,
            settings=config.strategy_settings(),
        )
        halving = promoting(strategy)
        self.checkpoints = KeptCheckpoints(
            checkpoint_folder(config, store.folder),
            config.data,
            is_own=config.checkpoint_dir is None,
            continuable=halving.continuable if halving else None,
        )
        self.rules = TrialQueue(
            space,
            GuardedStrategy(strategy, space, name=config.strategy["name"], run=store.folder),
            self,
            seed=config.seed,
            epochs=config.recipe.epochs,
            baseline=config.baseline,
            budget=config.budget,
            initial=[config.space.encode(architecture) for architecture in config.initial],
            fixed_lag=None if config.order == "arrival" else config.order.fixed_lag,
            finalists=config.finalists,
            bound_stopping=config.bound_stopping is not None,
            first_epochs=halving.rungs[0] if halving else None,
        )
        for ask, outcome in warm_start(config, store):
            self.rules.warm(ask, outcome)
        self.in_flight: dict[int, Trial] = {}
        self.best: dict[str, Any] | None = None
        self.crash_limit = CrashLimit()
        self.losses: Counter[int] = Counter()  # of workers, by trial
        self.reached: Counter[int] = Counter()  # epochs, by trial
        self.workers: list[dict[str, Any]] = []
        self._replay()

    def _replay(self) -> None:
        in_flight = self.store.in_flight()
        store = self.store
        moved, foreign = tuple(store.quarantined), tuple(store.foreign)
        self.on_event(Begun(list(store.trials.values()), len(in_flight), moved, foreign))
        for kind, row in self.store.history():
            if kind == "ask":
                self.rules.asked(ask_from_row(row))
            else:
                judged = self.search_reward.judged(row)
                self.rules.told(ask_from_row(row), _outcome(judged), seconds=device_seconds(row))
                self._compare_with_best(judged)
        for row in in_flight:
            ask = ask_from_row(row)
            attempt = 1 + max(1, self.store.attempts_seen(ask.trial_id))
            self.in_flight[ask.trial_id] = self._trial(ask, attempt=attempt)
            self.rules.place(ask)
        if self.config.rungs:
            for row in store.trials.values():
                if row["status"] == "completed" and row["epochs"] < self.config.recipe.epochs:
                    self.checkpoints.ended(self._trial(ask_from_row(row), attempt=1))
            self.checkpoints.prune(self.in_flight.values())

    def trials(self) -> Iterator[Trial | None]:
        """What to run, as long as the budget lasts; None while only waiting helps."""
        self.stop.listen()
        asks = self.rules.asks()
        while not self.stop.is_made:
            try:
                ask = next(asks)
            except StopIteration:
                return
            if ask is not None and ask.trial_id not in self.in_flight:
                self.in_flight[ask.trial_id] = self._trial(ask, attempt=1)
            yield None if ask is None else self.in_flight[ask.trial_id]

    def _trial(self, ask: Ask, *, attempt: int) -> Trial:
        architecture = self.config.space.decode(ask.choices)
        # Finalists are measured, also where the search predicts, unless it is for another device.
        measures = ask.purpose == "repeat" and self._all_on_timing_device()
        step_time = self.predicted.step_time(architecture) if self.predicted and not measures else None
        return Trial(
            trial_id=ask.trial_id,
            choices=ask.choices,
            architecture=architecture,
            recipe=self.config.recipe,
            epochs=ask.epochs,
            seed=self.store.asks[ask.trial_id]["seed"],
            attempt=attempt,
            continues=ask.continues,
            epochs_before=0 if ask.continues is None else self.store.asks[ask.continues]["epochs"],
            timing=self.config.timing,
            step_time=step_time or self._step_time_before(ask),
            needs_inference_time=needs_inference_time(self.config),
            limits=self.config.space.limits.measured(),
            stop_below=self._stop_below(ask),
            timeout_seconds=self.config.trial_timeout,
        )

    def _all_on_timing_device(self) -> bool:
        """Whether whichever worker takes a trial, it is on the model where step time counts."""
        counts = self.config.timing.device or this_device()
        return {worker["device_name"] for worker in self.workers} <= {counts, None} and (
            bool(self.workers) or counts == this_device()
        )

    def _step_time_before(self, ask: Ask) -> StepTime | None:
        """That of the trial which this one continues, unless it is doubted: its step is the same."""
        row = None if ask.continues is None else self.store.trials.get(ask.continues)
        return None if row is None or row["timing_flag"] else step_time_from_row(row)

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
                seed=self._seed(ask),
                asked_at=datetime.now(UTC),
            )
        )

    def _seed(self, ask: Ask) -> int:
        """A trial that continues another is the same training, with its seed."""
        if ask.continues is not None:
            return int(self.store.asks[ask.continues]["seed"])
        return trial_seed(self.config.seed, ask.trial_id)

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
        self.on_event(RowWritten(written))
        return written

    def _compare_with_best(self, row: dict[str, Any]) -> bool:
        """Whether this row is the best so far, which it then is."""
        better = self.best is None or standing(row) > standing(self.best)
        if not (may_win(row) and better):
            return False
        self.best = row
        return True

    def choose_winner(self) -> None:
        """Of repeated finalists the best is the one with the highest mean, and best.yaml says so.

        Without repeats it is what the strategy recommends, if it does; else the highest reward.
        """
        rows = self.store.trials.values()
        if ranked := finalists(rows):
            self.best = self.store.trials[ranked[0].trial_id]
            text = best_yaml(self.best, run=self.store.folder, repeats=ranked[0])
            self.store.write_text("best.yaml", text)
        elif recommended := self.rules.recommended(1):
            mine = [row for row in rows if tuple(row["choices"]) == recommended[0] and may_win(row)]
            self.best = max(mine, key=standing)
            self.store.write_text("best.yaml", best_yaml(self.best, run=self.store.folder))

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
            self._note_progress(event)
        if isinstance(event, TrialResult):
            self._finish(trial, event)
        else:
            self.on_event(event)
        self.store.refresh_views()

    def _handle_workers(self, event: WorkerJoined | Notice) -> None:
        """Who works where, and with what, is recorded beside the driver's environment."""
        if isinstance(event, WorkerJoined):
            self.workers.append({"slot": event.slot, **vars(event.info)})
            self.store.write_text(self.workers_file, json.dumps(self.workers, indent=1) + "\n")
        self.on_event(event)

    def _note_progress(self, event: EpochResult) -> None:
        """With checkpoints a trial that has got further has lost nothing: its losses count anew."""
        if self.checkpoints.are_there and event.epoch > self.reached[event.trial_id]:
            self.reached[event.trial_id] = event.epoch
            self.losses[event.trial_id] = 0

    def _may_run_again(self, result: TrialResult) -> bool:
        """A lost worker is not the trial's fault, unless it happens again and again; preemption never is."""
        if result.failure_kind == "worker_lost":
            self.losses[result.trial_id] += 1
            return self.losses[result.trial_id] < MAX_ATTEMPTS
        return result.failure_kind == "preempted"

    def _finish(self, trial: Trial, result: TrialResult) -> None:
        if self._may_run_again(result):
            self.in_flight[trial.trial_id] = replace(trial, attempt=trial.attempt + 1)
            self.rules.run_again(trial.trial_id)
            self.on_event(Retried(self.in_flight[trial.trial_id]))
            return
        del self.in_flight[trial.trial_id]
        asked = self.store.asks[trial.trial_id]
        reward = self.search_reward.of_result(result)
        row = self._write(trial_row(asked, result, reward=reward, environment_id=self.environment_id))
        self.checkpoints.ended(trial)
        row = self.search_reward.judged(row)
        self.rules.ended(trial.trial_id, _outcome(row), seconds=device_seconds(row))
        self.checkpoints.prune(self.in_flight.values())
        if too_often := self.crash_limit.ended(result):
            raise SearchFailedError(
                f"{too_often}; the last one (trial {result.trial_id}) said:\n{result.error}"
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
