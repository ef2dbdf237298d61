"""Runs one trial in this process: takes a Trial, yields heartbeats, epochs and one result."""

import gc
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import torch

from search_spaces.networks.counting import Counts, count
from search_spaces.networks.resolutions import check_resolution
from trials.checkpoint import Checkpoints
from trials.devices.device import claim, device_info, give_back_freed_memory, lock_of
from trials.devices.device_errors import DeviceFault
from trials.devices.device_lock import Role
from trials.devices.own_memory import OwnMemory, held_bytes
from trials.devices.sharing import training
from trials.failures import Failure, InvalidNetworkError, TrialTimeoutError, check_limit, failure_of
from trials.images.device_images import ResidentImages
from trials.images.recipe_images import DeviceImages
from trials.measured_times import MeasuredTimes
from trials.measurement import Measurement, Mode
from trials.recipe import Precision, Recipe
from trials.recipe_stages import steps_of_epoch
from trials.reward import too_low_at_best
from trials.timing.precision import ChosenPrecision, precision_of_trials
from trials.timing.reference_steps import ReferenceSteps
from trials.timing.step_memory import step_memory
from trials.timing.trial_timing import TrialTiming
from trials.training.micro_batches import can_halve, fit_training
from trials.training.seeds import WEIGHTS, derived_seed
from trials.training.step import TrainingStep, build_step
from trials.training.train import EpochEnd, train
from trials.trial import (
    DeviceInfo,
    Event,
    Kernels,
    Phase,
    Progress,
    RunTrial,
    Slot,
    Status,
    TimingPart,
    Trial,
    TrialResult,
    TrialTimes,
)
from trials.worker_setup import WorkerSetup

STEP_MEMORY = "step_memory_bytes"  # measured only if there is a limit on it, because that takes a process


def start_worker(slot: Slot, *, setup: WorkerSetup) -> RunTrial:
    """Claims the slot's device for this process; returns the function that runs trials on it."""
    return _Worker(slot, setup)


class _Worker:
    """The device, images and reference networks of a process, which all of its trials use."""

    device_fault: DeviceFault | None = None  # after which this process must run no more trials

    def held_bytes(self) -> int:
        """Bytes of device memory that this process holds between trials; 0 on a CPU."""
        with training(self.lock):  # giving memory back would disturb who times
            return held_bytes(self.device)

    def prepare(self) -> None:
        """Opens the images.

        Raises:
            ConfigError: this host does not reach the object store of checkpoints.
        """
        self.checkpoints.check_reached()
        with training(self.lock):  # copying images would disturb who times
            for resolution in self.setup.resolutions:
                self.images_at(resolution)
            self.images.open_evaluated()
        gc.freeze()  # what is there now lasts: collecting before each capture has less to look at

    def __init__(self, slot: Slot, setup: WorkerSetup) -> None:
        self.setup = setup
        setup.import_ops()
        self.device = claim(slot)
        setup.use_kernels(self.device)
        setup.check_precisions(self.device)
        self.gpu_precision = setup.gpu_precision(self.device)
        self.info: DeviceInfo = device_info(slot)
        self.device_name, self.device_id = self.info.device_name, self.info.device_id
        self.lock = lock_of(self.device, folder=setup.locks)
        opening = {"trained": setup.images_at, "evaluated": setup.evaluated_at}
        self.images = DeviceImages(setup.recipe, self.device, **opening)
        self.images_at, self.evaluated_at = self.images.trained_at, self.images.evaluated_at
        self.reference_steps = ReferenceSteps(setup.reference, self.device)
        self.checkpoints = Checkpoints(setup.checkpoints, setup.data, data_digest=setup.data_digest)

    def precision(self, precision: Precision, recipe: Recipe) -> ChosenPrecision:
        """The precision in which this device computes trials of a recipe that asks for this one."""
        reference, decided = self.setup.reference, self.setup.decided
        return precision_of_trials(precision, recipe, self.device, reference=reference, decided=decided)

    def __call__(self, trial: Trial) -> Iterator[Event | TimingPart]:
        """Runs a trial. Its own faults end it as infeasible; any other exception as crashed.

        Where memory runs out all the same, it begins again with twice as many micro-batches.
        """
        micro_batches = 1
        while True:
            run = _TrialRun(trial, self, micro_batches=micro_batches)
            try:
                try:
                    yield from run.events()
                    return
                except Exception as error:
                    failure = failure_of(error, self.device)
                    self.device_fault, is_last = failure.fault, not run.may_begin_smaller(failure)
                # Not within the except block: there the traceback still holds tensors.
                run.step = None
                if self.device.type == "cuda" and self.device_fault is None:
                    torch.cuda.empty_cache()
            finally:
                run.step = None
                self.lock.release()
                give_back_freed_memory()
            if is_last:
                yield run.failed(failure)
                return
            micro_batches = 2 * run.micro_batches


