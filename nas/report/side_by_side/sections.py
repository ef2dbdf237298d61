"""Sections of the page of several runs: what compares, what is sure, settings, winners, cost."""

from collections.abc import Iterable, Sequence

from analysis.intervals import Interval
from analysis.ledger import ALL_KINDS, utilisation, wall_seconds, work
from analysis.numbers import counted, duration, percent, short_count, three_figures
from analysis.ranking import searched
from nas.report.conditions import CONDITIONS, values_in_words
from nas.report.cost import NAMES
from nas.report.diagram import stage_diagram
from nas.report.facts import formula_markup
from nas.report.markup import Markup, details, figure, join, table, tag
from nas.report.side_by_side.compared import ONE_RUN
from nas.report.side_by_side.figures import (
    DifferenceFigures,
    RunFigures,
    SideBySideFigures,
    WinnerFigures,
)
from nas.report.side_by_side.pictures import MOST_FINALISTS, best_so_far, finalists_picture, swatch
from nas.report.side_by_side.settings import different_settings
from nas.report.side_by_side.sides import Side, Sides
from search_spaces.networks.architecture import Architecture
from trials.objective import in_words

MOST_LINES = 40  # of settings; the others are shown on demand
MOST_WINNERS = 6  # drawn; the others on demand
NOTHING = "–"
NO_BREAK = "\N{NO-BREAK SPACE}"


def runs_section(found: Sides, figures: SideBySideFigures) -> Markup:
    """Sections of the page: each run's results, runs that do not compare, limits of the comparison."""
    lines = [_run_line(side, run) for side, run in zip(found.sides, figures.runs, strict=True)]
    head = ["", "run", "strategy", "seed", "trials", "device time"]
    # Heads in short: the table has many columns. A budget that not all have is left out.
    at_trials = None if figures.at_trials is None else f"best, {figures.at_trials:,} trials"
    at_seconds = None if figures.at_seconds is None else duration(figures.at_seconds)
    equal = [at_trials, at_seconds]
    head += [name for name in equal if name is not None]
    kept = [i for i, name in enumerate(equal, start=6) if name is not None]
    lines = [[*line[:6], *(line[i] for i in kept), *line[8:]] for line in lines]
    reward = tag("p", "The reward: ", formula_markup(found.terms, found.objective), _by(found), ".")
    parts = [reward, table([*head, "best, all", "winner", "reward", "95 %"], lines, left=4)]
    if apart := [run for run in figures.runs if run.apart]:
        words = [
            tag("li", tag("strong", f"{run.label} does not compare: "), "; ".join(run.apart), ".")
            for run in apart
        ]
        note = (
            f"In no picture and no difference below: {', '.join(run.label for run in apart)}. Figures of "
            "these runs are by their own rewards, and on their own images."
        )
        parts += [tag("ul", *words, class_="apart"), tag("p", note)]
    if figures.cautions:
        parts.append(tag("ul", *(tag("li", caution) for caution in figures.cautions)))
    return join(parts)


def _by(found: Sides) -> str:
    return f", by step times on {found.device}" if found.device else ""


def _run_line(side: Side, run: RunFigures) -> list[object]:
    winner = run.winner
    return [
        tag("span", *([] if run.apart else [swatch(side.group)]), f" {run.label}", class_="key-entry"),
        run.run,
        run.strategy,
        str(run.seed),
        f"{run.trials:,}",
        duration(run.device_seconds),
        _reward(run.best_at_trials),
        _reward(run.best_at_seconds),
        _reward(run.best),
        NOTHING if winner is None else str(winner.trial_id),
        NOTHING if winner is None else f"{winner.reward.value:.4f}",
        NOTHING if winner is None else _winner_words(winner),
    ]


def _winner_words(winner: WinnerFigures) -> str:
    """The interval of a winner's reward, or why it has none; and the length of longer trainings."""
    length = f", {counted(winner.epochs, 'epoch')}" if winner.is_longer else ""
    if winner.reward.low is not None:
        return f"{_interval(winner.reward)}{length}"
    return f"one {'repeat' if winner.is_repeated and not winner.is_longer else 'training'}{length}"


def _reward(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4f}"


def _interval(found: Interval, *, signed: bool = False) -> str:
    if found.low is None or found.high is None:
        return NOTHING
    sign = "+" if signed else ""
    return f"{found.low:{sign}.4f} to {found.high:{sign}.4f}"


# ---------------------------------------------------------------------- differences


