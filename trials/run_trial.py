"""Runs one trial in this process: takes a Trial, yields heartbeats, epochs and one result."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

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
from trials.log.buckets import check_reached, states_at
from trials.recipe import Precision, Recipe, steps_of_epoch
from trials.reward import too_low_at_best
from trials.timing.precision import precision_of_trials
from trials.timing.reference_steps import ReferenceSteps
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
    Status,
    StepTime,
    TimingPart,
    Trial,
    TrialResult,
    TrialTimes,
)

STEP_MEMORY = "step_memory_bytes"  # measured only if there is a limit on it, because that takes a process


@dataclass(frozen=True, kw_only=True)
class WorkerSetup:
    """The settings that all trials of a run share."""

    data: DataConfig
    reference: Architecture
    data_digest: str = ""  # of the images that the driver sees; a worker that sees others is refused
    checkpoints: str | Path | None = None  # that all workers reach; None: a lost trial starts from scratch
    resolutions: tuple[int, ...] = ()  # of the images that trials will need, in pixels
    locks: Path = FOLDER  # of devices, the same for all processes of a host


def start_worker(slot: Slot, *, setup: WorkerSetup) -> RunTrial:
    """Claims the slot's device for this process; returns the function that runs trials on it."""
    return _Worker(slot, setup)


class _Worker:
    """The device, images and reference networks of a process, which all of its trials use."""

    @property
    def device_name(self) -> str:
        """The model of the device."""
        return self.info.device_name

    def held_bytes(self) -> int:
        """Bytes of device memory that this process has allocated; 0 on a CPU."""
        return torch.cuda.memory_allocated(self.device) if self.device.type == "cuda" else 0

    def prepare(self) -> None:
        """Opens the images, and decodes them first if no process of this host has done so yet.

        Raises:
            ConfigError: this host does not reach the object store of checkpoints.
        """
        if self.setup.checkpoints is not None:
            check_reached(self.setup.checkpoints)
        for resolution in self.setup.resolutions:
            self.images_at(resolution)

    def __init__(self, slot: Slot, setup: WorkerSetup) -> None:
        self.setup = setup
        self.device = claim(slot)
        self.info: DeviceInfo = device_info(slot)
        self.lock = lock_of(self.device, folder=setup.locks)
        self.images_at: Callable[[int], ResidentImages] = lru_cache(maxsize=8)(self._open)
        self.reference_steps = ReferenceSteps(setup.reference, self.device)
        self.states = None if setup.checkpoints is None else states_at(setup.checkpoints)

    def checkpoint_of(self, trial: Trial) -> TrialCheckpoint | None:
        """The trial's checkpoint, whether or not there is one yet; None where none are kept."""
        if self.states is None:
            return None
        folder, files = self.states
        setup = self.setup
        return TrialCheckpoint(folder, trial, setup.data, data_digest=setup.data_digest, files=files)

    def _open(self, resolution: int) -> ResidentImages:
        packed = open_images(self.setup.data, resolution=resolution)
        if self.setup.data_digest not in ("", packed.digest):
            raise ValueError(
                f"{self.setup.data.source}: other images here than where the search was started; give all "
                "hosts the same"
            )
        return ResidentImages(packed, self.device)

    def precision(self, precision: Precision, recipe: Recipe) -> str:
        """The precision in which this device computes trials of a recipe that asks for this one."""
        return precision_of_trials(precision, recipe, self.device, reference=self.setup.reference)

    def __call__(self, trial: Trial) -> Iterator[Event | TimingPart]:
        """Runs a trial. Its own faults end it as infeasible; any other exception as crashed."""
        run = _TrialRun(trial, self)
        try:
            yield from run.events()
            return
        except Exception as error:
            kind, text = failure_of(error)
        finally:
            run.step = None
            self.lock.release()
            give_back_freed_memory()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        yield run.failed(kind, text)


