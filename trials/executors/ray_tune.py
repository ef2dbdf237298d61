"""Runs trials through Ray Tune, so that Tune's callbacks (TensorBoard, MLflow, W&B, your own) see them.

Tune only places trials on workers and watches them. Its persistence, schedulers and retries are switched off:
recording, learning and retrying are the search's. Tune's loop runs in a thread of its own; trials go to it
and events come back through queues. An exception in that thread is stored and raised again in the search's
thread, because Tune would swallow it.
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
from ray._private import auto_init_hook
from ray.tune import Callback, Stopper
from ray.tune.search import Searcher

from trials.devices.device_errors import DeviceLostError
from trials.executors.ray_actors import Connection, connected
from trials.executors.ray_member import cause
from trials.executors.ray_worker import hide_other_gpus
from trials.executors.timing_places import check_devices
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

EVENTS = "events"  # key of a trial's events in a Tune result
POLL_SECONDS = 0.2
END_SECONDS = 60.0  # for which Tune is waited for at the end
SWITCHED_OFF = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "RAY_AIR_NEW_OUTPUT": "0",
}


def ray_tune(
    *,
    workers: int | None = None,
    address: str | None = None,
    timing_device: str | None = None,
    callbacks: Sequence[Any] = (),
) -> Execute:
    """An executor through Ray Tune on `workers` reused actors, with Tune's `callbacks`.

    Tune's files go to a temporary folder. Each epoch is one result of a Tune trial, whose
    name has the number and the attempt of the trial. Trials are timed where they train: devices must be of
    the model `timing_device` (None: of one model; ANY: of any), or else the search ends with a
    WrongDeviceError.
    """

    def execute(start_worker: StartWorker, trials: Iterable[Trial | None]) -> Iterator[Event]:
        with ExitStack() as held:
            ray_here = held.enter_context(connected(address, workers, 1))
            yield from ray_here.notices()
            folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="tune-")))
            thread = _TuneThread(start_worker, ray_here, callbacks, folder.absolute())
            yield from _of_one_model(thread.events(trials), timing_device)

    return execute


def _of_one_model(events: Iterator[Event], counts: str | None) -> Iterator[Event]:
    """The same events; raises WrongDeviceError at a step time that was measured on another model."""
    for event in events:
        measured = event.measurement if isinstance(event, TrialResult) else None
        if measured is not None and measured.step_time.source == "measured":
            check_devices([measured.step_time.device], counts)
            counts = counts or measured.step_time.device
        yield event


class _TuneThread:
    """Tune's loop in a thread, and the queues that connect it to the search.

    Attributes:
        given: trials for Tune to run.
        coming: events of trials for the search.
        ends: set when the search is over and Tune shall end.
        failure: the first exception of our own code in Tune's thread.
    """

    def __init__(
        self, start_worker: StartWorker, ray_here: Connection, callbacks: Sequence[Any], folder: Path
    ) -> None:
        self._workers = len(ray_here.slots)
        self._local = ray_here.local
        self.given: queue.Queue[Trial] = queue.Queue()
        self.coming: queue.Queue[Event] = queue.Queue()
        self.ends = threading.Event()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(
            target=self._fit,
            args=(start_worker, ray_here.slots, callbacks, folder),
            name="ray-tune",
            daemon=True,
        )

    def events(self, trials: Iterable[Trial | None]) -> Iterator[Event]:
        """Runs all trials and yields their events; as many are in flight as there are workers.

        Raises:
            RayLostError: the local Ray has died, and Tune, which would wait for it, with it.
        """
        source, in_flight, exhausted = iter(trials), 0, False
        self._thread.start()
        try:
            while not exhausted or in_flight:
                # Fill the workers, until there are no more trials or the search wants to wait for an event.
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
            if self._local is not None and self._local.death() is not None:
                auto_init_hook.enable_auto_connect = False  # or Tune, which stays behind, starts another Ray
            else:
                self._thread.join(timeout=END_SECONDS)
        self._raise_failure()

    def _next(self) -> Event | None:
        """The next event; None if there is none for a moment."""
        if self._local is not None:
            self._local.check()
        try:
            return self.coming.get(timeout=POLL_SECONDS)
        except queue.Empty:
            self._raise_failure()
            if not self._thread.is_alive():
                raise RuntimeError("Ray Tune ended before the search") from None
            return None

    def _raise_failure(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _fit(
        self, start_worker: StartWorker, slots: list[Slot], callbacks: Sequence[Any], folder: Path
    ) -> None:
        """Runs Tune; the thread's function."""
        try:
            os.environ.update(SWITCHED_OFF)
            self._tuner(start_worker, slots, callbacks, folder).fit()
        except BaseException as error:
            self.failure = self.failure or error

    def _tuner(
        self, start_worker: StartWorker, slots: list[Slot], callbacks: Sequence[Any], folder: Path
    ) -> Any:
        """A new Tuner, which reads nothing of an earlier run."""
        gpus = 1 if slots[0].device.startswith("cuda") else 0
        trainable = tune.with_resources(_trainable(start_worker, slots[0].device), {"cpu": 1, "gpu": gpus})
        return tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=_TrialSource(self),
                num_samples=-1,
                max_concurrent_trials=self._workers,
                reuse_actors=True,
                trial_name_creator=_name,
                trial_dirname_creator=_name,
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=str(folder),
                stop=_StopOnFailure(self),
                failure_config=tune.FailureConfig(max_failures=0),
                callbacks=[_EventForwarder(self), *callbacks],
                verbose=0,
            ),
        )


