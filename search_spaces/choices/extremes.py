"""The choices of a space with the fewest and with the most parameters."""

from itertools import product
from typing import Any, Literal

from search_spaces.choices.choice_space import Choices
from search_spaces.choices.costs import SpaceCosts
from search_spaces.choices.factorized import FactorizedSpace
from search_spaces.choices.stage_rows import Form, StageRows
from search_spaces.networks.ops import op_facts
from search_spaces.networks.provenance import DEFAULT_RESOLUTION

Size = Literal["smallest", "largest"]
MAX_WIDTHS = 5  # options of channels up to which each is tried where middle ones may be the best
SURELY_EXPANDS = 2  # a ratio from which no number of channels rounds to itself


def extreme_choices(space: FactorizedSpace, size: Size) -> Choices:
    """The choices with the fewest or the most parameters, for any number of classes.

    Dynamic programming over the stages, as in `SpaceCosts.least`: for each number of channels the best of
    the stages so far that end with it. Among equals the lexicographically smallest choices. Options that
    cannot be the best are not tried. Where some op's blocks need a convolution beside them between unequal
    channels, middle options of channels may be the best; of stages with more than MAX_WIDTHS only the fewest
    and the most are tried, and the result may be a little off.
    """
    costs = SpaceCosts(space, num_classes=1, resolution=DEFAULT_RESOLUTION)
    sign = 1 if size == "smallest" else -1
    all_widths = any(_projects_shortcut(form) for rows in space.rows for form in rows.forms)
    best: dict[int, tuple[int, Choices]] = {space.stem_channels: (0, ())}
    for index, rows in enumerate(space.rows):
        candidates = _candidates(rows, size, all_widths=all_widths)
        after: dict[int, tuple[int, Choices]] = {}
        for before, (params, choices) in best.items():
            for row in candidates:
                figures, channels = costs.stage(index, row, before)
                found = params + sign * figures.params, choices + row
                after[channels] = min(found, after.get(channels, found))
        best = after
    whole = ((params + sign * costs.ends(last).params, choices) for last, (params, choices) in best.items())
    return min(whole)[1]


def _candidates(rows: StageRows, size: Size, *, all_widths: bool) -> list[Choices]:
    """The rows of a stage among which the best one is, for any channels before and after it."""
    found = [rows.absent] if rows.can_vanish else []
    for form in _candidate_forms(rows, size):
        kept = []
        for name, options in zip(rows.fields, form.options, strict=True):
            values = {i: rows.offered.options(name)[i] for i in options}
            wanted = _wanted(name, list(values.values()), size, all_widths=all_widths)
            kept.append([i for i, value in values.items() if value in wanted])
        found += product(*kept)
    return found


def _candidate_forms(rows: StageRows, size: Size) -> list[Form]:
    """The form with the smallest or largest kernel, of forms that differ in that size alone."""
    best: dict[tuple[object, ...], Form] = {}
    for form in rows.forms:
        op, kernel, start = form.built
        alike = (form.op, op, bool(kernel), bool(start))
        known = best.setdefault(alike, form).built
        is_smaller = (kernel, start) < (known.kernel_size, known.start_kernel_size)
        if is_smaller == (size == "smallest"):
            best[alike] = form
    return list(best.values())


def _wanted(name: str, values: list[Any], size: Size, *, all_widths: bool) -> set[Any]:
    """The options of a field that may be the best row's."""
    if name == "activation":
        return {values[0]}  # no activation has parameters
    if name in ("layers", "se_ratio"):
        return {min(values) if size == "smallest" else max(values)}
    if name == "expansion_ratio":
        # Parameters grow or shrink with it, but where it rounds to 1 and a convolution is missing.
        small = {value for value in values if value < SURELY_EXPANDS}
        return small | {min(set(values) - small, default=values[0]), max(values)}
    if name == "channels" and not (all_widths and len(values) <= MAX_WIDTHS):
        return {min(values), max(values)}
    return set(values)


def _projects_shortcut(form: Form) -> bool:
    """True if blocks have a convolution beside them where input and output channels differ."""
    facts = op_facts(form.op)
    return facts.narrows or facts.widens_output
