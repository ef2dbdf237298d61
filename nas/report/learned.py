"""Lessons of a run: choices of the best tenth, effects of each choice, winners under other exponents."""

from collections.abc import Sequence

import numpy as np

from analysis.choice_effects import choice_frequencies, decisions, marginal_effects
from analysis.numbers import percent
from analysis.pictures import LABELS, STRONGEST, SURE
from analysis.reward_map import Candidates, RewardMap, candidates, reward_map, winner_range
from nas.report.axes import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Scale,
    key,
    picture,
    scale_of,
    x_axis,
    x_scale,
    y_axis,
)
from nas.report.facts import RunFacts
from nas.report.importances import FIELD_NAMES, importances
from nas.report.markup import Markup, details, figure, join, table, tag
from nas.report.shown_rows import ShownOption, shown_rows
from search_spaces.networks.ops import FUSED, op_facts

ROW = 21.0
GRID = 25
COLOURS = 7  # of the most frequent winners; all others share one
FARTHEST = -0.3


def learned_section(facts: RunFacts) -> Markup:
    """Pictures of what the best trials have in common and of the trade-off, and all figures in a table."""
    found = decisions(facts.trials)
    if len(found.reward) < 3 or not found.values:
        return tag("p", "Too few trials have completed to say what they teach.")
    frequencies, effects = choice_frequencies(found), marginal_effects(found)
    joined = frequencies.assign(effect=effects["effect"], low=effects["low"], high=effects["high"])
    options = shown_rows(ShownOption, joined)
    pictures = []
    if fused := [option for option in options if (option.field, option.option) == ("op", FUSED)]:
        pictures.append(
            figure(
                _fused_picture(fused),
                f"How often each stage is Fused-MBConv: in the best {int(found.is_top.sum())} by reward "
                f"(with 95 % interval), and in all {len(found.reward)}.",
            )
        )
    how = (
        "other choices held fixed by least squares"
        if effects["adjusted"].all()
        else "plain means, as trials are too few to hold other choices fixed"
    )
    pictures.append(
        figure(
            _effects_picture(options),
            f"The {min(STRONGEST, len(options))} options that move the reward most, with 95 % intervals: the "
            f"reward with the option less the mean of its decision ({how}).",
        )
    )
    if (drawn := importances(facts)) is not None:
        pictures.append(drawn)
    return join([tag("div", *pictures, class_="figures"), _all_choices(options)])


def _fused_picture(rows: Sequence[ShownOption]) -> Markup:
    height = TOP + BOTTOM + 28.0 * len(rows)
    x = Scale(0.0, 1.0, LEFT + 16, WIDTH - RIGHT)
    parts = [x_axis(x, LABELS["fused"], height=height, left=LEFT + 16)]
    parts.append(key(("ring c0", "all trials"), ("solid c2", "the best"), at=LEFT + 16))
    for i, row in enumerate(rows):
        y = TOP + 14 + 28.0 * i
        parts.append(tag("text", f"stage {row.stage}", class_="label", x=4.0, y=y + 4.5))
        parts.append(tag("line", class_="whisker c2", x1=x(row.top_low), x2=x(row.top_high), y1=y, y2=y))
        parts.append(tag("circle", class_="ring c0", cx=x(row.share), cy=y, r=5.5))
        parts.append(tag("circle", class_="solid c2", cx=x(row.top_share), cy=y, r=4.5))
    return picture(*parts, label="share of Fused-MBConv by stage", height=height)


def _effects_picture(options: Sequence[ShownOption]) -> Markup:
    strongest = sorted(options, key=lambda option: -abs(option.effect))[:STRONGEST]
    rows = sorted(strongest, key=lambda option: -option.effect)
    height, left = TOP + BOTTOM + ROW * len(rows), 190.0
    x = x_scale(np.array([(row.effect, row.low, row.high) for row in rows]).ravel(), left=left)
    parts = [x_axis(x, LABELS["effect"], height=height, left=left)]
    if x.low < 0 < x.high:
        parts.append(tag("line", class_="axis", x1=x(0.0), x2=x(0.0), y1=TOP, y2=height - BOTTOM))
    for i, row in enumerate(rows):
        y = TOP + 11 + ROW * i
        colour = "c1" if row.effect >= 0 else "c2"
        parts.append(
            tag("text", option_words(row), class_="label", x=left - 10, y=y + 4.5, text_anchor="end")
        )
        if np.isfinite(row.low):
            parts.append(tag("line", class_=f"whisker {colour}", x1=x(row.low), x2=x(row.high), y1=y, y2=y))
        parts.append(tag("circle", class_=f"solid {colour}", cx=x(row.effect), cy=y, r=4.2))
    return picture(*parts, label="effects of options on the reward", height=height)


def option_words(row: ShownOption) -> str:
    """An option as a person says it: stage 3 kernel 5."""
    option = op_facts(row.option).name if isinstance(row.option, str) else f"{row.option:g}"
    place = f"stage {row.stage} " if row.stage else ""
    field = "" if row.field == "op" else FIELD_NAMES.get(row.field, row.field) + " "
    return f"{place}{field}{option}"


def _all_choices(options: Sequence[ShownOption]) -> Markup:
    lines = [
        (
            option_words(row),
            f"{row.count:,}",
            percent(row.share),
            percent(row.top_share),
            f"{percent(row.top_low)} to {percent(row.top_high)}",
            f"{row.effect:+.4f}",
            f"{row.low:+.4f} to {row.high:+.4f}" if np.isfinite(row.low) else "",
        )
        for row in options
    ]
    head = ("option", "trials", "of all", "of the best", "95 %", "effect", "95 %")
    return details(f"All {len(lines)} options", table(head, lines))