class _TrialRun:
    """One trial on its way through building, timing and training, and all that is known of it so far."""

    def __init__(self, trial: Trial, worker: _Worker, *, micro_batches: int) -> None:
        self.trial, self.worker, self.micro_batches = trial, worker, micro_batches
        self.step: TrainingStep | None = None
        self.counts: Counts | None = None  # of the network, and of the reference
        self.reference: Counts | None = None
        self.times = MeasuredTimes(trial, worker.lock)
        self.ends: list[EpochEnd] = []
        self.inherited = 0  # number of these epochs that the continued trial has trained
        chosen = worker.precision(trial.recipe.precision, trial.recipe)
        self.precision, self.precision_reason = chosen.precision, chosen.why
        self.started_at, self.started = datetime.now(UTC), time.monotonic()
        self.training_mode: Mode | None = None
        self.kernels: Kernels | None = None
        self.memory = OwnMemory(worker.device)
        self.build_seconds = 0.0
        self.waited_before = worker.lock.waited_seconds

    def events(self) -> Iterator[Event | TimingPart]:
        """Builds and counts the network, times it, checks limits, trains and evaluates it, in this order."""
        trial = self.trial
        yield from self._wait_for("training")  # building uses the device, too
        yield self._progress("building")
        images, step = self._build()
        steps = trial.epochs * steps_of_epoch(len(images.train), trial.recipe.batch_size)
        for phase in self.times.measure(step, self._timing(images), steps=steps):
            yield self._progress(phase)
        self._check_limits(len(images.classes))
        before_training = self._measured_before_training(images)
        if trial.stop_below is not None and (best := too_low_at_best(trial.stop_below, before_training)):
            yield self._result("stopped", measurement=best)
            return
        if trial.is_timing_part:
            yield TimingPart(
                trial=trial,
                step_time=before_training.step_time,
                inference_time=before_training.inference_time,
                times=self._times(),
            )
            return
        yield from self._train(step)
        last, peak = self.ends[-1], self.memory.peak(besides=step.snapshot_bytes)
        for phase in self.times.measure_again(step, lambda: self._timing(images), steps=steps):
            yield self._progress(phase)
        self.worker.device_fault = self.times.fault
        self._check_times()
        assert self.times.step_time is not None, "the network has been timed"
        measurement = replace(
            before_training,
            step_time=self.times.step_time,
            accuracy=last.minival_accuracy,
            accuracy_raw=last.minival_accuracy_raw,
            accuracy_top5=last.minival_accuracy_top5,
            balanced_accuracy=last.minival_balanced_accuracy,
            peak_memory_bytes=peak,
        )
        yield self._result("completed", measurement=measurement)

    def _build(self) -> tuple[ResidentImages, TrainingStep]:
        """The images at the last training stage's resolution, and the network ready to train."""
        trial, worker = self.trial, self.worker
        before = time.perf_counter()
        stages = trial.recipe.training_stages(trial.epochs)
        images = [worker.images_at(stage.resolution) for stage in stages][-1]
        num_classes, resolution = len(images.classes), stages[-1].resolution
        try:
            for stage in stages:
                check_resolution(trial.architecture, stage.resolution)
                check_resolution(trial.architecture, trial.recipe.evaluation_size(stage))
            self.counts = count(trial.architecture, num_classes=num_classes, resolution=resolution)
        except ValueError as error:
            raise InvalidNetworkError(str(error)) from error
        self.reference = count(worker.setup.reference, num_classes=num_classes, resolution=resolution)
        if trial.needs_timing:  # first: else the reference would take room in all trials but one
            self._timing(images).prepare_reference(
                graphs=trial.cuda_graphs,
                step=trial.step_time is None,
                inference=trial.measures_inference_time,
            )
        self.memory = OwnMemory(worker.device)
        torch.manual_seed(derived_seed(trial.seed, WEIGHTS))
        self.step = build_step(
            trial.architecture,
            trial.recipe,
            num_classes=num_classes,
            device=worker.device,
            precision=self.precision,
            cuda_graphs=trial.cuda_graphs,
        )
        self.training_mode, self.kernels = self.step.mode, self.step.kernels
        self.step.micro_batches = self.micro_batches
        sizes = {"batch_size": trial.recipe.batch_size, "num_classes": num_classes, "side": images.resolution}
        self.micro_batches = fit_training(self.step, trial.recipe, stages, **sizes)
        self.build_seconds = time.perf_counter() - before
        return images, self.step

    def _measured_before_training(self, images: ResidentImages) -> Measurement:
        """The measurement of a trial that has not trained yet, with an accuracy of 0."""
        assert self.counts is not None, "the network has been counted"
        assert self.reference is not None, "the reference network has been counted"
        assert self.times.step_time is not None, "the network has been timed"
        return Measurement(
            objective=self.trial.objective,
            accuracy=0.0,
            accuracy_raw=0.0,
            accuracy_top5=0.0,
            balanced_accuracy=0.0,
            minival_images=len(images.minival),
            step_time=self.times.step_time,
            inference_time=self.times.inference_time,
            params=self.counts.params,
            macs=self.counts.macs,
            reference_params=self.reference.params,
            reference_macs=self.reference.macs,
            peak_memory_bytes=None,
        )

    def _wait_for(self, role: Role) -> Iterator[Event]:
        """Waits until the device is held in this role; reports meanwhile that the trial waits."""
        for _ in self.worker.lock.queue(role):
            yield self._progress("waiting")

    def _train(self, step: TrainingStep) -> Iterator[Event]:
        """Trains, from the last checkpoint if there is one, and saves one after every epoch."""
        trial, lock = self.trial, self.worker.lock
        if lock.role != "training":
            yield from self._wait_for("training")
        checkpoint = self.worker.checkpoints.of(trial)
        # The checkpoint of a longer trial may have more epochs than a shorter one that is repeated needs.
        self.ends = checkpoint.restore(step)[: trial.epochs] if checkpoint else []
        self.inherited = min(trial.epochs_before, len(self.ends))
        yield self._progress("training", epoch=min(len(self.ends) + 1, trial.epochs))
        self.memory.restart()  # what was tried and timed before took more
        # Epochs of an earlier attempt of this trial are reported again; those of the continued trial are not.
        for end in self.ends[self.inherited :]:
            yield end.result(trial_id=trial.trial_id, attempt=trial.attempt)
        for event in train(
            step,
            trial.recipe,
            images_at=self.worker.images_at,
            evaluated_at=self.worker.evaluated_at,
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
            precision=self.worker.precision(timing.precision_for(recipe), recipe).precision,
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
            trial.architecture, num_classes=num_classes,
            batch_size=-(-trial.recipe.batch_size // self.micro_batches),
            resolution=max(stage.resolution for stage in trial.recipe.training_stages(trial.epochs)),
            precision=self.precision, device=self.worker.device,
        )  # fmt: skip

    def _check_limits(self, num_classes: int) -> None:
        """Raises OverLimitError if a quantity that is measured before training is above its limit."""
        self._check_times()
        if (limit := self.trial.limits.get(STEP_MEMORY)) is not None:
            check_limit(STEP_MEMORY, self._measure_step_memory(num_classes), limit)

    def _check_times(self) -> None:
        """Raises OverLimitError if the step time or the inference time is above its limit."""
        for name, limit in self.trial.limits.items():
            if name != STEP_MEMORY:
                check_limit(name, self.times.ratio(name), limit)

    def may_begin_smaller(self, failure: Failure) -> bool:
        """True if the trial may fit into memory in smaller micro-batches than it has tried."""
        if failure.kind != "out_of_memory" or self.step is None:
            return False
        return can_halve(self.step, self.trial.recipe.batch_size)

    def failed(self, failure: Failure) -> TrialResult:
        """The result of a trial that failed: crashed by no fault of its own, else infeasible."""
        status: Status = "crashed" if failure.kind in ("bug", "worker_lost") else "infeasible"
        return replace(
            self._result(status),
            failure_kind=failure.kind,
            error=failure.text,
            capture_failed=failure.fault is not None and failure.fault.of_capture,
        )

    def _result(self, status: Status, *, measurement: Measurement | None = None) -> TrialResult:
        """The trial's result with all that is known by now."""
        trial = self.trial
        return TrialResult(
            trial=trial,
            status=status,
            measurement=measurement,
            params=self.counts.params if self.counts else None,
            macs=self.counts.macs if self.counts else None,
            step_time=self.times.step_time,
            inference_time=self.times.inference_time,
            epochs=tuple(end.result(trial_id=trial.trial_id, attempt=trial.attempt) for end in self.ends),
            device=self.worker.info,
            precision=self.precision,
            precision_reason=self.precision_reason,
            training_mode=self.training_mode,
            kernels=self.kernels,
            micro_batches=self.micro_batches,
            times=self._times(),
        )

    def _times(self) -> TrialTimes:
        """The trial's times so far, with those of its timing part if it had one."""
        ends = self.ends[self.inherited :]
        own = TrialTimes(
            started_at=self.started_at.isoformat(), finished_at=datetime.now(UTC).isoformat(),
            build_seconds=self.build_seconds, timing_seconds=self.times.seconds,
            train_seconds=sum(end.train_seconds for end in ends),
            evaluate_seconds=sum(end.evaluate_seconds for end in ends),
            waiting_seconds=self.worker.lock.waited_seconds - self.waited_before,
        )  # fmt: skip
        return own if self.trial.timed is None else own.after(self.trial.timed)

    def _progress(self, phase: Phase, *, epoch: int = 0, fraction: float = 0.0) -> Progress:
        trial = self.trial
        return Progress(
            trial_id=trial.trial_id, attempt=trial.attempt, phase=phase,
            epoch=epoch, epochs=trial.epochs, fraction=fraction,
        )  # fmt: skip
