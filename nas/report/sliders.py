"""A trade-off of the reader's own: sliders for exponents and limits, which the page itself computes.

The page holds every trial that may win as numbers. `sliders.js` computes rewards, limits, winner and Pareto
front from them; here the numbers, the controls and the axes are written. Without JavaScript the controls are
hidden, and the sections around them say what they always did.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import pandas as pd

from analysis.frame import floats, objective_values
from analysis.pictures import on_minival
from analysis.ranking import ratio, searched
from analysis.stages import stages_of
from nas.measuring.retarget import ratios_by_device
from nas.report.axes import HEIGHT, WIDTH, Scale, picture, x_axis, x_scale, y_axis, y_scale
from nas.report.diagram import kernel_picture
from nas.report.facts import TERM_NAMES, RunFacts
from nas.report.front import AXES, focused
from nas.report.markup import Markup, tag
from search_spaces.networks.architecture import Architecture, Stage
from search_spaces.networks.ops import OWN, activation_words, op_facts
from search_spaces.networks.stage_fields import ABSENT, SILU
from trials.objective import CURVES, in_words
from trials.reward import WEIGHTED_PRODUCT, Reward

SCRIPT = Path(__file__).parent / "sliders.js"
OBJECTIVE = "objective"  # the key of its values, and of the limit below which it must not be
OFFERED = ("step_time_ratio", "params", "macs")  # exponents to choose, besides the search's own
LIMITS = {"step_time_ratio": "step time at most", "params": "parameters at most", OBJECTIVE: "at least"}
STEP = 0.005  # of an exponent's slider
STEEPEST = -0.5  # exponent of a slider's end, unless the search's own is beyond
NUMBERS = ("kernel_size", "stride", "expansion_ratio", "channels", "layers")  # fields of a stage
Cells = tuple[str | int | bool, ...]
LIMIT_STEPS = 200  # of a limit's slider
DIGITS = 7  # significant ones of what is measured
MOST_CURVES = 3_000  # trials whose accuracies by epoch the page holds


@dataclass(frozen=True, kw_only=True)
class _Term:
    """A factor of the reward: its exponent in the search, and the range of its slider."""

    name: str
    words: str
    exponent: float
    lowest: float
    highest: float


def sliders_section(facts: RunFacts) -> Markup:
    """Sliders, and what they choose; a sentence where there is nothing to choose or to compute."""
    trials = searched(facts.trials).dropna(subset=["step_time_ratio", "params"])
    trials = trials[objective_values(trials) > 0]  # no NaN either
    if len(trials) < 2:
        return tag("p", "Too few trials have completed to choose from.")
    if Reward.of is not WEIGHTED_PRODUCT:
        return tag("p", "This run has a reward of its own form, which the page cannot compute.")
    try:
        ratios = {term.name: ratio(trials, term.name) for term in _terms(facts)}
    except ValueError as error:  # a term of the user's own, which this process cannot compute
        return tag("p", f"No sliders: {error}.")
    # What is only offered goes where a trial lacks it; a term of the reward rules such a trial out.
    terms = [term for term in _terms(facts) if term.exponent or np.isfinite(ratios[term.name]).all()]
    measured = np.all([np.isfinite(ratios[term.name]) for term in terms], axis=0)
    if measured.sum() < 2:
        return tag("p", "Too few trials have all quantities of the reward.")
    trials = trials[measured]
    numbers = _numbers(facts, trials, terms)
    # Axes on which a trial has room whichever device is chosen.
    values = {name: floats(trials, name) * _unit(name) for name in AXES}
    elsewhere = [device["ratios"] for device in numbers["devices"]]
    values["step_time_ratio"] = np.concatenate([values["step_time_ratio"], *elsewhere])
    scales = {name: x_scale(found, logarithmic=True) for name, found in values.items()}
    accuracies = y_scale(focused(objective_values(trials)))
    words = in_words(facts.config.objective)
    numbers["plots"] = [
        {"name": name, "unit": _unit(name), "x": asdict(scale), "y": asdict(accuracies)}
        for name, scale in scales.items()
    ]
    plots = [_plot(name, scale, accuracies, words) for name, scale in scales.items()]
    return tag(
        "div",
        tag("p", "The sliders need JavaScript, which is off.", class_="soft without"),
        tag(
            "div",
            _controls(terms, numbers["devices"], words),
            tag("p", tag("span", class_="count", aria_live="polite"), _decided(facts), class_="soft"),
            tag("div", *plots, class_="figures"),
            tag("div", _chosen(), _best(words), class_="figures"),
            class_="live",
            hidden="hidden",
        ),
        _embedded(numbers),
        class_="sliders",
    )


def _unit(name: str) -> float:
    return 1e-6 if name == "params" else 1.0


def _terms(facts: RunFacts) -> Iterable[_Term]:
    """The reward's terms and those that are offered besides."""
    for name in dict.fromkeys([*facts.terms, *OFFERED]):
        own = facts.terms.get(name, 0.0)
        yield _Term(
            name=name,
            words=TERM_NAMES.get(name, name),
            exponent=own,
            lowest=STEP * math.floor(min(STEEPEST, 2 * own) / STEP),
            highest=STEP * math.ceil(max(0.0, 2 * own) / STEP),
        )


