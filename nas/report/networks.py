"""Networks of a page: their stages, curves and YAML as numbers and text, and the panel that shows one.

Each stage that occurs is in the page once, as a table shows it and as a line of YAML; a trial is a list of
numbers of stages. `networks.js` puts them together.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nas.report.diagram import kernel_picture
from nas.report.markup import Markup, tag
from search_spaces.networks.architecture import Architecture, Stage
from search_spaces.networks.ops import OWN, activation_words, op_facts
from search_spaces.networks.stage_fields import ABSENT, SILU
from search_spaces.settings.json_text import json_value
from search_spaces.settings.yaml_layout import laid_out
from trials.log.rows import architecture_json

SCRIPT = Path(__file__).parent / "networks.js"
MOST_CURVES = 3_000  # trials whose curves the page holds: the best
MOST_VALUES = 60_000  # of all their epochs: recipes may be long
CURVE_DIGITS = 5
Cells = tuple[str | int | bool, ...]
STAGE_FIELDS = tuple(field.name for field in fields(Stage))
OUTSIDE = tuple(f.name for f in fields(Architecture) if f.name not in ("stages", "provenance"))


@dataclass(frozen=True)
class NumberedNetworks:
    """The networks of trials by numbers.

    Attributes:
        cells: of each different stage, see `cells_of`.
        lines: of each, its line of YAML.
        stages: for each trial the numbers of its stages.
        outsides: each different rest of an architecture, its stem and head, as YAML.
        outside: for each trial the number of that.
        reference: numbers of the reference network's stages.
    """

    cells: list[Cells]
    lines: list[str]
    stages: list[list[int]]
    outsides: list[str]
    outside: list[int]
    reference: list[int]


def numbered_networks(trials: pd.DataFrame, reference: Architecture) -> NumberedNetworks:
    """The networks of these trials, and the reference's."""
    codes, texts = pd.factorize(trials["architecture"])
    found = [*map(json_value, texts), json_value(architecture_json(reference))]
    stages, outsides = _Numbers(), _Numbers()
    by_network = [[stages.number(stage) for stage in each["stages"]] for each in found]
    rests = [outsides.number({name: each[name] for name in OUTSIDE if name in each}) for each in found]
    in_order = [{name: stage[name] for name in STAGE_FIELDS if name in stage} for stage in stages.values]
    return NumberedNetworks(
        cells=[_cells(stage) for stage in in_order],
        lines=laid_out({"stages": in_order}).splitlines()[1:],  # aligned over all of them
        stages=[by_network[code] for code in codes.tolist()],
        outsides=[laid_out(outside) for outside in outsides.values],
        outside=[rests[code] for code in codes.tolist()],
        reference=by_network[-1],
    )


class _Numbers:
    """Numbers of plain values, in the order in which they come, and the values."""

    def __init__(self) -> None:
        self.values: list[dict[str, Any]] = []
        self._known: dict[str, int] = {}

    def number(self, value: dict[str, Any]) -> int:
        """The number of a value, the next one of a new one."""
        key = json.dumps(value, sort_keys=True)
        if key not in self._known:
            self._known[key] = len(self.values)
            self.values.append(value)
        return self._known[key]


def cells_of(stage: Stage) -> Cells:
    """A stage as the page shows it."""
    return _cells({name: getattr(stage, name) for name in STAGE_FIELDS})


def _cells(stage: Mapping[str, Any]) -> Cells:
    """A stage as the page shows it: words of its columns, number of layers, whether the op mixes channels."""
    op, squeeze = stage["op"], stage["se_ratio"]
    facts, activation = op_facts(op), activation_words(op, stage.get("activation"))
    return (
        facts.name if activation in (SILU, OWN) else f"{facts.name} {activation}",
        kernel_picture(stage["kernel_size"], stage.get("start_kernel_size", ABSENT)),
        stage["stride"],
        f"{stage['expansion_ratio']:g}",
        stage["channels"],
        f"{squeeze:g}" if squeeze else "–",
        stage["layers"],
        facts.has_full_convolution,
    )


def curves_of(trials: pd.DataFrame, names: Iterable[str]) -> list[list[list[float]]]:
    """Values by epoch of each named column, for each trial; empty beyond the best that the page holds.

    Args:
        trials: with rewards, by which the best are chosen.
    """
    order = np.argsort(-np.nan_to_num(trials["reward"].to_numpy(dtype=float, na_value=np.nan)), kind="stable")
    names = list(names)
    columns = [trials[name].tolist() for name in names]
    found: list[list[list[float]]] = [[[] for _ in range(len(trials))] for _ in names]
    left = MOST_VALUES
    for i in order[:MOST_CURVES].tolist():
        curves = [_curve(column[i]) for column in columns]
        left -= sum(map(len, curves))
        if left < 0:
            break
        for kept, curve in zip(found, curves, strict=True):
            kept[i] = curve
    return found


def _curve(value: Any) -> list[float]:
    """The values of a curve; nothing of one that is not there, or not finite throughout."""
    if value is None or np.isscalar(value) or value is pd.NA or not len(value):
        return []
    values = np.asarray(value, dtype=float)
    if not np.isfinite(values).all():
        return []
    return [float(f"{each:.{CURVE_DIGITS}g}") for each in values.tolist()]


# ---------------------------------------------------------------------- the panel


def panel(*, class_: str = "", is_hidden: bool = False) -> Markup:
    """Places of one network: figures, stages, curves, YAML, commands; the script fills them."""
    heads = ("", "op", "kernel", "stride", "exp.", "chan.", "SE", "layers")
    stages = tag("table", tag("thead", tag("tr", *(tag("th", head) for head in heads))), tag("tbody"))
    return tag(
        "div",
        tag("h3", class_="who", aria_live="polite"),
        tag("div", stages, class_="scroll stages"),
        tag("div", class_="curve-place"),
        tag(
            "details",
            tag("summary", "Its YAML", class_="yaml-of"),
            tag("pre", class_="yaml", tabindex=0),
            _copy("copy the YAML", of="yaml"),
        ),
        tag("pre", class_="commands", tabindex=0),
        _copy("copy the commands", of="commands"),
        class_=f"network {class_}".strip(),
        hidden="hidden" if is_hidden else None,
    )


def _copy(words: str, *, of: str) -> Markup:
    return tag("button", words, type="button", class_="copy", data_copies=of)


def script() -> Markup:
    """The script of the panels."""
    return Markup(SCRIPT.read_text(encoding="utf-8"))
