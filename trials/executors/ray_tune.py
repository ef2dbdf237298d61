"""Runs trials through Ray Tune, so that its callbacks (TensorBoard, MLflow, W&B and one's own) see them.

Tune only places and watches trials. Its persistence, schedulers and retries are off: what is recorded, learnt
and run again is the search's. Its loop runs in a thread; trials go to it, and events come back, by queues.
An exception in that thread is kept and raised in the search's own: Tune itself would swallow it.
"""

import os
import queue
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune import Callback, Stopper
from ray.tune.search import Searcher

from trials.executors.ray_actors import connected
from trials.executors.ray_pool import cause
from trials.trial import (
    EpochResult,
    Event,
    Execute,
    Progress,
    RunTrial,
    Slot,
    StartWorker,
    TimingPart,
    Trial,
    TrialResult,
)

EVENTS = "events"  # of a Tune result
POLL_SECONDS = 0.2
SWITCHED_OFF = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "RAY_AIR_NEW_OUTPUT": "0",
}


def ray_tune(
    *,
    workers: int | None = None,
    address: str | None = None,
    callbacks: Sequence[Any] = (),
    folder: Path | None = None,
) -> Execute:
    """Execute through Ray Tune on `workers` actors that are used again, with Tune's `callbacks`.

    Their files go to `folder` (default: a temporary one). Each epoch is one result of a Tune trial, named by
    the number and attempt of the trial.
    """

    def execute(start_worker: StartWorker, trials: Iterable[Trial | None]) -> Iterator[Event]:
        with ExitStack() as held:
            slots, _ = held.enter_context(connected(address, workers, 1))
            place = folder or Path(held.enter_context(tempfile.TemporaryDirectory(prefix="tune-")))
            thread = _TuneThread(start_worker, slots, callbacks, place.absolute())
            yield from thread.events(trials)

    return execute


class _TuneThread:
    """A Tuner that runs beside the search, and the queues between them."""

    def __init__(
        self, start_worker: StartWorker, slots: list[Slot], callbacks: Sequence[Any], folder: Path
    ) -> None:
        self._workers = len(slots)
        self.given: queue.Queue[Trial] = queue.Queue()
        self.coming: queue.Queue[Event] = queue.Queue()
        self.ends = threading.Event()
        self.latched: BaseException | None = None
        self._thread = threading.Thread(
            target=self._fit, args=(start_worker, slots, callbacks, folder), name="ray-tune", daemon=True
        )

    def events(self, trials: Iterable[Trial | None]) -> Iterator[Event]:
        """The events of all trials; as many are in flight as there are workers."""
        source, in_flight, exhausted = iter(trials), 0, False
        self._thread.start()
        try:
            while not exhausted or in_flight:
                while in_flight < self._workers and not exhausted:
                    trial = next(source, self)
                    exhausted = trial is self
                    if not isinstance(trial, Trial):
                        break
                    self.given.put(trial)
                    in_flight += 1
                if not in_flight:
                    continue
                event = self._next()
                if isinstance(event, TrialResult):
                    in_flight -= 1
                if event is not None:
                    yield event
        finally:
            self.ends.set()
            self._thread.join(timeout=60)
        self._raise_latched()

    def _next(self) -> Event | None:
        try:
            return self.coming.get(timeout=POLL_SECONDS)
        except queue.Empty:
            self._raise_latched()
            if not self._thread.is_alive():
                raise RuntimeError("Ray Tune ended before the search") from None
            return None

    def _raise_latched(self) -> None:
        if self.latched is not None:
            raise self.latched

    def _fit(
        self, start_worker: StartWorker, slots: list[Slot], callbacks: Sequence[Any], folder: Path
    ) -> None:
        try:
            os.environ.update(SWITCHED_OFF)
            self._tuner(start_worker, slots, callbacks, folder).fit()
        except BaseException as error:
            self.latched = self.latched or error

    def _tuner(
        self, start_worker: StartWorker, slots: list[Slot], callbacks: Sequence[Any], folder: Path
    ) -> Any:
        """A fresh one: nothing of an earlier run is read."""
        gpus = 1 if slots[0].device.startswith("cuda") else 0
        trainable = tune.with_resources(_trainable(start_worker, slots[0].device), {"cpu": 1, "gpu": gpus})
        return tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=_Given(self),
                num_samples=-1,
                max_concurrent_trials=self._workers,
                reuse_actors=True,
                trial_name_creator=_name,
                trial_dirname_creator=_name,
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=str(folder),
                stop=_Latched(self),
                failure_config=tune.FailureConfig(max_failures=0),
                callbacks=[_Recorder(self), *callbacks],
                verbose=0,
            ),
        )


