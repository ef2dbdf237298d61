"""An evaluation as pictures: the confusion matrix, and the calibration of its probabilities."""

from pathlib import Path

import numpy as np

from analysis.plain_text import drawable, plain_text
from nas.training.calibration import BINS, Calibration
from nas.training.evaluation import Evaluation

DRAWN = 60  # classes in a picture: beyond these only the most confused


@plain_text
def draw_confusion(evaluation: Evaluation, path: Path, *, title: str) -> None:
    """Writes a PNG of the classes that are predicted of each class's images, as shares of these."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    matrix, classes = evaluation.confusion.astype(float), list(evaluation.classes)
    chosen = np.flatnonzero(matrix.sum(axis=1))
    if len(chosen) > DRAWN:
        wrong = matrix.sum(axis=1) - np.diag(matrix)
        chosen = np.sort(chosen[np.argsort(-wrong[chosen], kind="stable")[:DRAWN]])
        title += f" (the {DRAWN} classes with most mistakes)"
    shares = matrix[np.ix_(chosen, chosen)] / matrix[chosen].sum(axis=1, keepdims=True)
    side = min(max(4.5, 0.32 * len(chosen) + 2), 16)
    figure = Figure(figsize=(side, side), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [drawable(classes[i]) for i in chosen]
    axis.set_xticks(range(len(chosen)), names, rotation=90)
    axis.set_yticks(range(len(chosen)), names)
    axis.set_xlabel("predicted as")
    axis.set_ylabel("is")
    if len(chosen) <= 20:
        for i in range(len(chosen)):
            for j in range(len(chosen)):
                if shares[i, j] >= 0.005:
                    colour = "white" if shares[i, j] > 0.5 else "black"
                    text = f"{100 * shares[i, j]:.0f}"
                    axis.text(j, i, text, ha="center", va="center", color=colour, fontsize=8)
    figure.colorbar(image, ax=axis, shrink=0.6, label="share of the class's images")
    axis.set_title(drawable(title))
    figure.savefig(path, format="png", dpi=110)


@plain_text
def draw_calibration(calibration: Calibration, path: Path, *, title: str) -> None:
    """Writes a PNG of the accuracy in each bin of confidence, and of the number of images there."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    shares, counts = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    edges = np.arange(BINS) / BINS
    filled = np.array(calibration.counts) > 0
    accuracy = np.array(calibration.accuracy)
    shares.bar(edges[filled], accuracy[filled], width=1 / BINS, align="edge", color="C0", alpha=0.6)
    shares.plot((0, 1), (0, 1), color="0.4", linestyle="--", label="as confident as right")
    shares.plot(
        np.array(calibration.confidence)[filled], accuracy[filled], "o", color="C3", markersize=4,
        label="mean confidence and accuracy of a bin",
    )  # fmt: skip
    shares.set_ylabel("accuracy")
    shares.set_ylim(0, 1.25)  # above 1 there is room for the legend
    shares.set_yticks(np.linspace(0, 1, 6))
    shares.legend(fontsize=8, loc="upper left")
    counts.bar(edges, calibration.counts, width=1 / BINS, align="edge", color="0.6")
    counts.set_ylabel("images")
    counts.set_xlabel("confidence: probability of the predicted class")
    counts.set_xlim(0, 1)
    figure.suptitle(drawable(title))
    figure.savefig(path, format="png", dpi=110)
