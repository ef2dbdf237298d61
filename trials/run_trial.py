"""One trial in this process: a Trial in; heartbeats, epochs and one result out."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import Counts, count
from search_spaces.networks.network import check_resolution
from trials.checkpoint import TrialCheckpoint
from trials.devices.device import (
    claim,
    device_info,
    give_back_freed_memory,
    lock_of,
    peak_memory,
    reset_peak_memory,
)
from trials.devices.device_lock import Role
from trials.devices.lock_files import FOLDER
from trials.failures import InvalidNetworkError, OverLimitError, TrialTimeoutError, failure_of
from trials.images.config import DataConfig
from trials.images.device_images import ResidentImages
from trials.images.packed import open_images
from trials.recipe import Recipe
from trials.reward import Reward
from trials.timing.precision import resolve_precision
from trials.timing.step_memory import step_memory
from trials.timing.trial_timing import TrialTiming
from trials.training.micro_batches import fit_in_memory
from trials.training.step import TrainingStep, build_step
from trials.training.train import WEIGHTS, EpochEnd, derived_seed, train
from trials.trial import (
    DeviceInfo,
    Event,
    FailureKind,
    InferenceTime,
    Measurement,
    Phase,
    Progress,
    RunTrial,
    Slot,
    StepTime,
    StopBelow,
    TimingPart,
    Trial,
    TrialResult,
    TrialTimes,
)

STEP_MEMORY = "step_memory_bytes"  # the one limit whose measurement takes a process, and so is made on demand


@dataclass(frozen=True, kw_only=True)
class WorkerSetup:
    """What is the same for all trials of a run, and lives in the worker."""

    data: DataConfig
    reference: Architecture
    checkpoints: Path | None = None  # a folder that all workers reach; None: a lost trial starts again
    resolutions: tuple[int, ...] = ()  # at which trials will want them, in pixels
    locks: Path = FOLDER  # where all processes of a host meet


def start_worker(slot: Slot, *, setup: WorkerSetup) -> RunTrial:
    """Claims the slot's device for this process and returns what runs trials on it."""
    return _Worker(slot, setup)


class _Worker:
    """The device, the mapped images and the reference networks: paid for once, used by every trial."""

    @property
    def device_name(self) -> str:
        """Model of the device."""
        return self.info.device_name

    def held_bytes(self) -> int:
        """Of device memory, by this process; 0 on a CPU."""
        return torch.cuda.memory_allocated(self.device) if self.device.type == "cuda" else 0

    def prepare(self) -> None:
        """Opens the images, and decodes them where no process of this host has done so yet."""
        for resolution in self.setup.resolutions:
            self.images_at(resolution)

    def __init__(self, slot: Slot, setup: WorkerSetup) -> None:
        self.setup = setup
        self.device = claim(slot)
        self.info: DeviceInfo = device_info(slot)
        self.lock = lock_of(self.device, folder=setup.locks)
        self.images_at: Callable[[int], ResidentImages] = lru_cache(maxsize=8)(self._open)
        self.reference_step = lru_cache(maxsize=2)(self._reference_step)

    def _open(self, resolution: int) -> ResidentImages:
        packed = open_images(self.setup.data, resolution=resolution)
        return ResidentImages(packed, self.device)

    def _reference_step(
        self, recipe: Recipe, precision: str, num_classes: int, resolution: int, batch_size: int
    ) -> TrainingStep:
        check_resolution(self.setup.reference, resolution)
        torch.manual_seed(derived_seed(0, WEIGHTS))
        step = self.new_step(self.setup.reference, recipe, precision=precision, num_classes=num_classes)
        fit_in_memory(step, batch_size=batch_size, resolution=resolution, num_classes=num_classes)
        return step

    def new_step(
        self, architecture: Architecture, recipe: Recipe, *, precision: str, num_classes: int
    ) -> TrainingStep:
        """A network with fresh weights from torch's current seed, and what trains it."""
        return build_step(
            architecture, recipe, num_classes=num_classes, device=self.device, precision=precision
        )

    def precision(self, recipe: Recipe) -> str:
        """In which this device computes trials of a recipe."""
        resolution = recipe.training_stages()[-1].resolution
        return resolve_precision(
            recipe.precision, self.device, reference=self.setup.reference, resolution=resolution
        )

    def __call__(self, trial: Trial) -> Iterator[Event | TimingPart]:
        """The trial's events. Its own faults end it as infeasible; anything else unexpected as a crash."""
        work = _Work(trial, self)
        try:
            yield from work.events()
            return
        except Exception as error:
            kind, text = failure_of(error)
        finally:
            work.step = None
            self.lock.release()
            give_back_freed_memory()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        yield work.failed(kind, text)


