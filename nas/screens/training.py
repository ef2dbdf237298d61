"""The screens of `nas train`: stages at the beginning, a line for each epoch, results."""

import statistics
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from analysis.numbers import duration, milliseconds, percent, precise_duration
from nas.advising.advice import next_lines
from nas.advising.training_steps import evaluate_step
from nas.events import EpochDone, EpochMetrics, GroupLost
from nas.screens.bars import bars_of
from nas.screens.best_mark import BestLines
from nas.screens.terminal import copyable
from nas.training.estimate import ROUNDS, Estimating
from nas.training.evaluation import Evaluation
from nas.training.initial_weights import Fitted
from nas.training.result import TrainingResult
from nas.training.training_events import TrainingBegun, TrainingEvent
from search_spaces.settings.sentences import one_line
from trials.images.sources import source_words
from trials.log.run_places import place_of
from trials.objective import (
    ACCURACY,
    CURVES,
    Objective,
    figures_in_words,
    in_a_word,
    in_words,
    value_of,
)
from trials.recipe import RANDOM
from trials.timing.precision import AS_ASKED
from trials.training.resolution_schedule import PERIOD
from trials.training.train import Heartbeat

DATA_IS_LIMIT = 0.3  # of the time in training


class TrainingView:
    """A bar for the epoch under way, a line for each that is done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = bars_of(
            console, TextColumn("{task.description}"), BarColumn(18), TextColumn("{task.fields[left]}")
        )
        self._task: TaskID | None = None
        self._lines = BestLines(console)
        self._epochs, self._done, self._first = 0, 0, 0
        self._objective: Objective = ACCURACY
        self._seconds: list[float] = []
        self._per_epoch = 0.0  # seconds, of the last epochs
        self._planned: dict[int, float] = {}  # seconds of each epoch, from 1

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def show(self, event: TrainingEvent | GroupLost) -> None:
        """Shows an event."""
        if isinstance(event, GroupLost):
            text = f"{event.reason}; all begin again after the last epoch that was saved"
            self._console.print(text, soft_wrap=True)
        if isinstance(event, Estimating):
            self._estimate(event)
        elif isinstance(event, TrainingBegun):
            self._begin(event)
        elif isinstance(event, EpochDone):
            metrics = event.metrics
            self._seconds.append(metrics.train_seconds + metrics.evaluate_seconds)
            self._per_epoch = self._seconds[-1] / max(metrics.epoch - self._done, 1)
            self._done = metrics.epoch
            line = _epoch_line(metrics, self._epochs, self._objective)
            self._lines.print(line, is_best=metrics.best)
            self._update(0.0)
        elif isinstance(event, Heartbeat) and self._task is not None:  # it may wait before it begins
            self._update(event.fraction, epoch=event.epoch, waits=event.phase == "waiting")

    def _estimate(self, timed: Estimating) -> None:
        """A bar on a terminal; elsewhere a line, once."""
        if self._task is None:
            if not self._console.is_terminal:
                self._console.print("estimating what it takes, by a few steps of each stage", soft_wrap=True)
            self._task = self._bars.add_task("", total=ROUNDS * timed.stages, left="")
        done = (timed.round - 1) * timed.stages + timed.stage - 1
        self._bars.update(
            self._task, description=f"estimating stage {timed.stage}/{timed.stages}", completed=done
        )

    def _begin(self, begun: TrainingBegun) -> None:
        self._epochs, self._done = begun.epochs, begun.first_epoch
        self._objective = begun.objective
        for estimate in begun.stages:
            stage = estimate.stage
            for epoch in range(stage.first_epoch + 1, stage.first_epoch + stage.epochs + 1):
                self._planned[epoch] = estimate.seconds / stage.epochs
        self._console.print(_beginning(begun), soft_wrap=True)
        if self._task is not None:  # begun again
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task("", total=1.0, left="")
        self._update(0.0)

    def _update(self, fraction: float, *, epoch: int = 0, waits: bool = False) -> None:
        assert self._task is not None, "a training begins before it goes on"
        epoch = min(max(epoch, self._done + 1), self._epochs)
        self._bars.update(
            self._task,
            description=f"epoch {epoch}/{self._epochs}" + (", waiting for the device" if waits else ""),
            completed=fraction,
            left=self._left(epoch, fraction),
        )

    def _left(self, epoch: int, fraction: float) -> str:
        remaining = range(max(epoch, 1), self._epochs + 1)
        if self._planned:
            planned = [self._planned[epoch] for epoch in remaining]
            before = [self._planned[epoch] for epoch in range(1, self._done + 1)]
            pace = sum(self._seconds) / sum(before) if self._seconds and sum(before) else 1.0
        elif self._seconds:  # resumed: at the last epochs' pace
            planned, pace = [self._per_epoch] * len(remaining), 1.0
        else:
            return ""
        seconds = pace * (sum(planned) - fraction * (planned[0] if planned else 0.0))
        return f"about {duration(max(seconds, 0.0))} left"


def _beginning(begun: TrainingBegun) -> str:
    devices = max(len(begun.processes), 1)
    several = f"{devices} x " if devices > 1 else ""
    lines = [
        f"training   {begun.train_images:,} images of {source_words(begun.source)}, "
        f"{begun.minival_images:,} more for minival; {several}{begun.device_name}, {begun.precision}"
    ]
    if begun.precision_reason != AS_ASKED:
        lines.append(f"           in {begun.precision}: {begun.precision_reason}")
    if begun.devices_before != devices:
        lines.append(
            f"           begun on {begun.devices_before} devices: on {devices} its curve is another one by "
            "rounding, drops and (unless recipe.sync_batch_norm) batch norm"
        )
    if begun.micro_batches > 1:
        lines.append(f"           each batch in {begun.micro_batches} parts, to fit into memory")
    lines += [f"           {one_line(note)}" for note in begun.decisions]
    lines += [f"           data: {one_line(note)}" for note in begun.notes]
    for path in begun.damaged:
        lines.append(f"           {path.name} is damaged; an earlier state is taken")
    if begun.fitted is not None:
        lines += _initial_weights(begun.fitted)
    if begun.is_over:
        lines.append(
            f"           ended before, after epoch {begun.first_epoch} of {begun.epochs}: nothing is left to "
            "train"
        )
    elif begun.first_epoch:
        lines.append(f"           resumed after epoch {begun.first_epoch} of {begun.epochs}")
    if begun.stages and begun.schedule in RANDOM:
        each = "batch" if begun.schedule == "random_batch" else f"{PERIOD} epochs"
        lines.append(f"  a size is drawn for each {each}; each has about so many epochs:")
    part = "size" if begun.schedule in RANDOM else "stage"
    for estimate in begun.stages:
        stage = estimate.stage
        lines.append(
            f"  {part} {stage.index + 1}  {stage.epochs:>3} epochs  {stage.resolution:>3} px  dropout "
            f"{stage.dropout:.2f}  RandAugment {stage.randaugment:.1f}  mixup {stage.mixup:.2f}  "
            f"step {milliseconds(estimate.step_seconds)} ms  about {duration(estimate.seconds)}"
            f"{'' if estimate.is_measured else ', by its pixels'}"
        )
    if begun.stages:
        total = sum(estimate.seconds for estimate in begun.stages)
        lines.append(f"  in all about {duration(total)} ({total * devices / 3600:.2f} device-hours)")
    return "\n".join(lines)


def _initial_weights(fitted: Fitted) -> list[str]:
    if not fitted.changes:
        return [f"           initial weights: {len(fitted.loaded)} tensors fit" + _unfitted(fitted)]
    kept = "whose function is kept" if fitted.keeps_function else "changed"
    head = f"           initial weights: of another architecture, {kept}" + _unfitted(fitted)
    return [head, *(f"             {change}" for change in fitted.changes)]


def _unfitted(fitted: Fitted) -> str:
    parts = [
        f", {len(names)} {what} ({names[0]})"
        for names, what in (
            (fitted.other_classes, "are of other classes and begin anew"),
            (fitted.other_shape, "have another shape"),
            ([name for name in fitted.missing if name not in fitted.other_classes], "are missing in them"),
            (fitted.unused, "of theirs are not used"),
        )
        if names
    ]
    return "".join(parts)


def _epoch_line(metrics: EpochMetrics, epochs: int, objective: Objective) -> str:
    value = getattr(metrics, CURVES[objective])
    other = "" if objective == ACCURACY else f"  {in_a_word(objective)} {value:.4f}"
    return (
        f"epoch {metrics.epoch:>3}/{epochs}  {metrics.train_resolution:>3.0f} px  "
        f"loss {metrics.train_loss:.4f}  "
        f"minival {metrics.minival_accuracy:.4f}{other}  {metrics.images_per_second:>6,.0f} images/s"
    )


def training_screen(result: TrainingResult) -> RenderableType:
    """The best accuracy, how far the estimate was off, the files, what to type next."""
    lines = []
    if result.stopped_early:
        lines.append(Text("ended early: minival had stopped improving"))
    lines.append(
        Text(
            f"best: epoch {result.best_epoch}   "
            f"{figures_in_words(result.objective, result.objective_value, result.accuracy)} (minival)",
            style="bold",
        )
    )
    if result.test is not None:
        lines.append(Text(_test_line(result.test, result.objective), style="bold"))
    if result.estimated_seconds and not result.stopped_early:
        lines.append(Text(_against_estimate(result.seconds, result.estimated_seconds)))
    lines.append(Text(_limit(result)))
    folder = place_of(result.folder)
    lines.append(copyable(f"{folder}/   weights/best.safetensors   metrics.parquet   training.png"))
    lines += map(copyable, next_lines([evaluate_step(folder)]))
    return Group(*lines)


def _test_line(test: Evaluation, objective: Objective) -> str:
    error = f"s.e. {test.standard_error:.4f}"
    if objective == ACCURACY:
        figures = f"accuracy {test.accuracy:.4f} ({error}), top 5 {test.accuracy_top5:.4f}"
    else:
        value = value_of(test, objective)
        figures = f"{in_words(objective)} {value:.4f} (accuracy {test.accuracy:.4f}, {error})"
    return f"      test: {figures}, {test.images:,} images"


def _limit(result: TrainingResult) -> str:
    """A sentence that says what the limit was, images or the device."""
    waited = sum(metrics.data_seconds for metrics in result.metrics)
    share = waited / max(sum(metrics.train_seconds for metrics in result.metrics), 1e-9)
    if share < DATA_IS_LIMIT:
        return f"the device was the limit: {percent(share)} of training waited for images"
    return (
        f"images were the limit: {percent(share)} of training waited for them; more memory, a faster disk or "
        "a smaller size help"
    )


def repeats_table(results: list[TrainingResult]) -> RenderableType:
    """Several trainings that differ in their seed alone."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in ("run", "best epoch", "minival", "test"):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        test = f"{result.final_value:.4f}" if result.test else "-"
        table.add_row(
            one_line(Path(result.folder).name), str(result.best_epoch), f"{result.objective_value:.4f}", test
        )
    values = [result.final_value for result in results]
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    split = "test" if results[0].test else "minival"
    mean = Text(
        f"mean {split} {in_words(results[0].objective)} {statistics.mean(values):.4f}, standard deviation "
        f"{deviation:.4f}, n = {len(values)}",
        style="bold",
    )
    return Group(table, mean)


def _against_estimate(seconds: float, estimated: float) -> str:
    """Both, and by how much the estimate was off."""
    took, was = precise_duration(seconds), precise_duration(estimated)
    return f"took {took}; the estimate was {was} ({percent(seconds / estimated - 1, signed=True)})"
