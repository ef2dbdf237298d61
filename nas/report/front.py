"""The winner, and what it was chosen from: accuracy against step time and parameters."""

import numpy as np
import pandas as pd

from analysis.frame import floats, objective_values
from analysis.headline import Headline
from analysis.numbers import percent, short_count
from analysis.pareto import non_dominated
from analysis.pictures import on_minival
from analysis.progress import front_points
from analysis.ranking import searched
from analysis.standard_error import standard_error
from nas.report.axes import HEIGHT, key, label_at, picture, x_axis, x_scale, y_axis, y_scale
from nas.report.diagram import stage_diagram
from nas.report.facts import RunFacts, architecture_words, formula_markup
from nas.report.markup import Markup, figure, join, table, tag
from nas.report.networks import panel
from nas.report.shown_rows import ShownTrial, shown_rows
from trials.objective import ACCURACY, in_words

MOST_POINTS = 3_000  # beyond the front; more would only make the file large
AXES = {
    "step_time_ratio": "training step time, × reference (log)",
    "params": "parameters, millions (log)",
}


def winner_section(facts: RunFacts) -> Markup:
    """The winner's figures, and its stages beside the reference's."""
    row, architecture = facts.winner, facts.architecture
    if row is None or architecture is None:
        return tag("p", "No trial has completed yet, so there is no winner.")
    reference = facts.config.space.reference
    diagrams = tag(
        "div",
        figure(
            stage_diagram(architecture, other=reference, label="stages of the winner"),
            f"The winner, trial {row.trial_id}. What differs from the reference is bold and orange.",
        ),
        figure(
            stage_diagram(reference, other=None, label="stages of the reference"),
            "The reference network, in whose units step time and parameters count.",
        ),
        class_="figures",
    )
    key = tag(
        "p",
        "Orange squares are Fused-MBConv blocks, blue ones MBConv; a pale first square halves the side.",
        class_="soft",
    )
    return join([_tiles(facts), diagrams, key])


def _tiles(facts: RunFacts) -> Markup:
    row, found = facts.winner, facts.headline
    assert row is not None
    assert found is not None
    beside = "" if found.objective == ACCURACY else f" (accuracy {percent(found.accuracy, digits=2)})"
    tiles = [
        (
            percent(found.objective_value, digits=2),
            f"{in_words(found.objective)}{beside} on minival, {_error_words(found, row.minival_images)}",
        ),
        (f"{found.step_time_ratio:.2f}×", f"the reference's training step{found.uncertain_words}"),
        (short_count(row.params), f"parameters ({_share(row.params, row.reference_params)}× reference)"),
        (short_count(row.macs), f"MACs ({_share(row.macs, row.reference_macs)}× reference)"),
        (
            f"{found.reward:.4f}",
            join(["reward: ", formula_markup(facts.terms, found.objective), _interval_words(found)]),
        ),
    ]
    return tag(
        "div", *(tag("div", tag("b", big), tag("span", small), class_="tile") for big, small in tiles),
        class_="tiles",
    )  # fmt: skip


def _interval_words(found: Headline) -> str:
    if found.reward_interval is None:
        return f", {found.basis}: {found.intervals}"
    low, high = found.reward_interval
    return f", {found.basis}; 95 %: {low:.4f} to {high:.4f}"


def _error_words(found: Headline, images: int | None) -> str:
    if not images or found.objective != ACCURACY:  # by images alone this is the error of an accuracy
        return found.basis
    error = standard_error(found.accuracy, images)
    return f"{found.basis} (± {100 * error:.2f} of {images:,} images)"


def _share(value: int, reference: int | None) -> str:
    return "?" if reference is None else f"{value / reference:.2f}"


