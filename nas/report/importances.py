"""Importance of each decision, beside the effects of its options: a picture of PED-ANOVA's shares."""

from collections.abc import Sequence

from analysis.frame import floats
from analysis.numbers import counted, percent
from analysis.pictures import STRONGEST
from analysis.ranking import searched
from nas.report.axes import BOTTOM, RIGHT, TOP, WIDTH, Scale, picture, x_axis
from nas.report.facts import RunFacts
from nas.report.markup import Markup, figure, tag

ROW = 21.0
LEFT_OF_BARS = 190.0
HALF = 6.0  # of a bar's height
FIELD_NAMES = {
    "op": "op",
    "kernel_size": "kernel",
    "stride": "stride",
    "expansion_ratio": "expansion",
    "channels": "channels",
    "layers": "layers",
    "se_ratio": "squeeze",
    "activation": "activation",
    "start_kernel_size": "start kernel",
    "stem_channels": "stem channels",
    "head_channels": "head channels",
}


def importances(facts: RunFacts) -> Markup | None:
    """The decisions that matter most for being among the best; None where trials are too few to say so."""
    from nas.results.optuna_importance import decision_importances

    rows = searched(facts.trials)
    found = decision_importances(rows["choices"].tolist(), floats(rows, "reward"), facts.config.space)
    if found is None:
        return None
    shown = [
        (f"stage {each.stage} {FIELD_NAMES.get(each.field, each.field)}", each.share)
        for each in found.decisions[:STRONGEST]
    ]
    of = f" of {counted(found.trials, 'trial')}, drawn of {len(rows):,}" if found.trials < len(rows) else ""
    return figure(
        _picture(shown),
        f"Importance of decisions by PED-ANOVA (Optuna){of}: how far the best tenth's choices differ from "
        f"those of all trials, as a share of all {counted(len(found.decisions), 'decision')}. It says "
        "which decisions matter for being among the best, not which option is better; interactions are in "
        "none of it. Luck makes shares unequal also where no decision matters.",
    )


def _picture(shown: Sequence[tuple[str, float]]) -> Markup:
    height = TOP + BOTTOM + ROW * len(shown)
    x = Scale(0.0, max(share for _, share in shown) * 1.05, LEFT_OF_BARS, WIDTH - RIGHT)
    parts = [x_axis(x, "importance (shares of 1)", height=height, left=LEFT_OF_BARS)]
    for i, (words, share) in enumerate(shown):
        y = TOP + 11 + ROW * i
        parts.append(tag("text", words, class_="label", x=LEFT_OF_BARS - 10, y=y + 4.5, text_anchor="end"))
        bar = {"x": LEFT_OF_BARS, "y": y - HALF, "width": x(share) - LEFT_OF_BARS, "height": 2 * HALF}
        title = tag("title", f"{words}: {percent(share, digits=1)}")
        parts.append(tag("rect", title, class_="solid c3", tabindex=0, **bar))
    return picture(*parts, label="importance of decisions", height=height)
