"""The screen of `nas report` with several runs: a line for each, what does not compare, what is sure."""

from rich.console import Group, RenderableType
from rich.text import Text

from analysis.numbers import duration
from nas.report.side_by_side.figures import DifferenceFigures, RunFigures, SideBySideFigures
from nas.screens.measure import MAX_NAME, shortened
from search_spaces.settings.sentences import one_line


def side_by_side_screen(figures: SideBySideFigures) -> RenderableType:
    """The comparison in short, and the page's place in the last line."""
    lines: list[Text] = []
    if figures.at_trials is not None:
        lines.append(Text(f"best rewards at {figures.at_trials:,} trials, which all compared runs have"))
    lines += [_run_line(run) for run in figures.runs]
    for run in figures.runs:
        lines += [Text(f"{run.label} does not compare: {one_line(reason)}") for reason in run.apart]
    lines += [Text(f"note: {one_line(caution)}") for caution in figures.cautions]
    lines += [_difference_line(line) for line in figures.differences if line.is_sure] or [
        Text("no difference is sure")
    ]
    return Group(*lines, Text(figures.report))


def _run_line(run: RunFigures) -> Text:
    best = run.best if run.best_at_trials is None else run.best_at_trials
    found = "no reward yet" if best is None else f"best {best:.4f}"
    return Text(
        f"{run.label:<3} {shortened(run.run):<{MAX_NAME}}  {run.strategy:<16} {found}, "
        f"{run.trials:,} trials, {duration(run.device_seconds)}"
    )


def _difference_line(line: DifferenceFigures) -> Text:
    return Text(f"sure: {line.label} - {line.against} {line.difference.value:+.4f} in {line.measure}")