class _TrialRun:
    """One trial on its way through building, timing and training, and all that is known of it so far."""

    def __init__(self, trial: Trial, worker: _Worker) -> None:
        self.trial = trial
        self.worker = worker
        self.step: TrainingStep | None = None
        self.counts: Counts | None = None
        self.reference: Counts | None = None
        self.step_time: StepTime | None = trial.step_time
        self.inference_time: InferenceTime | None = trial.inference_time
        self.ends: list[EpochEnd] = []
        self.inherited = 0  # number of these epochs that the continued trial has trained
        self.precision = worker.precision(trial.recipe.precision, trial.recipe)
        self.started_at = datetime.now(UTC)
        self.started = time.monotonic()
        self.micro_batches = 1
        self.build_seconds = self.timing_seconds = 0.0
        self.waited_before = worker.lock.waited_seconds

    def events(self) -> Iterator[Event | TimingPart]:
        """Builds and counts the network, times it, checks limits, trains and evaluates it, in this order."""
        trial, worker = self.trial, self.worker
        reset_peak_memory(worker.device)
        yield from self._wait_for("training")  # building uses the device, too
        yield self._progress("building")
        images, step = self._build()
        yield from self._measure_times(step, images)
        self._check_limits(len(images.classes))
        before_training = self._measured_before_training(images)
        if trial.stop_below is not None and (best := too_low_at_best(trial.stop_below, before_training)):
            yield self._result("stopped", measurement=best)
            return
        if trial.is_timing_part:
            assert self.step_time is not None, "a timing part has been timed"
            yield TimingPart(
                trial=trial,
                step_time=self.step_time,
                inference_time=self.inference_time,
                times=self._times(),
            )
            return
        yield from self._train(step)
        last = self.ends[-1]
        measurement = replace(
            before_training,
            accuracy=last.minival_accuracy,
            accuracy_raw=last.minival_accuracy_raw,
            accuracy_top5=last.minival_accuracy_top5,
            peak_memory_bytes=peak_memory(worker.device),
        )
        yield self._result("completed", measurement=measurement)

    def _build(self) -> tuple[ResidentImages, TrainingStep]:
        """The images at the last training stage's resolution, and the network ready to train."""
        trial, worker = self.trial, self.worker
        before = time.perf_counter()
        stages = trial.recipe.training_stages(trial.epochs)
        images = worker.images_at(stages[-1].resolution)
        num_classes = len(images.classes)
        try:
            for stage in stages:
                check_resolution(trial.architecture, stage.resolution)
            self.counts = count(trial.architecture, num_classes=num_classes, resolution=images.resolution)
        except ValueError as error:
            raise InvalidNetworkError(str(error)) from error
        self.reference = count(worker.setup.reference, num_classes=num_classes, resolution=images.resolution)
        torch.manual_seed(derived_seed(trial.seed, WEIGHTS))
        self.step = build_step(
            trial.architecture,
            trial.recipe,
            num_classes=num_classes,
            device=worker.device,
            precision=self.precision,
        )
        self.micro_batches = fit_in_memory(
            self.step,
            batch_size=trial.recipe.batch_size,
            resolution=max(stage.resolution for stage in stages),
            num_classes=num_classes,
        )
        self.build_seconds = time.perf_counter() - before
        return images, self.step

    def _measure_times(self, step: TrainingStep, images: ResidentImages) -> Iterator[Event]:
        """Measures step time and inference time, where needed, with exclusive use of the device."""
        trial, worker = self.trial, self.worker
        needs_inference_time = trial.needs_inference_time and self.inference_time is None
        if self.step_time is None or needs_inference_time:
            yield from self._wait_for("timing")
        if self.step_time is None:
            yield self._progress("timing")
            before = time.perf_counter()
            steps = trial.epochs * steps_of_epoch(len(images.train), trial.recipe.batch_size)
            measured = self._timing(images).step_time(step, steps=steps)
            self.step_time = replace(measured, is_exclusive=worker.lock.is_exclusive)
            self.timing_seconds = time.perf_counter() - before
        if needs_inference_time:
            yield self._progress("timing", fraction=0.5)
            before = time.perf_counter()
            self.inference_time = self._timing(images).inference_time(step)
            self.timing_seconds += time.perf_counter() - before

    def _measured_before_training(self, images: ResidentImages) -> Measurement:
        """The measurement of a trial that has not trained yet, with an accuracy of 0."""
        assert self.counts is not None, "the network has been counted"
        assert self.reference is not None, "the reference network has been counted"
        assert self.step_time is not None, "the network has been timed"
        return Measurement(
            accuracy=0.0,
            accuracy_raw=0.0,
            accuracy_top5=0.0,
            minival_images=len(images.minival),
            step_time=self.step_time,
            inference_time=self.inference_time,
            params=self.counts.params,
            macs=self.counts.macs,
            reference_params=self.reference.params,
            reference_macs=self.reference.macs,
            peak_memory_bytes=None,
        )

    def _wait_for(self, role: Role) -> Iterator[Event]:
        """Waits until the device is held in this role; tells meanwhile that the trial waits."""
        for _ in self.worker.lock.queue(role):
            yield self._progress("waiting")

    def _train(self, step: TrainingStep) -> Iterator[Event]:
        """Trains, from the last checkpoint if there is one, and saves one after every epoch."""
        trial, lock = self.trial, self.worker.lock
        if lock.role != "training":
            yield from self._wait_for("training")
        checkpoint = self.worker.checkpoint_of(trial)
        # The checkpoint of a longer trial may have more epochs than a shorter one that is repeated needs.
        self.ends = checkpoint.restore(step)[: trial.epochs] if checkpoint else []
        self.inherited = min(trial.epochs_before, len(self.ends))
        yield self._progress("training", epoch=min(len(self.ends) + 1, trial.epochs))
        # Epochs of an earlier attempt of this trial are reported again; those of the continued trial are not.
        for end in self.ends[self.inherited :]:
            yield end.result(trial_id=trial.trial_id, attempt=trial.attempt)
        for event in train(
            step,
            trial.recipe,
            images_at=self.worker.images_at,
            epochs=trial.epochs,
            seed=trial.seed,
            first_epoch=len(self.ends),
        ):
            if isinstance(event, EpochEnd):
                self.ends.append(event)
                if checkpoint:
                    checkpoint.save(step, self.ends)
                yield event.result(trial_id=trial.trial_id, attempt=trial.attempt)
            else:
                self._check_time()
                yield self._progress(event.phase, epoch=event.epoch, fraction=event.fraction)
                if lock.is_wanted():  # by a trial that is to be timed: it goes first
                    yield from self._wait_for("training")
        lock.release()

    def _check_time(self) -> None:
        """Raises TrialTimeoutError if the trial takes too long, not counting what it waited for others."""
        limit = self.trial.timeout_seconds
        waited = self.worker.lock.waited_seconds - self.waited_before
        if limit is not None and time.monotonic() - self.started - waited > limit:
            raise TrialTimeoutError(f"it has run for more than {limit:g} s, the search's trial_timeout")

    def _timing(self, images: ResidentImages) -> TrialTiming:
        timing, recipe = self.trial.timing, self.trial.recipe
        return TrialTiming(
            recipe=recipe,
            precision=self.worker.precision(timing.precision_for(recipe), recipe),
            resolution=timing.resolution_for(recipe),
            batch_size=timing.batch_size_for(recipe),
            inference_batch_size=timing.inference_batch_size,
            num_classes=len(images.classes),
            device=self.worker.device,
            device_name=self.worker.device_name,
            reference_steps=self.worker.reference_steps,
        )

    def _measure_step_memory(self, num_classes: int) -> int | None:
        """Bytes of a training step at the largest resolution; None where the system does not report it."""
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
        """Raises OverLimitError if a quantity that is measured before training is above its limit."""
        for name, limit in self.trial.limits.items():
            measured = getattr(self.step_time, name, None) or getattr(self.inference_time, name, None)
            if name == STEP_MEMORY:
                measured = self._measure_step_memory(num_classes)
            assert measured is not None or name == STEP_MEMORY, f"a limit on {name} needs its measurement"
            if measured is not None and measured > limit:
                raise OverLimitError(f"{name} is {measured:.4g}; the limit is {limit:.4g}")

    def failed(self, kind: FailureKind, error: str) -> TrialResult:
        """The result of a trial that failed: crashed by a bug of ours, else infeasible by its own fault."""
        status: Status = "crashed" if kind == "bug" else "infeasible"
        return replace(self._result(status), failure_kind=kind, error=error)

    def _result(self, status: Status, *, measurement: Measurement | None = None) -> TrialResult:
        """The trial's result with all that is known by now."""
        trial = self.trial
        return TrialResult(
            trial=trial,
            status=status,
            measurement=measurement,
            params=self.counts.params if self.counts else None,
            macs=self.counts.macs if self.counts else None,
            step_time=self.step_time,
            inference_time=self.inference_time,
            epochs=tuple(end.result(trial_id=trial.trial_id, attempt=trial.attempt) for end in self.ends),
            device=self.worker.info,
            precision=self.precision,
            micro_batches=self.micro_batches,
            times=self._times(),
        )

    def _times(self) -> TrialTimes:
        """The trial's times so far, with those of its timing part if it had one."""
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
        return own if self.trial.timed is None else own.after(self.trial.timed)

    def _progress(self, phase: Phase, *, epoch: int = 0, fraction: float = 0.0) -> Progress:
        return Progress(
            trial_id=self.trial.trial_id,
            attempt=self.trial.attempt,
            phase=phase,
            epoch=epoch,
            epochs=self.trial.epochs,
            fraction=fraction,
        )
