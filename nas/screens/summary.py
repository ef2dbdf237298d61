"""The last screen of a search: the best architecture, finalists, files, and what to type next."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.headline import Headline
from analysis.numbers import counted, percent, truly_better
from analysis.rungs import rung_sentences
from nas.advising.advice import next_lines
from nas.advising.search_steps import describe_step, export_step, report_step, train_step
from nas.results.summary import FinalistSummary, SearchSummary, result_headline
from nas.screens.architecture import stage_table
from nas.screens.terminal import copyable
from nas.search.best_file import architecture_of
from nas.search.exhaustion import EXHAUSTED
from nas.search.predicted_step_time import PredictionError
from nas.search.search import SearchResult
from trials.log.file_names import BEST_FILE, REPORT_FILE, SEARCH_FILE, TRIALS_FILE
from trials.log.row_types import TrialRow, measured
from trials.objective import ACCURACY, Objective, in_words, name_of


def summary_screen(result: SearchResult, summary: SearchSummary) -> RenderableType:
    """The best architecture, random search beside it, the files, and what to type next."""
    lines: list[RenderableType] = []
    if result.exhausted:
        lines.append(Text(EXHAUSTED))
    best = result.best
    if best is None:
        lines.append(Text(f"no trial of {summary.trials} has completed; see the failure_kind column"))
    else:
        found = result_headline(result)
        assert found is not None, "there is a best trial"
        lines += _best_lines(found, best, summary.trials)
        if summary.baseline_trials:
            lines.append(
                Text(
                    f"            random search's {counted(summary.baseline_trials, 'trial')}: reward median "
                    f"{summary.baseline_median_reward:.4f}, best {summary.baseline_best_reward:.4f}"
                )
            )
            if found.is_longer:
                epochs = summary.finalists[0].selected_epochs
                lines.append(
                    Text(f"            after {counted(epochs, 'epoch')}: not to be compared with the above")
                )
        if summary.finalists:
            lines += [
                Text(""),
                _finalist_table(summary.finalists, found.objective),
                *_verdict(summary.finalists[0]),
            ]
        lines += [Text(""), stage_table(architecture_of(best)), Text("")]
    if sentences := rung_sentences(result.rows):
        lines += [*map(Text, sentences), Text("")]
    if result.prediction_error is not None:
        lines += [Text(_prediction_line(result.prediction_error)), Text("")]
    folder = summary.run
    lines.append(copyable(f"{folder}/   {BEST_FILE}   {TRIALS_FILE}   {SEARCH_FILE}"))
    if best is not None:
        resolution = int(measured(best, "resolution"))
        steps = [
            describe_step(folder),
            export_step(folder),
            train_step(
                folder,
                architecture_of(best),
                resolution=resolution,
                data=result.data,
                objective=name_of(best),
                class_weights=result.class_weights,
            ),
        ]
        if (result.folder / REPORT_FILE).is_file():
            steps.append(report_step(folder))
        lines += map(copyable, next_lines(steps))
    return Group(*lines)


def _finalist_table(finalists: Sequence[FinalistSummary], objective: Objective) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    # The reward that selected a finalist does not compare with those of longer trainings: not beside them.
    is_longer = any(finalist.epochs > finalist.selected_epochs for finalist in finalists)
    names = ("epochs", "trainings") if is_longer else ("selected", "repeats")
    last = "mean accuracy" if objective == ACCURACY else in_words(objective)  # 80 columns
    for name in ("finalist", *names, "mean reward", "95 % interval", last):
        table.add_column(name, justify="right", no_wrap=True)
    for finalist in finalists:
        table.add_row(
            f"trial {finalist.trial_id}",
            str(finalist.epochs) if is_longer else f"{finalist.selected_reward:.4f}",
            str(finalist.repeats),
            f"{finalist.mean_reward:.4f}",
            "" if finalist.low is None else f"{finalist.low:.4f} to {finalist.high:.4f}",
            f"{finalist.mean_objective:.4f}",
        )
    return table


def _verdict(first: FinalistSummary) -> list[Text]:
    better = first.better_than_next
    if better is None:
        return []
    return [Text(f"the first is {truly_better(better)}")]


def _best_lines(found: Headline, best: TrialRow, trials: int) -> list[Text]:
    return [
        Text(
            f"best of {trials}: trial {found.trial_id}   reward {found.reward:.4f}   "
            f"{in_words(found.objective)} {found.objective_value:.4f} (minival)",
            style="bold",
        ),
        *([Text(f"            accuracy {found.accuracy:.4f}")] if found.objective != ACCURACY else []),
        *(Text(f"            {line}") for line in found.lines),
        Text(
            f"            step time {found.step_time_ratio:.2f}x reference{found.uncertain_words}"
            + ("\n            " if found.uncertain else "   ")
            + f"{best['params']:,} parameters"
        ),
    ]


def _prediction_line(error: PredictionError) -> str:
    tau = f", Kendall's tau {error.tau:.2f}" if error.tau is not None else ""
    return (
        f"step times predicted by blocks are off by {percent(error.mean, digits=1)} on average over "
        f"{error.networks} measured networks{tau};\n"
        f"            {percent(error.within_error_bars)} are within two error bars"
    )