# ---------------------------------------------------------------------- what the script computes with


def _numbers(facts: RunFacts, trials: pd.DataFrame, terms: list[_Term]) -> dict[str, Any]:
    """The trials column by column, their stages once each, and the words of commands."""
    stages, rows, reference = _numbered_stages(trials, facts.config.space.reference)
    devices = {} if facts.device else ratios_by_device(facts.folder)
    curves = trials[CURVES[facts.config.objective]].tolist() if len(trials) <= MOST_CURVES else []
    return {
        "terms": [asdict(term) for term in terms],
        "ratios": [_short(ratio(trials, term.name)) for term in terms],
        "trial": trials["trial_id"].astype(int).tolist(),
        OBJECTIVE: _short(objective_values(trials)),
        "objective_words": in_words(facts.config.objective),
        "step_time_ratio": _short(floats(trials, "step_time_ratio")),
        "params": trials["params"].astype(int).tolist(),
        "stages": stages,
        "architecture": rows,
        "reference": reference,
        "curves": [_short(np.asarray(curve, dtype=float)) if _is_curve(curve) else [] for curve in curves],
        "devices": [_device(name, trials["architecture_id"].map(ratios)) for name, ratios in devices.items()],
        "run": facts.typed,
        "options": f" --device {quote(facts.device)}" if facts.device else "",
    }


def _numbered_stages(
    trials: pd.DataFrame, reference: Architecture
) -> tuple[list[Cells], list[list[int]], list[int]]:
    """Every stage that occurs, and the numbers of each trial's stages and of the reference's."""
    frame = stages_of(trials)
    fields = list(frame.columns.drop(["run", "trial_id", "stage"]))
    numbers = frame.groupby(fields, sort=False).ngroup().to_numpy()
    different = frame[fields].drop_duplicates().astype(object)  # in the order of their numbers
    rows = different.itertuples(index=False, name=None)
    stages = [_cells(**dict(zip(fields, row, strict=True))) for row in rows]
    of_reference = [cells_of(stage) for stage in reference.stages]
    stages += [cells for cells in of_reference if cells not in stages]
    begins = np.flatnonzero(frame["stage"] == 1)[1:]
    by_trial = [part.tolist() for part in np.split(numbers, begins)]
    return stages, by_trial, [stages.index(cells) for cells in of_reference]


def _device(name: str, ratios: pd.Series) -> dict[str, Any]:
    """The trials whose networks were timed on a device, as indices, and their ratios."""
    known = np.flatnonzero(ratios.notna())
    return {
        "name": name,
        "option": quote(name),
        "trials": known.tolist(),
        "ratios": _short(ratios.to_numpy(dtype=float)[known]),
    }


def _is_curve(value: Any) -> bool:
    is_list = value is not None and not np.isscalar(value) and len(value) > 0
    return is_list and bool(np.isfinite(np.asarray(value, dtype=float)).all())


def _short(values: np.ndarray) -> list[float]:
    """The values with as many digits as a measurement has, so that ten thousand trials stay a small page."""
    return [float(f"{value:.{DIGITS}g}") for value in values.tolist()]


def cells_of(stage: Stage) -> Cells:
    """A stage as the page shows it."""
    own = {field: getattr(stage, field) for field in ("op", *NUMBERS, "se_ratio", "start_kernel_size")}
    return _cells(**own, activation=activation_words(stage.op, stage.activation))


