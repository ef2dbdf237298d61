"""The paper's grid: formulas with which MACs double, as candidates to train and compare."""

import itertools
from dataclasses import replace

from nas.scaling.compound import Member, Rules, by_formula
from nas.scaling.factors import Formula
from search_spaces.settings.config_error import ConfigError

TARGET = 2.0  # alpha * beta^2 * gamma^2: MACs double with each step of phi (EfficientNet, section 3.3)
TOLERANCE = 0.05  # the paper's own choice, 1.2, 1.1 and 1.15, gives 1.92
ALPHA_SPACING, SPACING = 0.1, 0.05


def grid_formulas() -> list[Formula]:
    """Alpha, beta and gamma on a grid, alpha * beta^2 * gamma^2 within TOLERANCE of TARGET."""

    def values(most: float, spacing: float) -> list[float]:
        return [round(1 + spacing * i, 4) for i in range(int((most - 1) / spacing + 1e-9) + 1)]

    most = TARGET * (1 + TOLERANCE)
    each = (values(most, ALPHA_SPACING), *[values(most**0.5, SPACING)] * 2)
    formulas = (Formula(*point) for point in itertools.product(*each) if point != (1.0, 1.0, 1.0))
    return [f for f in formulas if abs(f.macs_factor / TARGET - 1) <= TOLERANCE + 1e-9]


def grid_members(base: Member, rules: Rules) -> list[Member]:
    """The base at phi 1 by each formula of the grid; of those that round to one network, the first.

    The nearest to twice the base's MACs come first: rounding moves small networks far from the formula's
    factor. Formulas whose images would pass V2's bound are left out, since their MACs do not double.

    Raises:
        ConfigError: no formula is left.
    """
    members: list[Member] = []
    for formula in grid_formulas():
        name = f"a{formula.alpha:g}-b{formula.beta:g}-g{formula.gamma:g}"
        member = replace(by_formula(base, 1.0, formula, rules), name=name)
        if not member.is_capped and not any(member.builds_the_same(other) for other in members):
            members.append(member)
    if not members:
        raise ConfigError("--grid: no formula doubles the MACs below V2's bound of inference; try --v1")
    return sorted(members, key=lambda member: abs(member.macs / base.macs - TARGET))