class _Given(Searcher):
    """Hands over what the search has asked for. Tune pickles it: there is nothing in it to keep."""

    def __init__(self, thread: _TuneThread) -> None:
        super().__init__(metric="accuracy", mode="max")
        self._thread = thread

    def suggest(self, trial_id: str) -> Any:
        """The next trial's configuration, FINISHED, or None for later."""
        try:
            trial = self._thread.given.get(timeout=POLL_SECONDS)
        except queue.Empty:
            return Searcher.FINISHED if self._thread.ends.is_set() else None
        return {**_shown(trial), "trial": trial}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """The search learns it from the events."""

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the search's log is the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: every Tuner is a fresh one."""


class _Latched(Stopper):
    """Ends Tune where something of ours has raised."""

    def __init__(self, thread: _TuneThread) -> None:
        self._thread = thread

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        """Whether nothing more should run."""
        return self._thread.latched is not None

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Recorder(Callback):
    """Passes events on."""

    def __init__(self, thread: _TuneThread) -> None:
        self._thread = thread

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **_: Any) -> None:
        """Takes the events out of a result, which other callbacks get without them."""
        for event in result.pop(EVENTS, ()):
            self._thread.coming.put(event)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """A trainable never raises for a trial's own fault: its process is gone."""
        lost: Trial = trial.config["trial"]
        self._thread.coming.put(
            TrialResult(
                trial=lost,
                status="crashed",
                failure_kind="worker_lost",
                error=f"Ray Tune lost trial {lost.trial_id}: {cause(trial.get_error())[-500:]}",
            )
        )

    def __getstate__(self) -> dict[str, Any]:
        return {}


def _trainable(start_worker: StartWorker, device: str) -> Any:
    """What Tune starts in its actors: one result for each epoch."""

    class Trainable(tune.Trainable):
        """One worker, used for one trial after another."""

        run_trial: RunTrial | None = None

        def setup(self, config: dict[str, Any]) -> None:
            if self.run_trial is None:
                self.run_trial = start_worker(Slot(index=0, device=device))
            self.trial: Trial = config["trial"]
            self.stream = self.run_trial(self.trial)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.setup(new_config)
            return True

        def step(self) -> dict[str, Any]:
            events: list[Event] = []
            for event in self.stream:
                assert not isinstance(event, TimingPart), "only whole trials are run"
                events.append(event)
                if isinstance(event, (EpochResult, TrialResult)):
                    break
            return {**_metrics(events[-1]), EVENTS: events, "done": isinstance(events[-1], TrialResult)}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            pass

    return Trainable


def _name(trial: Any) -> str:
    own: Trial = trial.config["trial"]
    return f"trial-{own.trial_id:06d}-{own.attempt}"


def _shown(trial: Trial) -> dict[str, Any]:
    """What callbacks show of a trial's configuration."""
    return {
        "trial_id": trial.trial_id,
        "architecture_id": trial.architecture.architecture_id,
        "epochs": trial.epochs,
        "seed": trial.seed,
    }


def _metrics(event: Event) -> dict[str, Any]:
    """Numbers that callbacks draw."""
    if isinstance(event, EpochResult):
        return {
            "epoch": event.epoch,
            "accuracy": event.minival_accuracy,
            "train_loss": event.train_loss,
            "minival_loss": event.minival_loss,
            "learning_rate": event.learning_rate,
        }
    measured = event.measurement if isinstance(event, TrialResult) else None
    if measured is None or isinstance(event, Progress):
        return {"accuracy": 0.0}
    return {
        "accuracy": measured.accuracy,
        "step_time_ratio": measured.step_time.step_time_ratio,
        "params": measured.params,
        "macs": measured.macs,
    }