def sure_section(found: Sides, figures: SideBySideFigures) -> Markup:
    """Differences to the first run's settings, and which of them are sure."""
    if len(found.compared) < 2:
        return tag("p", f"Nothing compares with {found.sides[0].label}.")
    if len(found.groups) == 1:
        return tag("p", "All compared runs have equal settings: they differ by their seeds alone.")
    if not figures.differences:
        nothing = "No difference can be computed: no budget at which both sides had found something, and no "
        return tag("p", f"{nothing}winners that were trained again equally long.")
    lines = [
        (
            f"{line.label}\N{NO-BREAK SPACE}–\N{NO-BREAK SPACE}{line.against}",
            line.measure,
            _verdict(line),
            f"{line.difference.value:+.4f}",
            _interval(line.difference, signed=True),
            f"{line.counts[0]} and {line.counts[1]}",
        )
        for line in figures.differences
    ]
    head = ("", "of", "", "difference", "95 %", "values")
    parts = [tag("p", _summary(figures)), table(head, lines, left=3)]
    notes = dict.fromkeys(line.note for line in figures.differences if line.note)
    if notes and not all(note == ONE_RUN for note in notes):
        parts.append(
            tag("ul", *(tag("li", f"{note[0].upper()}{note[1:]}.") for note in notes), class_="soft")
        )
    parts.append(
        tag(
            "p",
            "Intervals are Welch's, each of one difference alone; sure is what Holm's correction over all "
            "tested ones leaves, so that one false “sure” or more comes with a probability of at most "
            f"{percent(figures.significance).replace(' ', NO_BREAK)}. The best reward of many trials is "
            "too high by luck, on every side; the finalists' trainings leave out the trials that selected "
            "them. Of winners chosen among several finalists by these trainings the bound holds roughly.",
            class_="soft",
        )
    )
    return join(parts)


def _verdict(line: DifferenceFigures) -> Markup:
    if line.p_value is None:
        return tag("span", "not tested", class_="soft")
    return tag("strong", "sure") if line.is_sure else tag("span", "not sure")


def _summary(figures: SideBySideFigures) -> str:
    tested = [line for line in figures.differences if line.p_value is not None]
    if not tested:
        return (
            "No difference could be tested: one run of each setting alone does not tell how runs vary, and "
            "no two winners were trained again twice. Search again with another `seed`, or with "
            "`finalists: {count: 5, repeats: 3}`."
        )
    sure = [line for line in tested if line.is_sure]
    if not sure:
        return f"No difference is sure, of {len(tested)} that could be tested."
    words = [
        f"{line.label} is {'better' if line.difference.value > 0 else 'worse'} than {line.against} by "
        f"{abs(line.difference.value):.4f} in {line.measure}"
        for line in sure
    ]
    return f"Sure, of {len(tested)} differences that could be tested: {'; '.join(words)}."


# ---------------------------------------------------------------------- pictures


def progress_section(found: Sides, figures: SideBySideFigures) -> Markup:
    """The best reward so far against trials and against device time."""
    if found.device:
        return tag("p", f"Not drawn: only trials that were measured on {found.device} are known.")
    if not any(side.curve["best"].notna().any() for side in found.compared):
        return tag("p", "No trial has completed yet.")
    key = [
        tag("span", swatch(group), f" {_key_words(group, sides)}", class_="key-entry")
        for group, sides in found.groups.items()
    ]
    equal = " The dashed line: {0} that all have." if figures.at_trials is not None else ""
    several = any(len(sides) > 1 for sides in found.groups.values())
    band = " Bold: mean over runs of equal settings, with its 95 % interval." if several else ""
    pictures = [
        figure(
            best_so_far(found, "trials"),
            f"The best reward so far.{band}{equal.format('the number of trials')}",
        ),
        figure(
            best_so_far(found, "device_seconds"),
            f"The same against the time that devices worked.{equal.format('the device time')}",
        ),
    ]
    return join([tag("p", *key, class_="key"), tag("div", *pictures, class_="figures")])


def _key_words(group: str, sides: Sequence[Side]) -> str:
    strategy = sides[0].facts.config.strategy.name
    names = ", ".join(side.facts.name for side in sides)
    return f"{group}: {names} ({strategy})" if len(sides) == 1 else f"{group}: {len(sides)} runs ({strategy})"


def finalists_section(found: Sides, figures: SideBySideFigures) -> Markup:
    """The finalists' means with intervals, of each run."""
    with_finalists = [side for side in found.compared if side.facts.standings]
    lacking = [side.label for side in found.compared if not side.facts.standings]
    words = f"{', '.join(lacking)}: no finalists were trained again." if lacking else ""
    if not with_finalists:
        return tag("p", words)
    drawn = figure(
        finalists_picture(with_finalists),
        "Dots: mean reward of a finalist's trainings with other seeds, and its 95 % interval; small ones: "
        f"each training. Up to {MOST_FINALISTS} of each run.{_lengths(with_finalists)}",
    )
    return join([tag("p", words) if words else "", drawn])


def _lengths(sides: Sequence[Side]) -> str:
    """Lengths of finalists' trainings where they differ, since all stand on one axis."""
    epochs = {side.label: side.facts.standings[0].finalist.epochs for side in sides}
    if len(set(epochs.values())) < 2:
        return ""
    said = ", ".join(f"{label} {counted(each, 'epoch')}" for label, each in epochs.items())
    return f" Trainings of different lengths do not compare: {said}."


# ---------------------------------------------------------------------- settings