def _cells(
    *,
    op: str,
    kernel_size: int,
    stride: int,
    expansion_ratio: float,
    channels: int,
    layers: int,
    se_ratio: float,
    activation: str = SILU,
    start_kernel_size: int = ABSENT,
) -> Cells:
    """A stage as the page shows it: words of its columns, number of layers, whether the op mixes channels."""
    facts = op_facts(op)
    return (
        facts.name if activation in (SILU, OWN) else f"{facts.name} {activation}",
        kernel_picture(kernel_size, start_kernel_size),
        stride,
        f"{expansion_ratio:g}",
        channels,
        f"{se_ratio:g}" if se_ratio else "–",
        layers,
        facts.has_full_convolution,
    )


def _embedded(numbers: dict[str, Any]) -> Markup:
    """The numbers as JSON in which nothing can end the element or begin another."""
    text = json.dumps(numbers, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return tag("script", Markup(text), type="application/json")


# ---------------------------------------------------------------------- controls and places


def _controls(terms: list[_Term], devices: list[dict[str, Any]], objective: str) -> Markup:
    exponents = [
        _slider(
            f"exponent of {term.words}",
            kind="exponent",
            name=term.name,
            low=term.lowest,
            high=term.highest,
            step=STEP,
            value=term.exponent,
        )
        for term in terms
    ]
    limits = [
        _slider(
            f"{objective} {words}" if name == OBJECTIVE else words,
            kind="limit",
            name=name,
            low=0,
            high=LIMIT_STEPS,
            step=1,
            value=0 if name == OBJECTIVE else LIMIT_STEPS,
        )
        for name, words in LIMITS.items()
    ]
    chosen: list[Markup] = []
    if devices:
        options = [tag("option", "as in the search", value="")]
        options += [tag("option", device["name"], value=str(i)) for i, device in enumerate(devices)]
        chosen = [tag("label", tag("span", "step times of"), tag("select", *options, class_="device"))]
    reset = tag("button", "as in the search", type="button", class_="reset")
    return tag("form", *exponents, *limits, *chosen, reset, class_="controls", autocomplete="off")


def _slider(
    words: str, *, kind: str, name: str, low: float, high: float, step: float, value: float
) -> Markup:
    """A slider with its name and, filled in by the script, its value."""
    return tag(
        "label",
        tag("span", words, " ", tag("output")),
        tag(
            "input", type="range", data_kind=kind, data_name=name,
            min=f"{low:g}", max=f"{high:g}", step=f"{step:g}", value=f"{value:g}",
        ),
    )  # fmt: skip


def _plot(name: str, x: Scale, y: Scale, objective: str) -> Markup:
    """The axes; the script draws the trials on the canvas above them."""
    axes = picture(x_axis(x, AXES[name]), y_axis(y, on_minival(objective)), label=f"axes: {AXES[name]}")
    canvas = tag(
        "canvas", width=int(2 * WIDTH), height=int(2 * HEIGHT), role="img",
        aria_label=f"{objective} against {AXES[name]}, a point for each trial; the table below has the best",
    )  # fmt: skip
    caption = "Rings: Pareto front within the limits. Choose a point to see its network."
    return tag("figure", tag("div", axes, canvas, class_="plot"), tag("figcaption", caption))


def _chosen() -> Markup:
    """Places of one network: figures, stages, curve, commands."""
    heads = ("", "op", "kernel", "stride", "exp.", "chan.", "SE", "layers")
    stages = tag("table", tag("thead", tag("tr", *(tag("th", head) for head in heads))), tag("tbody"))
    return tag(
        "div",
        tag("h3", class_="who", aria_live="polite"),
        tag("div", stages, class_="scroll stages"),
        tag("div", class_="curve-place"),
        tag("pre", class_="commands"),
        tag("button", "copy the commands", type="button", class_="copy"),
    )


def _decided(facts: RunFacts) -> str:
    """A sentence that names the winner decided by finalists' trainings; empty where there is none."""
    if facts.headline is None or not facts.standings or facts.changed:
        return ""
    return f". The search has decided by its finalists' own trainings for trial {facts.headline.trial_id}."


def _best(objective: str) -> Markup:
    heads = ("", objective, "step time", "parameters", "reward")
    rows = tag("table", tag("thead", tag("tr", *(tag("th", head) for head in heads))), tag("tbody"))
    note = (
        "Of one training each, in which the luckiest is first: train the best again before you decide, as "
        "nas compare does."
    )
    return tag(
        "div",
        tag("h3", "The ten best"),
        tag("div", rows, class_="scroll best"),
        tag("p", note, class_="soft"),
    )


def script() -> Markup:
    """The script of the sliders."""
    return Markup(SCRIPT.read_text(encoding="utf-8"))
