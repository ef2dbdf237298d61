"""The screen of `nas evaluate`."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nas.training.evaluation import Evaluation
from search_spaces.settings.sentences import one_line

SHOWN = 12  # classes in a table; of more the best and the worst


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
