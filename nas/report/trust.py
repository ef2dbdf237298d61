"""Certainty of the result: trainings of the finalists, noise, and the audit by longer trainings."""

import numpy as np
import pandas as pd

from analysis.finalists import Standing
from analysis.frame import floats
from analysis.intervals import Estimate
from analysis.numbers import counted, percent, truly_better
from analysis.pictures import LABELS
from analysis.proxy_audit import ProxyAudit, proxy_audit
from analysis.ranking import searched
from analysis.reward_map import seed_deviation
from analysis.rungs import rung_sentences
from analysis.standard_error import standard_error
from nas.report.axes import (
    BOTTOM,
    HEIGHT,
    TOP,
    label_at,
    picture,
    x_axis,
    x_scale,
    y_axis,
    y_scale,
)
from nas.report.facts import RunFacts, records
from nas.report.markup import Markup, figure, join, table, tag
from nas.report.shown_rows import ShownPair, shown_rows
from trials.objective import in_words

ROW = 26.0
LEFT_OF_FINALISTS = 92.0
MOST_FINALISTS = 20


def trust_section(facts: RunFacts) -> Markup:
    """The finalists' trainings, and how much accuracies and step times vary."""
    noise = tag("div", table(("noise", ""), _noise(facts)))
    shown = facts.standings[:MOST_FINALISTS]
    if shown:
        drawn = figure(
            _finalists_picture(shown),
            "Dots: mean reward of a finalist's trainings with other seeds, and its 95 % interval; small "
            f"ones: each training. {_selection_words(shown[0])}",
        )
        return join([tag("p", _verdict(facts)), tag("div", drawn, noise, class_="figures")])
    words = (
        "No finalists were trained again, so the winner's reward is that of one training, and the highest of "
        "many is too high. `finalists: {count: 5, repeats: 3}` in the search file trains the best again, and "
        "`finalists: {count: 10, epochs: N}` for longer."
    )
    return join([tag("p", words), noise])


def _verdict(facts: RunFacts) -> str:
    first = facts.standings[0]
    longer = f" for {first.finalist.epochs} epochs" if first.finalist.is_longer else ""
    text = (
        f"{counted(len(facts.standings), 'finalist')} "
        f"{'was' if len(facts.standings) == 1 else 'were'} trained again{longer} with other seeds; trial "
        f"{first.finalist.trial_id} has the highest mean reward, {first.finalist.mean:.4f}"
    )
    if first.better_than_next is None:
        return f"{text}."
    return f"{text}. It is {truly_better(first.better_than_next)}."


def _selection_words(first: Standing) -> str:
    if not first.finalist.is_longer:
        return "Rings: the trial that selected it, whose reward is too high: left out."
    return (
        f"The trials of {counted(first.finalist.selected_epochs, 'epoch')} that selected them do not "
        f"compare with trainings of {first.finalist.epochs}: left out."
    )


def _selecting(standing: Standing) -> tuple[float, ...]:
    """The reward that selected a finalist, where it compares with those of its trainings."""
    return () if standing.finalist.is_longer else (standing.finalist.selected_reward,)


def _finalists_picture(shown: tuple[Standing, ...]) -> Markup:
    known = [
        value
        for s in shown
        for value in (s.low, s.high, *_selecting(s), *s.finalist.rewards)
        if value is not None
    ]
    left, height = LEFT_OF_FINALISTS, TOP + BOTTOM + ROW * len(shown)
    x = x_scale(np.array(known), left=left)
    parts = [x_axis(x, "reward", height=height, left=left)]
    for i, standing in enumerate(shown):
        y, finalist = TOP + 13 + ROW * i, standing.finalist
        colour = "c2" if i == 0 else "c1"
        name = f"trial {finalist.trial_id}"
        parts.append(
            tag(
                "text",
                name,
                class_="strong" if i == 0 else "label",
                x=left - 10,
                y=y + 4.5,
                text_anchor="end",
            )
        )
        if standing.low is not None and standing.high is not None:
            ends = {"x1": x(standing.low), "x2": x(standing.high)}
            parts.append(tag("line", class_=f"whisker {colour}", y1=y, y2=y, **ends))
        for reward in _selecting(standing):
            parts.append(tag("circle", class_="ring c0", cx=x(reward), cy=y, r=4.5))
        for reward in finalist.rewards:
            parts.append(tag("circle", class_=f"dot {colour}", cx=x(reward), cy=y, r=2.4))
        parts.append(tag("circle", class_=f"solid {colour}", cx=x(finalist.mean), cy=y, r=5.0))
    return picture(*parts, label="rewards of the finalists", height=height)


