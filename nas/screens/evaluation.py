"""The screen of `nas evaluate`, and the confusion matrix as a picture."""

from pathlib import Path

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.plain_text import drawable, plain_text
from nas.training.evaluation import Evaluation
from search_spaces.settings.sentences import one_line

SHOWN = 12  # classes in a table; of more the best and the worst
DRAWN = 60  # classes in a picture: beyond these only the most confused


def evaluation_screen(evaluation: Evaluation, *, source: str) -> RenderableType:
    """Accuracies over all images, and of each class."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in ("class", "images", "accuracy", "mostly predicted as"):
        table.add_column(name, justify="left" if name in ("class", "mostly predicted as") else "right")
    ranked = sorted(
        (i for i in range(len(evaluation.classes)) if evaluation.accuracy_of(i) is not None),
        key=lambda i: -(evaluation.accuracy_of(i) or 0.0),
    )
    shown = ranked if len(ranked) <= SHOWN else [*ranked[: SHOWN // 2], *ranked[-SHOWN // 2 :]]
    for i in shown:
        table.add_row(
            one_line(evaluation.classes[i]),
            f"{int(evaluation.confusion[i].sum()):,}",
            f"{evaluation.accuracy_of(i) or 0.0:.4f}",
            _mistaken(evaluation, i),
        )
    head = (
        f"{source}: {evaluation.images:,} images at {evaluation.resolution} px\n"
        f"accuracy {evaluation.accuracy:.4f} (s.e. {evaluation.standard_error:.4f})   "
        f"balanced {evaluation.balanced_accuracy:.4f}   top 5 {evaluation.accuracy_top5:.4f}   "
        f"loss {evaluation.loss:.4f}"
    )
    lines: list[RenderableType] = [Text(head, style="bold"), table]
    if len(ranked) > SHOWN:
        lines.append(Text(f"the best and the worst of {len(ranked)} classes; all of them with --json"))
    return Group(*lines)


def _mistaken(evaluation: Evaluation, label: int) -> str:
    row = evaluation.confusion[label].copy()
    row[label] = 0
    if not row.any():
        return ""
    other = int(row.argmax())
    return f"{one_line(evaluation.classes[other])} ({int(row[other])})"


@plain_text
def draw_confusion(evaluation: Evaluation, path: Path, *, title: str) -> None:
    """Writes a PNG of the classes that are predicted of each class's images, as shares of these."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    matrix, classes = evaluation.confusion.astype(float), list(evaluation.classes)
    chosen = np.flatnonzero(matrix.sum(axis=1))
    if len(chosen) > DRAWN:
        wrong = matrix.sum(axis=1) - np.diag(matrix)
        chosen = np.sort(np.argsort(-wrong)[:DRAWN])
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
