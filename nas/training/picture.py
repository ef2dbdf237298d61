"""A full training as one picture: accuracy, loss, resolution and strengths, speed."""

import io
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from analysis.plain_text import drawable, plain_text
from nas.events import EpochMetrics
from trials.log.run_places import files_of
from trials.objective import ACCURACY, CURVES, Objective, in_words

STRENGTHS = ("dropout", "randaugment", "mixup", "cutmix")


@plain_text
def draw_training(
    metrics: Sequence[EpochMetrics], path: Path, *, title: str, objective: Objective = ACCURACY
) -> None:
    """Writes a PNG of the epochs so far; stages are set apart by lines.

    Another objective than accuracy has a line of its own, on which the best epoch is marked.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2, sharex=True)
    epochs = [each.epoch for each in metrics]

    def series(name: str) -> list[float]:
        return [getattr(each, name) for each in metrics]

    accuracy, loss, stage, speed = axes.flat
    accuracy.plot(epochs, series("train_accuracy"), color="0.6", label="train")
    accuracy.plot(epochs, series("minival_accuracy_raw"), color="C0", alpha=0.5, label="minival, raw weights")
    accuracy.plot(epochs, series("minival_accuracy"), color="C0", label="minival")
    if objective != ACCURACY:
        accuracy.plot(epochs, series(CURVES[objective]), color="C4", label=f"minival, {in_words(objective)}")
    best = next(each for each in reversed(metrics) if each.best)  # whose weights were kept
    value = getattr(best, CURVES[objective])
    accuracy.plot(best.epoch, value, "o", color="C3")
    accuracy.annotate(
        f"{value:.4f}",
        (best.epoch, value),
        textcoords="offset points",
        xytext=(0, -14),
        ha="center",
        color="C3",
    )
    accuracy.set_ylabel("accuracy")
    loss.plot(epochs, series("train_loss"), color="0.6", label="train")
    loss.plot(epochs, series("minival_loss"), color="C0", label="minival")
    loss.set_ylabel("loss")
    stage.step(epochs, series("train_resolution"), where="mid", color="C1", label="resolution, px")
    stage.set_ylabel("resolution, px")
    stage.set_ylim(bottom=0)
    strengths = stage.twinx()
    for i, name in enumerate(STRENGTHS):
        values = series(name)
        if most := max(values):
            scaled = [value / most for value in values]
            label = f"{name}, up to {most:g}"
            strengths.step(epochs, scaled, where="mid", color=f"C{i + 2}", linestyle="--", label=label)
    strengths.set_ylim(0, 1.6)
    strengths.set_yticks([])
    handles = [*stage.get_legend_handles_labels()[0], *strengths.get_legend_handles_labels()[0]]
    strengths.legend(handles=handles, fontsize=8, loc="upper left")
    speed.plot(epochs, series("images_per_second"), color="C2")
    speed.set_ylabel("images/s while training")
    speed.set_ylim(bottom=0)
    bounds = [after.epoch - 0.5 for before, after in pairwise(metrics) if after.stage != before.stage]
    for axis in axes.flat:
        for bound in bounds:
            axis.axvline(bound, color="0.85", zorder=0)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in (accuracy, loss):
        axis.legend(fontsize=8)
    for axis in axes[1]:
        axis.set_xlabel("epoch")
    figure.suptitle(drawable(title))
    data = io.BytesIO()
    figure.savefig(data, dpi=110, format="png")
    files_of(path.parent).write(path, data.getvalue(), durable=False)