def settings_section(found: Sides, figures: SideBySideFigures) -> Markup:
    """Settings and conditions in which the runs differ, and nothing else."""
    labels = [side.label for side in found.sides]
    lines = [(path, *values) for path, values in
             different_settings([side.config for side in found.sides]).items()]  # fmt: skip
    rows = [searched(side.facts.trials) for side in found.sides]
    columns = {name: [values_in_words(each[name]) for each in rows] for name in CONDITIONS}
    conditions = [
        (CONDITIONS[name], *(value or NOTHING for value in column))
        for name, column in columns.items()
        if len(set(column)) > 1 and name != "reference_step_seconds"  # measured: it differs by itself
    ]
    head = ("setting", *labels)
    parts = [
        table(head, lines[:MOST_LINES], left=len(head)) if lines else tag("p", "The search files are alike."),
    ]
    if lines[MOST_LINES:]:
        more = table(head, lines[MOST_LINES:], left=len(head))
        parts.append(details(f"{len(lines) - MOST_LINES} more settings", more))
    if conditions:
        parts.append(table(("what rows say", *labels), conditions, left=len(head)))
    return join(parts)


# ---------------------------------------------------------------------- winners


def winners_section(found: Sides, figures: SideBySideFigures) -> Markup:
    """The stages of each run's winner; what differs from the first one's is marked."""
    shown = [side for side in found.compared if side.facts.architecture is not None]
    apart = [side for side in found.sides if side.apart and side.facts.architecture is not None]
    if not shown:
        return tag("p", "No trial has completed yet, so there is no winner.")
    first = shown[0]
    drawn = [_winner_figure(side, first.facts.architecture if side is not first else None) for side in shown]
    drawn += [_winner_figure(side, None) for side in apart]
    key = tag(
        "p",
        f"What differs from {first.label}'s winner is bold and orange{_unmarked(apart)}. Orange squares are "
        "Fused-MBConv blocks, blue ones MBConv; a pale first square halves the side.",
        class_="soft",
    )
    parts = [key, tag("div", *drawn[:MOST_WINNERS], class_="figures")]
    if drawn[MOST_WINNERS:]:
        more = tag("div", *drawn[MOST_WINNERS:], class_="figures")
        parts.append(details(f"{len(drawn) - MOST_WINNERS} more winners", more))
    return join(parts)


def _unmarked(apart: Sequence[Side]) -> str:
    labels = ", ".join(side.label for side in apart)
    return f"; nothing is marked in {labels}, which does not compare" if apart else ""


def _winner_figure(side: Side, other: Architecture | None) -> Markup:
    row, found, architecture = side.facts.winner, side.facts.headline, side.facts.architecture
    assert row is not None
    assert found is not None
    assert architecture is not None
    caption = (
        f"{side.label}: trial {found.trial_id}, {found.objective_words}, "
        f"step time {found.step_time_ratio:.2f}×{found.uncertain_words}, {short_count(row.params)} "
        f"parameters, reward {found.reward:.4f} {found.basis}."
    )
    return figure(stage_diagram(architecture, other=other, label=f"stages of {side.label}'s winner"), caption)


# ---------------------------------------------------------------------- cost


def cost_section(found: Sides, figures: SideBySideFigures) -> Markup:
    """Device time of each run by kind, trials by end, and how long it took."""
    lines: list[Iterable[object]] = []
    of_each = [_cost(side) for side in found.sides]
    for name in of_each[0]:
        values = [cost[name] for cost in of_each]
        if any(value not in (NOTHING, "0") for value in values):
            lines.append((name, *values))
    return table(("", *(side.label for side in found.sides)), lines)


def _cost(side: Side) -> dict[str, str]:
    trials, spent, found = side.facts.trials, side.spent, work(side.facts.trials)
    statuses = trials["status"].value_counts()
    total = float(spent["total"].sum())
    shares = {
        f"of it {NAMES[kind]}": percent(float(spent[kind].sum()) / total) if total else NOTHING
        for kind in ALL_KINDS
    }
    return {
        "device time, all trials and idle": duration(total),
        **shares,
        "training, timing and evaluating": percent(utilisation(trials)) if total else NOTHING,
        "wall time without long pauses": duration(wall_seconds(found)),
        "workers": f"{len(spent):,}",
        "device time of a counted trial": (
            f"{three_figures(side.device_seconds / len(side.curve))} s" if len(side.curve) else NOTHING
        ),
        **{
            f"{status} trials": f"{int(statuses.get(status, 0)):,}"
            for status in ("completed", "stopped", "infeasible", "crashed", "cached")
        },
    }


def again_section(found: Sides, figures: SideBySideFigures) -> Markup:
    """Commands: the report of each run, which has everything about it."""
    width = max(len(side.facts.typed) for side in found.sides)
    lines = [f"nas report {side.facts.typed:<{width}}   # {side.label}: all about it" for side in found.sides]
    places = " ".join(side.facts.typed for side in found.sides)
    lines.append(f"nas report {places} --reward none   # by {in_words(found.objective)} alone")
    return tag("pre", "\n".join(lines))