class _Work:
    """One trial's progress through its phases, and what is known of it so far."""

    def __init__(self, trial: Trial, worker: _Worker) -> None:
        self.trial = trial
        self.worker = worker
        self.step: TrainingStep | None = None
        self.counts: Counts | None = None
        self.step_time: StepTime | None = trial.step_time
        self.inference_time: InferenceTime | None = trial.inference_time
        self.ends: list[EpochEnd] = []
        self.inherited = 0  # of these, from the trial that this one continues
        self.precision = worker.precision(trial.recipe)
        self.started_at = datetime.now(UTC)
        self.started = time.monotonic()
        self.micro_batches = 1
        self.build_seconds = self.timing_seconds = 0.0
        self.waited_before = worker.lock.waited_seconds

    def events(self) -> Iterator[Event | TimingPart]:
        """Build, count, time, check limits, train and evaluate, in this order."""
        trial, worker = self.trial, self.worker
        reset_peak_memory(worker.device)
        yield from self._wait_for("training")  # building, too, uses the device
        yield self._progress("building")
        before = time.perf_counter()
        resolution = trial.recipe.training_stages(trial.epochs)[-1].resolution
        images = worker.images_at(resolution)
        num_classes = len(images.classes)
        try:
            for stage in trial.recipe.training_stages(trial.epochs):
                check_resolution(trial.architecture, stage.resolution)
            self.counts = count(trial.architecture, num_classes=num_classes, resolution=resolution)
        except ValueError as error:
            raise InvalidNetworkError(str(error)) from error
        reference = count(worker.setup.reference, num_classes=num_classes, resolution=resolution)
        torch.manual_seed(derived_seed(trial.seed, WEIGHTS))
        self.step = worker.new_step(
            trial.architecture, trial.recipe, precision=self.precision, num_classes=num_classes
        )
        self.micro_batches = fit_in_memory(
            self.step,
            batch_size=trial.recipe.batch_size,
            resolution=max(stage.resolution for stage in trial.recipe.training_stages(trial.epochs)),
            num_classes=num_classes,
        )
        self.build_seconds = time.perf_counter() - before
        needs_inference_time = trial.needs_inference_time and self.inference_time is None
        if self.step_time is None or needs_inference_time:
            yield from self._wait_for("timing")
        if self.step_time is None:
            yield self._progress("timing")
            before = time.perf_counter()
            steps = trial.epochs * (len(images.train) // trial.recipe.batch_size)
            self.step_time = self._timing(num_classes, resolution).step_time(self.step, steps=steps)
            self.step_time = replace(self.step_time, is_exclusive=worker.lock.is_exclusive)
            self.timing_seconds = time.perf_counter() - before
        if needs_inference_time:
            yield self._progress("timing", fraction=0.5)
            before = time.perf_counter()
            self.inference_time = self._timing(num_classes, resolution).inference_time(self.step)
            self.timing_seconds += time.perf_counter() - before
        self._check_limits(num_classes)
        before_training = Measurement(
            accuracy=0.0,
            accuracy_raw=0.0,
            accuracy_top5=0.0,
            minival_images=len(images.minival),
            step_time=self.step_time,
            inference_time=self.inference_time,
            params=self.counts.params,
            macs=self.counts.macs,
            reference_params=reference.params,
            reference_macs=reference.macs,
            peak_memory_bytes=None,
        )
        if trial.stop_below is not None and (bound := _bound(trial.stop_below, before_training)):
            yield TrialResult(trial=trial, status="stopped", measurement=bound, **self._known())
            return
        if trial.is_timing_part:
            yield TimingPart(
                trial=trial,
                step_time=self.step_time,
                inference_time=self.inference_time,
                times=self._times(),
            )
            return
        yield from self._train(self.step)
        last = self.ends[-1]
        measurement = replace(
            before_training,
            accuracy=last.minival_accuracy,
            accuracy_raw=last.minival_accuracy_raw,
            accuracy_top5=last.minival_accuracy_top5,
            peak_memory_bytes=peak_memory(worker.device),
        )
        yield TrialResult(trial=trial, status="completed", measurement=measurement, **self._known())

    def _wait_for(self, role: Role) -> Iterator[Event]:
        for _ in self.worker.lock.queue(role):
            yield self._progress("waiting")

    def _train(self, step: TrainingStep) -> Iterator[Event]:
        trial, lock = self.trial, self.worker.lock
        if lock.role != "training":
            yield from self._wait_for("training")
        folder = self.worker.setup.checkpoints
        checkpoint = TrialCheckpoint(folder, trial, self.worker.setup.data) if folder else None
        # What a longer trial has left is more than a shorter one that runs once more needs.
        self.ends = checkpoint.restore(step)[: trial.epochs] if checkpoint else []
        self.inherited = min(trial.epochs_before, len(self.ends))
        yield self._progress("training", epoch=min(len(self.ends) + 1, trial.epochs))
        for end in self.ends[self.inherited :]:
            yield end.result(trial_id=trial.trial_id, attempt=trial.attempt)
        for news in train(
            step,
            trial.recipe,
            images_at=self.worker.images_at,
            epochs=trial.epochs,
            seed=trial.seed,
            first_epoch=len(self.ends),
        ):
            if isinstance(news, EpochEnd):
                self.ends.append(news)
                if checkpoint:
                    checkpoint.save(step, self.ends)
                yield news.result(trial_id=trial.trial_id, attempt=trial.attempt)
            else:
                self._check_time()
                yield self._progress(news.phase, epoch=news.epoch, fraction=news.fraction)
                if lock.is_wanted():
                    yield from self._wait_for("training")
        lock.release()

    def _check_time(self) -> None:
        """Ends a trial that takes too long. What it has waited for others does not count."""
        most = self.trial.timeout_seconds
        waited = self.worker.lock.waited_seconds - self.waited_before
        if most is not None and time.monotonic() - self.started - waited > most:
            raise TrialTimeoutError(f"it has run for more than {most:g} s, the search's trial_timeout")

    def _timing(self, num_classes: int, resolution: int) -> TrialTiming:
        return TrialTiming(
            timing=self.trial.timing,
            recipe=self.trial.recipe,
            precision=self.precision,
            resolution=resolution,
            num_classes=num_classes,
            device=self.worker.device,
            device_name=self.worker.device_name,
            reference_step=self.worker.reference_step,
        )

    def _measure_step_memory(self, num_classes: int) -> int | None:
        """Bytes of a training step at the largest resolution; None where the system does not tell."""
        trial = self.trial
        return step_memory(
            trial.architecture,
            num_classes=num_classes,
            batch_size=-(-trial.recipe.batch_size // self.micro_batches),
            resolution=max(stage.resolution for stage in trial.recipe.training_stages(trial.epochs)),
            precision=self.precision,
            device=self.worker.device,
        )

    def _check_limits(self, num_classes: int) -> None:
        """Ends a trial before it trains if a measured quantity is beyond its limit."""
        for name, most in self.trial.limits.items():
            measured = getattr(self.step_time, name, None) or getattr(self.inference_time, name, None)
            if name == STEP_MEMORY:
                measured = self._measure_step_memory(num_classes)
            assert measured is not None or name == STEP_MEMORY, f"a limit on {name} needs its measurement"
            if measured is not None and measured > most:
                raise OverLimitError(f"{name} is {measured:.4g}; the limit is {most:.4g}")

    def failed(self, kind: FailureKind, error: str) -> TrialResult:
        """The result of a trial that did not get through; a bug is ours, all else its own fault."""
        return TrialResult(
            trial=self.trial,
            status="crashed" if kind == "bug" else "infeasible",
            failure_kind=kind,
            error=error,
            **self._known(),
        )

    def _known(self) -> dict[str, Any]:
        ends = self.ends
        return {
            "params": self.counts.params if self.counts else None,
            "macs": self.counts.macs if self.counts else None,
            "step_time": self.step_time,
            "inference_time": self.inference_time,
            "epochs": tuple(
                end.result(trial_id=self.trial.trial_id, attempt=self.trial.attempt) for end in ends
            ),
            "device": self.worker.info,
            "precision": self.precision,
            "micro_batches": self.micro_batches,
            "times": self._times(),
        }

    def _times(self) -> TrialTimes:
        """This part's, and where the trial was timed by another part, both parts' together."""
        ends = self.ends[self.inherited :]
        own = TrialTimes(
            started_at=self.started_at.isoformat(),
            finished_at=datetime.now(UTC).isoformat(),
            build_seconds=self.build_seconds,
            timing_seconds=self.timing_seconds,
            train_seconds=sum(end.train_seconds for end in ends),
            evaluate_seconds=sum(end.evaluate_seconds for end in ends),
            waiting_seconds=self.worker.lock.waited_seconds - self.waited_before,
        )
        earlier = self.trial.timed
        if earlier is None:
            return own
        return replace(
            own,
            started_at=earlier.started_at,
            build_seconds=earlier.build_seconds + own.build_seconds,
            timing_seconds=earlier.timing_seconds + own.timing_seconds,
            waiting_seconds=earlier.waiting_seconds + own.waiting_seconds,
        )

    def _progress(self, phase: Phase, *, epoch: int = 0, fraction: float = 0.0) -> Progress:
        return Progress(
            trial_id=self.trial.trial_id,
            attempt=self.trial.attempt,
            phase=phase,
            epoch=epoch,
            epochs=self.trial.epochs,
            fraction=fraction,
        )


def _bound(stop: StopBelow, measured: Measurement) -> Measurement | None:
    """What the trial reaches at the very most, if that is not enough."""
    best = replace(measured, accuracy=stop.max_accuracy)
    reward = Reward(stop.terms).of(best.accuracy, best.ratio_to_reference)
    return best if reward < stop.reward else None