def front_section(facts: RunFacts) -> Markup:
    """Every completed trial, the Pareto front, and a table of it."""
    rows = searched(facts.trials)
    rows = rows.assign(value=objective_values(rows)).dropna(subset=["value", "step_time_ratio", "params"])
    if rows.empty:
        return tag("p", "No trial has completed yet.")
    # The front; the best by the objective first.
    front = rows.iloc[list(non_dominated(front_points(rows)))].sort_values("value", ascending=False)
    objective = in_words(facts.config.objective)
    name_first = objective[0].upper() + objective[1:]
    captions = {
        "step_time_ratio": f"{name_first} against training step time.",
        "params": f"{name_first} against size.",
    }
    apart = ""
    if facts.headline is not None and facts.headline.is_longer:
        apart = (
            " The winner is where its trial is: longer trainings of finalists are in no picture of trials."
        )
    pictures = [
        figure(
            _scatter(facts, rows, front, name),
            join(
                [
                    f"{captions[name]} Rings are the Pareto front of {objective}, step time and parameters.",
                    # Shown by the script, where it can show networks.
                    tag(
                        "span",
                        " Choose a mark to see its network, curves and YAML.",
                        class_="of-marks",
                        hidden="hidden",
                    ),
                    apart,
                ]
            ),
        )
        for name in AXES
    ]
    lines = [
        (
            f"trial\N{NO-BREAK SPACE}{row.trial_id}",
            f"{row.objective_value:.4f}",
            f"{row.step_time_ratio:.2f}×",
            short_count(row.params),
            f"{row.reward:.4f}",
        )
        for row in shown_rows(ShownTrial, front.head(12))
    ]
    more = (
        f"The {len(lines)} best by {objective} of {len(front)}"
        if len(lines) < len(front)
        else f"All {len(front)}"
    )
    listing = table(("", objective, "step time", "parameters", "reward"), lines)
    return join(
        [
            tag("div", *pictures, class_="figures"),
            panel(class_="of-mark", is_hidden=True),
            tag("p", f"{more} trials of the Pareto front:", class_="soft"),
            listing,
        ]
    )


def _scatter(facts: RunFacts, rows: pd.DataFrame, front: pd.DataFrame, name: str) -> Markup:
    factor = 1.0 if name == "step_time_ratio" else 1e-6
    shown = rows.nlargest(MOST_POINTS, "reward") if len(rows) > MOST_POINTS else rows
    # Scales, axes, and a line where the reference is.
    x = x_scale(floats(rows, name) * factor, logarithmic=True)
    objective = in_words(facts.config.objective)
    y = y_scale(focused(objective_values(rows)))
    parts = [x_axis(x, AXES[name]), y_axis(y, on_minival(objective))]
    if name == "step_time_ratio" and x.low < 1 < x.high:
        parts.append(tag("line", class_="thin", x1=x(1.0), x2=x(1.0), y1=y.start, y2=y.end))
    # Below the rings of the front lie the dots of all trials; on top, the winner.
    for row in shown_rows(ShownTrial, shown):
        if row.objective_value < y.low:
            continue
        colour = "c0" if row.purpose == "baseline" else "c1"
        place = {"cx": x(getattr(row, name) * factor), "cy": y(row.objective_value)}
        marks = {**place, "data_mark": row.trial_id}
        parts.append(tag("circle", tag("title", row.words), class_=f"dot {colour}", r=2.6, **marks))
    for row in shown_rows(ShownTrial, front):
        if row.objective_value >= y.low:
            words = f"{row.words}\n{architecture_words(row.architecture)}"
            place = {"cx": x(getattr(row, name) * factor), "cy": y(row.objective_value)}
            marks = {**place, "tabindex": 0, "data_mark": row.trial_id}
            parts.append(tag("circle", tag("title", words), class_="ring c3", r=4.2, **marks))
    if facts.winner is not None:
        place = {"cx": x(getattr(facts.winner, name) * factor), "cy": y(facts.winner.objective_value)}
        words = f"the winner, trial {facts.winner.trial_id}\n"
        words += architecture_words(facts.winner.architecture)
        marks = {**place, "tabindex": 0, "data_mark": facts.winner.trial_id}
        parts.append(tag("circle", tag("title", words), class_="winner c2", r=6.5, **marks))
        parts.append(label_at("winner", place["cx"], max(place["cy"] - 10, 38.0), class_="c2"))
    parts.append(key(("dot c0", "uniform"), ("dot c1", "proposed"), ("ring c3", "front"), at=190.0))
    return picture(*parts, label=f"{objective} against {AXES[name]}, a point for each trial", height=HEIGHT)


def focused(accuracies: np.ndarray) -> np.ndarray:
    """Accuracies without the far lower tail, which would press all others into a line at the top."""
    low, middle, high = np.quantile(accuracies, [0.0, 0.25, 1.0])
    floor = max(low, middle - 2.5 * (high - middle))
    return accuracies[accuracies >= floor]
