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
    lines += [_run_line(run, has_budget=figures.at_trials is not None) for run in figures.runs]
    for run in figures.runs:
        lines += [Text(f"{run.label} does not compare: {one_line(reason)}") for reason in run.apart]
    lines += [Text(f"note: {one_line(caution)}") for caution in figures.cautions]
    lines += [_difference_line(line) for line in figures.differences if line.is_sure] or [
        Text(_nothing_sure(figures))
    ]
    return Group(*lines, Text(figures.report))


def _nothing_sure(figures: SideBySideFigures) -> str:
    compared = [run for run in figures.runs if not run.apart]
    if len(compared) < 2:
        return f"nothing compares with {figures.runs[0].label}"
    if not figures.differences:
        return "no difference was computed: one setting, or nothing that both sides have"
    if all(line.p_value is None for line in figures.differences):
        return "no difference could be tested"
    return "no difference is sure"


def _run_line(run: RunFigures, *, has_budget: bool) -> Text:
    best = run.best_at_trials if has_budget and not run.apart else run.best
    found = "no reward yet" if best is None else f"best {best:.4f}"
    if has_budget and run.apart and best is not None:
        found += " of all, by its own reward"
    return Text(
        f"{run.label:<3} {shortened(run.run):<{MAX_NAME}}  {run.strategy:<16} {found}, "
        f"{run.trials:,} trials, {duration(run.device_seconds)}"
    )


def _difference_line(line: DifferenceFigures) -> Text:
    return Text(f"sure: {line.label} - {line.against} {line.difference.value:+.4f} in {line.measure}")