class _TrialSource(Searcher):
    """Gives Tune the trials of the search, in the role of a Tune search algorithm.

    Tune pickles it to save its state; there is none, and the thread cannot be pickled.
    """

    def __init__(self, thread: _TuneThread) -> None:
        super().__init__(metric="accuracy", mode="max")
        self._thread = thread

    def suggest(self, trial_id: str) -> Any:
        """The configuration of the next trial; None if there is none yet; FINISHED at the end."""
        try:
            trial = self._thread.given.get(timeout=POLL_SECONDS)
        except queue.Empty:
            return Searcher.FINISHED if self._thread.ends.is_set() else None
        return {**_shown(trial), "trial": trial}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Does nothing: the search learns of results from events."""

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Does nothing: the search's log is the only record."""

    def restore(self, checkpoint_path: str) -> None:
        """Does nothing: every Tuner is new."""


class _StopOnFailure(Stopper):
    """Ends Tune after an exception of our own code."""

    def __init__(self, thread: _TuneThread) -> None:
        self._thread = thread

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        """True if no more trials should run."""
        return self._thread.failure is not None

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _EventForwarder(Callback):
    """Passes trials' events on to the search."""

    def __init__(self, thread: _TuneThread) -> None:
        self._thread = thread
        self._ended: set[str] = set()  # Tune's trials whose result has come

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **_: Any) -> None:
        """Takes the events out of a result, so that other callbacks see only its numbers."""
        for event in result.pop(EVENTS, ()):
            self._thread.coming.put(event)
            if isinstance(event, TrialResult):
                self._ended.add(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """Reports a lost worker: a trial's own fault does not raise, so the process must be gone."""
        if trial.trial_id in self._ended:  # its worker has ended itself after the result
            return
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
    """The class that Tune runs in its actors."""

    class Trainable(tune.Trainable):
        """A worker that is reused for one trial after another; one result for each epoch."""

        run_trial: RunTrial | None = None

        def setup(self, config: dict[str, Any]) -> None:
            if self.run_trial is None:
                hide_other_gpus()
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
            fault = getattr(self.run_trial, "device_fault", None)
            if not events:
                # Tune reuses the process of a trial that is done, but not that of one that fails.
                raise DeviceLostError(f"this process cannot use its device any more: {fault}")
            is_done = isinstance(events[-1], TrialResult) and fault is None
            return {**_metrics(events[-1]), EVENTS: events, "done": is_done}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            pass

    return Trainable


def _name(trial: Any) -> str:
    own: Trial = trial.config["trial"]
    return f"trial-{own.trial_id:06d}-{own.attempt}"


def _shown(trial: Trial) -> dict[str, Any]:
    """The part of a trial's configuration that callbacks show."""
    return {
        "trial_id": trial.trial_id,
        "architecture_id": trial.architecture.architecture_id,
        "epochs": trial.epochs,
        "seed": trial.seed,
    }


def _metrics(event: Event) -> dict[str, Any]:
    """The metrics that callbacks draw."""
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
