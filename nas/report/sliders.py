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
from nas.measuring.retarget import ratios_by_device
from nas.report.axes import HEIGHT, WIDTH, Scale, picture, x_axis, x_scale, y_axis, y_scale
from nas.report.facts import TERM_NAMES, RunFacts
from nas.report.front import AXES, focused
from nas.report.markup import Markup, tag
from nas.report.networks import curves_of, numbered_networks, panel
from nas.report.networks import script as networks_script
from search_spaces.settings.sentences import one_line
from trials.objective import CURVES, in_words
from trials.reward import WEIGHTED_PRODUCT, Reward

SCRIPT = Path(__file__).parent / "sliders.js"
OBJECTIVE = "objective"  # the key of its values, and of the limit below which it must not be
OFFERED = ("step_time_ratio", "params", "macs")  # exponents to choose, besides the search's own
LIMITS = {"step_time_ratio": "step time at most", "params": "parameters at most", OBJECTIVE: "at least"}
STEP = 0.005  # of an exponent's slider
STEEPEST = -0.5  # exponent of a slider's end, unless the search's own is beyond
LIMIT_STEPS = 200  # of a limit's slider
DIGITS = 7  # significant ones of what is measured


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
            tag("div", panel(), _best(words), class_="figures"),
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
    networks = numbered_networks(trials, facts.config.space.reference)
    devices = {} if facts.device else ratios_by_device(facts.folder)
    columns = {CURVES[facts.config.objective]: on_minival(in_words(facts.config.objective))}
    columns |= {"train_loss": "training loss"}
    curves = zip(columns.values(), curves_of(trials, columns), strict=True)
    return {
        "terms": [asdict(term) for term in terms],
        "ratios": [_short(ratio(trials, term.name)) for term in terms],
        "trial": trials["trial_id"].astype(int).tolist(),
        OBJECTIVE: _short(objective_values(trials)),
        "objective_words": in_words(facts.config.objective),
        "step_time_ratio": _short(floats(trials, "step_time_ratio")),
        "params": trials["params"].astype(int).tolist(),
        "stages": networks.cells,
        "lines": networks.lines,
        "architecture": networks.stages,
        "outsides": networks.outsides,
        "outside": networks.outside,
        "reference": networks.reference,
        "curves": [{"words": words, "values": values} for words, values in curves],
        "devices": [_device(name, trials["architecture_id"].map(ratios)) for name, ratios in devices.items()],
        "run": facts.typed,
        "name": one_line(facts.name),
        "options": f" --device {quote(facts.device)}" if facts.device else "",
    }


def _device(name: str, ratios: pd.Series) -> dict[str, Any]:
    """The trials whose networks were timed on a device, as indices, and their ratios."""
    known = np.flatnonzero(ratios.notna())
    return {
        "name": name,
        "option": quote(name),
        "trials": known.tolist(),
        "ratios": _short(ratios.to_numpy(dtype=float)[known]),
    }


def _short(values: np.ndarray) -> list[float]:
    """The values with as many digits as a measurement has, so that ten thousand trials stay a small page."""
    return [float(f"{value:.{DIGITS}g}") for value in values.tolist()]


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
        "canvas", tabindex=0, width=int(2 * WIDTH), height=int(2 * HEIGHT), role="img",
        aria_label=f"{objective} against {AXES[name]}, a point for each trial; the table below has the best",
    )  # fmt: skip
    caption = (
        "Rings: Pareto front within the limits. Choose a point to see its network; with the keyboard, left "
        "and right go along the front, up and down through the ranking."
    )
    return tag("figure", tag("div", axes, canvas, class_="plot"), tag("figcaption", caption))


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
    """The script of the sliders, and of the networks that they show."""
    return Markup(networks_script() + SCRIPT.read_text(encoding="utf-8"))