# ---------------------------------------------------------------------- other exponents


def trade_off_section(facts: RunFacts) -> Markup:
    """Winners over the plane of exponents, and the range in which the winner stays."""
    found = candidates(facts.trials)
    if len(found.trial_id) < 2:
        return tag("p", "Too few trials have completed to compare trade-offs.")
    now = (facts.terms.get("step_time_ratio", 0.0), facts.terms.get("params", 0.0))
    grids = [_around(value) for value in now]
    mapped = reward_map(found, *grids)
    words = [_range_words(found, now, i, name) for i, name in enumerate(("step time", "parameters"))]
    drawn = figure(
        _map_picture(mapped, now),
        "The trial with the best reward for each pair of exponents, by its number. Pale: where it would win "
        "less than half the time if every trial were trained again. The cross is this report's trade-off.",
    )
    others = sorted(set(facts.terms) - {"step_time_ratio", "params"})
    note = [tag("p", f"The map leaves out {', '.join(others)}.")] if others else []
    command = f"nas report {facts.typed} --reward step_time_ratio=-0.15,params=0"
    again = [tag("p", "Another trade-off, with nothing trained again:"), tag("pre", command)]
    text = tag("div", *(tag("p", text) for text in words), *note, *again)
    return tag("div", drawn, text, class_="figures")


def _around(value: float) -> np.ndarray:
    return np.linspace(min(FARTHEST, 1.5 * value), max(0.0, 1.5 * value), GRID)


def _range_words(found: Candidates, now: tuple[float, float], of: int, name: str) -> str:
    reach = winner_range(found, now, of=of)
    best = found.trial_id[(found.log_accuracy + found.log_costs @ np.asarray(now)).argmax()]
    text, same = f"With the exponent of {name} anywhere ", f"trial {best} has the best reward of one training"
    if not np.isfinite(reach.low) and not np.isfinite(reach.high):
        return f"{text[:-1]}, {same}."
    if not np.isfinite(reach.low):
        return f"{text}below {reach.high:.3f} {same}; above it, trial {reach.above}."
    if not np.isfinite(reach.high):
        return f"{text}above {reach.low:.3f} {same}; below it, trial {reach.below}."
    return (
        f"{text}from {reach.low:.3f} to {reach.high:.3f} {same}; below it, trial "
        f"{reach.below}; above it, trial {reach.above}."
    )


def _map_picture(mapped: RewardMap, now: tuple[float, float]) -> Markup:
    # Cells reach half a step beyond the outermost exponents.
    w, v = mapped.step_exponents, mapped.size_exponents
    x = Scale(w[0] - _half(w), w[-1] + _half(w), LEFT, WIDTH - RIGHT)
    y = Scale(v[0] - _half(v), v[-1] + _half(v), HEIGHT - BOTTOM, TOP)
    common = mapped.most_frequent(COLOURS)
    colours = {winner: f"c{i + 1}" for i, winner in enumerate(common)}
    cells = [
        part
        for j in range(len(v))
        for part in _strips(mapped.winner[:, j], mapped.stability[:, j], w, v, j, x, y, colours)
    ]
    # Numbers in their regions, and a cross where this report stands.
    labels = [_region_label(mapped, winner, x, y) for winner in common]
    across, down = x(now[0]), y(now[1])
    arm = 6.0
    cross = join(
        [
            tag("circle", class_="ring c0", cx=across, cy=down, r=7.5, opacity=0.85),
            tag("line", class_="axis", x1=across - arm, x2=across + arm, y1=down, y2=down),
            tag("line", class_="axis", x1=across, x2=across, y1=down - arm, y2=down + arm),
        ]
    )
    axes = [
        x_axis(x, LABELS["step_exponent"]),
        y_axis(scale_of(v, y.start, y.end) if _half(v) == 0 else y, LABELS["size_exponent"]),
    ]
    return picture(*axes, *cells, *labels, cross, label="the winner for each pair of exponents")


def _half(values: np.ndarray) -> float:
    return float(values[1] - values[0]) / 2


def _strips(
    winner: np.ndarray,
    stability: np.ndarray,
    w: np.ndarray,
    v: np.ndarray,
    j: int,
    x: Scale,
    y: Scale,
    colours: dict[int, str],
) -> list[Markup]:
    """A row of the map; neighbours that look alike are one rectangle."""
    looks = [(colours.get(int(n), "c0"), s >= SURE) for n, s in zip(winner, stability, strict=True)]
    found, begin = [], 0
    top, bottom = y(v[j] + _half(v)), y(v[j] - _half(v))
    for i in range(1, len(looks) + 1):
        if i < len(looks) and looks[i] == looks[begin]:
            continue
        start, end = x(w[begin] - _half(w)), x(w[i - 1] + _half(w))
        colour, stable = looks[begin]
        # A little larger than it is, or hairlines of the paper show between rectangles.
        size = {"width": end - start + 0.6, "height": bottom - top + 0.6}
        look = f"cell {colour}" if stable else f"cell pale {colour}"
        found.append(tag("rect", class_=look, x=start, y=top, **size))
        begin = i
    return found


def _region_label(mapped: RewardMap, winner: int, x: Scale, y: Scale) -> Markup:
    """The winner's number in the middle of its region; nothing in a small one."""
    middle = mapped.middle_of(winner)
    if middle is None:
        return Markup("")
    return tag("text", winner, class_="on", x=x(middle[0]), y=y(middle[1]) + 4.5, text_anchor="middle")