def _noise(facts: RunFacts) -> list[tuple[str, str]]:
    rows = searched(facts.trials)
    lines = []
    if deviation := seed_deviation(facts.trials):
        name = in_words(facts.config.objective)
        lines.append((f"{name} from one training to the next (standard deviation)", f"{deviation:.4f}"))
    if deviation := seed_deviation(facts.trials, purpose="finalist"):
        lines.append(("the same, of the finalists' longer trainings", f"{deviation:.4f}"))
    images = floats(rows, "minival_images")
    if np.isfinite(images).any() and facts.headline is not None:
        accuracy, count = facts.headline.accuracy, float(np.nanmedian(images))
        error = standard_error(accuracy, count)
        lines.append((f"accuracy by minival's {count:,.0f} images (standard error)", f"{error:.4f}"))
    errors = floats(rows, "step_time_ratio_error")
    if np.isfinite(errors).any():
        middle, worst = np.nanquantile(errors, [0.5, 0.95])
        lines.append(("step-time ratio (standard error, median trial)", percent(middle, digits=2)))
        lines.append(("the same, of the 95th of 100 trials", percent(worst, digits=2)))
    flagged = int(rows["timing_flag"].notna().sum())
    lines.append(("uncertain step times", f"{flagged:,} of {len(rows):,}"))
    predicted = int((rows["timing_source"] == "predicted").sum())
    if predicted:
        lines.append(("step times predicted from measured blocks", f"{predicted:,} of {len(rows):,}"))
    return lines


# ---------------------------------------------------------------------- the audit


def audit_section(facts: RunFacts) -> Markup:
    """Rankings of short trials beside longer trainings: of the search's own lengths, and of longer ones."""
    return join([*(tag("p", f"{sentence}.") for sentence in _rungs(facts)), _audit(facts)])


def _rungs(facts: RunFacts) -> list[str]:
    return [sentence[0].upper() + sentence[1:] for sentence in rung_sentences(records(facts.trials))]


def _audit(facts: RunFacts) -> Markup:
    audit = proxy_audit(facts.trials, facts.audits)
    if audit is None:
        return tag(
            "p",
            "Not done. This trains a sample for longer and compares the rankings:  "
            f"nas audit {facts.typed} --trials 20 --epochs {4 * facts.config.recipe.epochs}",
        )
    words = (
        f"{len(audit.pairs)} architectures, a stratified sample by reward, were trained again for "
        f"{int(audit.pairs['epochs'].max())} epochs."
    )
    lines = [
        ("Kendall's tau of the two rankings", _figure(audit.tau)),
        (
            f"of the best {audit.top} by long training, among the best {audit.top} by short",
            _figure(audit.recall),
        ),
        ("reward lost by trusting the short ranking's first", _figure(audit.regret, digits=4)),
    ]
    drawn = figure(
        _audit_picture(audit),
        "Rewards of the same architectures, trained short and long; with the step time and the size of the "
        "short trial in both.",
    )
    figures = tag("div", table(("", "", "95 % interval"), [(name, *found) for name, found in lines]))
    return join([tag("p", words), tag("div", drawn, figures, class_="figures")])


def _figure(found: Estimate, *, digits: int = 2) -> tuple[str, str]:
    interval = f"{found.low:.{digits}f} to {found.high:.{digits}f}" if np.isfinite(found.low) else "too few"
    return f"{found.value:.{digits}f}", interval


def _audit_picture(audit: ProxyAudit) -> Markup:
    pairs: pd.DataFrame = audit.pairs
    x, y = x_scale(pairs["short"].to_numpy()), y_scale(pairs["long"].to_numpy())
    parts = [x_axis(x, LABELS["short"]), y_axis(y, LABELS["long"])]
    best = int(pairs["short"].to_numpy().argmax())
    for index, row in enumerate(shown_rows(ShownPair, pairs)):
        words = f"trial {row.trial_id}: short {row.short:.4f}, long {row.long:.4f}"
        place = {"cx": x(row.short), "cy": y(row.long)}
        colour = "winner c2" if index == best else "ring c1"
        parts.append(tag("circle", tag("title", words), class_=colour, r=5.0, tabindex=0, **place))
    at = pairs.iloc[best]
    parts.append(label_at("first by short", x(float(at["short"])), y(float(at["long"])) + 20, class_="c2"))
    return picture(*parts, label="long against short rewards", height=HEIGHT)
