"""The last screen of a search: the best architecture, finalists, files, and what to type next."""

import statistics
from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.finalists import Standing
from analysis.rungs import rung_sentences
from nas.results.summary import summary_figures
from nas.screens.architecture import stage_table
from nas.search.best_file import architecture_of
from nas.search.predicted_step_time import PredictionError
from nas.search.search import SearchResult


def summary_screen(result: SearchResult) -> RenderableType:
    """The last screen: the best architecture, random search beside it, the files, and what to type next."""
    figures = summary_figures(result)
    lines: list[RenderableType] = []
    if result.exhausted:
        lines.append(Text("the space is exhausted: every architecture has been trained"))
    best = result.best
    if best is None:
        lines.append(Text(f"no trial of {figures['trials']} has completed; see the failure_kind column"))
    else:
        lines += [Text(_best_line(best, figures["trials"]), style="bold")]
        if figures["baseline_trials"]:
            lines.append(
                Text(
                    f"            random search's {figures['baseline_trials']} trials: reward median "
                    f"{figures['baseline_median_reward']:.4f}, best {figures['baseline_best_reward']:.4f}"
                )
            )
        if result.standings:
            lines += [Text(""), _finalist_table(result.standings), *_verdict(result.standings)]
        lines += [Text(""), stage_table(architecture_of(best)), Text("")]
    lines += rung_lines(result.rows)
    if result.prediction_error is not None:
        lines += [Text(_prediction_line(result.prediction_error)), Text("")]
    folder = result.folder
    report = "   report.html" if (folder / "report.html").is_file() else ""
    lines.append(Text(f"{folder}/   best.yaml   trials.parquet   search.yaml{report}"))
    if best is not None:
        lines.append(Text(f"next:  nas describe {folder}/best.yaml"))
        lines.append(Text(f"       nas export {folder} -o winner.yaml"))
        lines.append(Text(f"       nas train {folder}/best.yaml --data IMAGES"))
        if report:
            lines.append(Text(f"       nas report {folder} --open"))
    return Group(*lines)


def rung_lines(rows: list[dict[str, Any]]) -> list[RenderableType]:
    """What short trials saved, and how far their ranking can be trusted; nothing where there were none."""
    sentences = rung_sentences(rows)
    return [*(Text(sentence) for sentence in sentences), Text("")] if sentences else []


def _finalist_table(standings: list[Standing]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in ("finalist", "selected", "repeats", "mean reward", "95 % interval", "mean accuracy"):
        table.add_column(name, justify="right", no_wrap=True)
    for standing in standings:
        finalist = standing.finalist
        interval = "" if standing.low is None else f"{standing.low:.4f} to {standing.high:.4f}"
        table.add_row(
            f"trial {finalist.trial_id}",
            f"{finalist.selected_reward:.4f}",
            str(len(finalist.rewards)),
            f"{finalist.mean:.4f}",
            interval,
            f"{statistics.mean(finalist.accuracies):.4f}",
        )
    return table


def _verdict(standings: list[Standing]) -> list[Text]:
    better = standings[0].better_than_next
    if better is None:
        return []
    percent = "more than 99 %" if better > 0.99 else f"{better:.0%}".replace("%", " %")
    return [Text(f"the first is truly better than the second with a probability of {percent}")]


def _best_line(best: Mapping[str, Any], trials: int) -> str:
    return (
        f"best of {trials}: trial {best['trial_id']}   reward {best['reward']:.4f}   "
        f"accuracy {best['accuracy']:.4f} (minival)\n"
        f"            step time {best['step_time_ratio']:.2f}x reference   {best['params']:,} parameters"
    )


def _prediction_line(error: PredictionError) -> str:
    tau = f", Kendall's tau {error.tau:.2f}" if error.tau is not None else ""
    return (
        f"step times predicted by blocks are off by {error.mean:.1%} on average over {error.networks} "
        f"measured networks{tau};\n            {error.within_error_bars:.0%} are within two error bars"
    )
