"""Full training of one architecture with progressive learning: resumable, evaluated on minival."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch

from nas.events import EpochDone
from nas.search.environment import describe_environment
from nas.training.checkpoints import TrainingFolder, TrainingProgress
from nas.training.config import TrainingConfig, as_begun, record_config
from nas.training.decided import decided
from nas.training.epoch_metrics import metrics_of
from nas.training.estimate import StageEstimate, estimate
from nas.training.evaluated_epochs import is_evaluated
from nas.training.evaluation import Evaluation, evaluate_images
from nas.training.finished import RESULT
from nas.training.images import device_images
from nas.training.initial_weights import Fitted, begin_with
from nas.training.result import TrainingResult, facts_of
from nas.training.saving import StateSaver, Weights
from nas.training.start import (
    TrainingImages,
    check_shares,
    check_start,
    claim,
    images_to_test,
    locked_for,
    record_data,
)
from nas.training.threads import ChosenThreads, threads_of, use_threads
from nas.training.training_events import TrainingBegun, TrainingEvent
from search_spaces.networks.network import Network
from search_spaces.settings.config_error import ConfigError
from trials.devices.arithmetic import check_precision
from trials.devices.device import available_slots, device_info, keep_freed_memory, lock_of
from trials.devices.device_errors import is_out_of_memory
from trials.devices.device_lock import DeviceLock
from trials.devices.own_memory import give_back
from trials.devices.sharing import give_way, training
from trials.log.run_places import place_of
from trials.objective import CURVES
from trials.recipe import TrainingStage
from trials.training.device_group import ALONE, DeviceGroup
from trials.training.micro_batches import can_halve, fit_training
from trials.training.recipe_network import network_for
from trials.training.seeds import WEIGHTS, derived_seed
from trials.training.step import TrainingStep
from trials.training.train import EpochEnd, Heartbeat, train
from trials.training.weights_file import copied_weights, evaluation_facts, load_weights
from trials.trial import Slot


def train_fully(
    config: TrainingConfig,
    folder: Path,
    *,
    on_event: Callable[[TrainingEvent], object] = lambda event: None,
    group: DeviceGroup = ALONE,
) -> TrainingResult:
    """Trains, or goes on with what was begun in `folder`, and returns what was reached.

    After each epoch its metrics are on disk; its state and the best weights every few minutes, at the end and
    when something else ends it (`StateSaver`). A killed training goes on after its last saved epoch, with the
    curve of one that was not killed. Every device of a group calls this, with a folder that all of them see;
    the first one writes, and has all of the result.

    Raises:
        ConfigError: something is not right with the images, the folder or the initial weights.
        RunLockedError: another process trains in this folder, or a newer one has begun elsewhere.
        StoreError: the object store does not take a state; the one before it is there.
        NonFiniteLossError: the training diverged.
    """
    check_precision(config.recipe.precision, _device_of(group), name="recipe.precision")
    config = as_begun(config, folder)
    opened = check_start(config, folder, devices=group.size)
    files = TrainingFolder(folder)
    files.create()
    with locked_for(folder, group) if group.is_first else nullcontext():
        if group.is_first:
            files.sweep()
            claim(config, files)
            files.fence.check()
            record_data(config, folder, opened)
            files.fence.check()
            record_config(config, folder)
        device = _device_of(group)
        lock = lock_of(device)

        def tell_waiting(_: float) -> None:
            on_event(Heartbeat("waiting", 0, 0.0))

        with training(lock, tell_waiting):  # as trials do; whoever times something on the device goes first
            begun = partial(_Training, config, files, opened, on_event=on_event, group=group, lock=lock)
            micro_batches = 1
            while True:
                run = begun(micro_batches=micro_batches)
                try:
                    return run.run()
                except Exception as error:
                    # Of several devices the others wait for this one, and only starting anew helps.
                    if group.size > 1 or not run.may_go_on_smaller(error):
                        raise
                micro_batches = 2 * run.step.micro_batches  # after the last epoch that was saved
                del run
                give_back(device)  # collected, too: its images refer to it


def _device_of(group: DeviceGroup) -> torch.device:
    return group.device if group.size > 1 else torch.device(available_slots()[0].device)


class _Training:
    """One process's part of a training."""

    def __init__(
        self,
        config: TrainingConfig,
        files: TrainingFolder,
        opened: TrainingImages,
        *,
        on_event: Callable[[TrainingEvent], object],
        group: DeviceGroup,
        lock: DeviceLock,
        micro_batches: int,
    ) -> None:
        images = opened.images
        self.config, self.files, self.on_event, self.group = config, files, on_event, group
        self.lock = lock  # of the device, held for training
        # The device.
        self.device = _device_of(group)
        self.device_name = device_info(Slot(index=group.rank, device=str(self.device))).device_name
        alone_on_cpu = self.device.type == "cpu" and group.size == 1  # in a group each has its share of cores
        if alone_on_cpu:
            keep_freed_memory()
        # The newest state, if there is one; its precision holds on.
        on_device = device_images(config, self.device)
        self.images_at, self.evaluated_at = on_device.trained_at, on_device.evaluated_at
        self.resumed, self.shown = files.newest_state(), files.shown_epoch()
        self._check_same_state()
        # What is decided once: precision, batch, length, evaluations.
        progress = self.resumed[1] if self.resumed else None
        self.decided = decided(config, progress, images=len(images.train), device=self.device)
        chosen = self.decided.precision
        self.precision, self.precision_reason = map(group.text_of_first, (chosen.precision, chosen.why))
        self.recipe, self.epochs = self.decided.recipe, self.decided.epochs
        check_shares(self.recipe, len(images.train), group.size)
        stages, batch_size = self.recipe.training_stages(), self.recipe.batch_of(len(images.train))
        self.num_classes, self.data_digest = images.num_classes, images.digest
        self.notes = opened.notes
        # The network; batches are divided until the largest stage's fits into memory.
        torch.manual_seed(derived_seed(config.seed, WEIGHTS))
        self.fitted: Fitted | None = None
        self.step = TrainingStep(
            self._network(), self.recipe, device=self.device, precision=self.precision, group=group
        )
        if self.device.type == "cuda":  # what lies there, too, while the largest images are trained
            on_device.open_all()
        self.batch_size = batch_size // group.size
        self.step.micro_batches = micro_batches
        sizes = {"batch_size": self.batch_size, "num_classes": images.num_classes, "side": images.resolution}
        fit_training(self.step, self.recipe, stages, **sizes)
        # Threads, on which rounding depends.
        self.threads = ChosenThreads(progress.threads if progress else 0)
        if alone_on_cpu and progress is None:
            self.threads = threads_of(self.step, self.recipe, stages, classes=self.num_classes)
        elif alone_on_cpu:
            use_threads(self.threads.threads)
        # Progress so far.
        self.saver = StateSaver(files)
        self.best_value, self.best_epoch, self.best_resolution = -1.0, 0, 0  # by the objective
        self.devices_before = group.size
        self.seconds, self.estimated_seconds = 0.0, 0.0

    def _check_same_state(self) -> None:
        epochs = self.group.gathered(self.resumed[1].epoch if self.resumed else 0)
        if len(set(epochs)) > 1:
            raise ConfigError(
                f"{place_of(self.files.folder)}: devices on different hosts see different states here (after "
                f"epochs {', '.join(f'{epoch:.0f}' for epoch in epochs)}); --run must be a folder that all "
                "share"
            )

    def _network(self) -> Network:
        network = network_for(self.config.architecture, self.recipe, num_classes=self.num_classes)
        if self.config.init is not None and self.resumed is None:  # else its state has them
            classes = self.images_at(self._stages()[-1].resolution).classes
            architecture = self.config.architecture
            self.fitted = begin_with(network, self.config.init, classes, architecture=architecture)
        return network

    def may_go_on_smaller(self, error: Exception) -> bool:
        """True if memory ran out, and smaller micro-batches than now may fit."""
        return is_out_of_memory(error) and can_halve(self.step, self.batch_size)

    def run(self) -> TrainingResult:
        """The epochs that are not done yet, then the best weights on the test images."""
        first = self._resume()
        self.step.copy_first()
        images = self.images_at(self._stages()[-1].resolution)
        stages = self._estimate(first)
        is_over = self._is_over(first)  # by patience, or it had been trained to its end
        self.on_event(
            TrainingBegun(
                device_name=self.device_name,
                precision=self.precision,
                precision_reason=self.precision_reason,
                micro_batches=self.step.micro_batches,
                epochs=self.epochs,
                first_epoch=first,
                source=self.config.data.source,
                train_images=len(images.train),
                minival_images=len(images.minival),
                stages=stages,
                fitted=self.fitted,
                damaged=tuple(self.files.damaged),
                processes=tuple(map(int, self.group.gathered(os.getpid()))) if self.group.size > 1 else (),
                schedule=self.recipe.resolution_schedule,
                devices_before=self.devices_before,
                notes=self.notes,
                is_over=is_over,
                objective=self.config.objective,
                decisions=(*self._lost(first), *self.decided.notes, *filter(None, [self.threads.why])),
            )
        )
        if is_over:
            return self._finish(first < self.epochs)
        return self._finish(self._epochs(first))

    def _lost(self, first: int) -> Iterator[str]:
        """A sentence about epochs that were shown, and whose state was not written before the end."""
        if self.shown > first:
            yield f"epochs {first + 1} to {self.shown} were shown and not yet saved: they are trained again"

    def _resume(self) -> int:
        if self.resumed is None:
            return 0
        tensors, progress = self.resumed
        self.resumed = None
        self.step.load({name: tensor.to(self.device) for name, tensor in tensors.items()})
        self.best_value, self.best_epoch = progress.best_accuracy, progress.best_epoch
        self.best_resolution = progress.best_resolution
        self.seconds, self.estimated_seconds = progress.seconds, progress.estimated_seconds
        self.devices_before = progress.devices
        return progress.epoch

    def _estimate(self, first: int) -> tuple[StageEstimate, ...]:
        """Once, when the training begins; a resumed one knows its own figures."""
        if first:
            return ()
        stages = estimate(
            self.step,
            self.recipe,
            images_at=self.images_at,
            evaluated_at=self.evaluated_at,
            epochs=self.epochs,
            seed=self.config.seed,
            evaluate_every=self.decided.evaluate_every,
            on_event=self.on_event,
        )
        self.estimated_seconds = sum(stage.seconds for stage in stages)
        return tuple(stages)

    def _epochs(self, first: int) -> bool:
        """Trains the epochs that are left; True if patience ended them."""
        every, stages = self.decided.evaluate_every, self._stages()
        events = train(
            self.step,
            self.recipe,
            images_at=self.images_at,
            evaluated_at=self.evaluated_at,
            epochs=self.epochs,
            seed=self.config.seed,
            first_epoch=first,
            is_evaluated=partial(is_evaluated, every=every, stages=stages),
        )
        with self.saver.written_at_the_end():
            for event in events:
                if isinstance(event, Heartbeat):
                    self.on_event(event)
                    give_way(self.lock, partial(self._tell_waiting, event))
                    continue
                self._write(event)
                if self._is_over(event.epoch):
                    return event.epoch < self.epochs
        return False

    def _tell_waiting(self, at: Heartbeat, seconds: float) -> None:
        self.on_event(replace(at, phase="waiting"))

    def _is_over(self, done: int) -> bool:
        if done >= self.epochs:
            return True
        # Early stages end when the next one is due: where accuracy stands still on small images, larger help.
        patience, last = self.config.patience, self._stages()[-1]
        begins = 0 if self.recipe.draws_sizes else last.first_epoch
        is_last = self.best_resolution == self.recipe.evaluation_size(last) and done > begins
        waited = patience is not None and done - self.best_epoch >= patience * self.decided.evaluate_every
        return is_last and waited

    def _write(self, end: EpochEnd) -> None:
        # Accuracy on small images says nothing of large ones: the best is that of the sizes trained last.
        value = getattr(end, CURVES[self.config.objective])
        better = end.resolution != self.best_resolution or value > self.best_value
        if better:
            self.best_value, self.best_epoch, self.best_resolution = value, end.epoch, end.resolution
        self.seconds += end.train_seconds + end.evaluate_seconds
        images = len(self.images_at(self._stages()[-1].resolution).train)
        seed = self.config.seed
        metrics = metrics_of(end, self.recipe, self._stages(), images=images, seed=seed, best=better)
        self.files.metrics.append(metrics)
        if self.group.is_first:
            self._save(end, best=better)
        self.on_event(EpochDone(metrics))

    def _save(self, end: EpochEnd, *, best: bool) -> None:
        names = [name for name, is_it in (("best", best), ("last", end.epoch == self.epochs)) if is_it]
        weights = self._evaluated_weights(end) if names else None
        progress = TrainingProgress(
            epoch=end.epoch,
            precision=self.precision,
            best_accuracy=self.best_value,
            best_epoch=self.best_epoch,
            best_resolution=self.best_resolution,
            seconds=self.seconds,
            estimated_seconds=self.estimated_seconds,
            devices=self.group.size,
            evaluate_every=self.decided.evaluate_every,
            batch_size=self.recipe.batch_size,
            threads=self.threads.threads,
        )
        self.saver.keep(self.step.state(), progress, dict.fromkeys(names, weights) if weights else {})
        self.files.fence.check()
        self.files.save_metrics()
        self.saver.write_if_due(is_last=self._is_over(end.epoch))

    def _stages(self) -> tuple[TrainingStage, ...]:
        return self.recipe.training_stages(self.epochs)

    def _evaluated_weights(self, end: EpochEnd) -> Weights:
        """A copy of the weights that were evaluated: averaged ones where the recipe averages."""
        average = self.step.average
        averaged: AbstractContextManager[None] = average.swapped() if average else nullcontext()
        with averaged:
            return copied_weights(
                self.step.network,
                self.config.architecture,
                num_classes=self.num_classes,
                classes=list(self.images_at(self._stages()[-1].resolution).classes),
                resolution=end.resolution,
                **evaluation_facts(self.config.recipe),
                epoch=end.epoch,
                accuracy=end.minival_accuracy,
                balanced_accuracy=end.minival_balanced_accuracy,
                objective=self.config.objective,
                averaged=average is not None,
                data={"source": self.config.data.source, "digest": self.data_digest},
            )

    def _finish(self, stopped: bool) -> TrainingResult:
        test: Evaluation | None = None
        if self.config.test is not None and self.group.is_first:
            weights = load_weights(self.files.weights("best"), files=self.files.files)
            images = images_to_test(self.config, weights.classes, resolution=weights.resolution)
            test = evaluate_images(weights, images, lock=self.lock) if images is not None else None
        best = next(epoch for epoch in self.files.metrics if epoch.epoch == self.best_epoch)
        result = TrainingResult(
            folder=self.files.folder,
            metrics=tuple(self.files.metrics),
            best_epoch=self.best_epoch,
            accuracy=best.minival_accuracy,
            balanced_accuracy=best.minival_balanced_accuracy,
            objective=self.config.objective,
            test=test,
            seconds=self.seconds,
            estimated_seconds=self.estimated_seconds,
            stopped_early=stopped,
        )
        if not self.group.is_first:
            return result
        facts = {
            **facts_of(result),
            "device_name": self.device_name,
            "devices": self.group.size,
            "precision": self.precision,
            "precision_reason": self.precision_reason,
            "threads": self.threads.threads,
            "environment": asdict(describe_environment()),
            "written_at": datetime.now(UTC).isoformat(),
        }
        self.files.fence.check()
        text = json.dumps(facts, indent=1, default=str)
        self.files.files.write(self.files.folder / RESULT, text.encode())
        return result
