"""The largest member of a family within a budget: bisection over phi, step times predicted, then verified."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nas.scaling.compound import Member, Rules, by_formula
from nas.scaling.factors import Formula
from nas.scaling.steps import Step, StepTable
from search_spaces.settings.config_error import ConfigError
from trials.recipe_stages import steps_of_epoch

LOWEST_PHI, HIGHEST_PHI = -20.0, 20.0
PRECISION = 1e-4  # of phi: 0.003 % of the MACs
MAX_MEASUREMENTS = 8
UNITS = {
    "params": "parameters",
    "macs": "MACs",
    "step_time_ratio": "x the base's step time",
    "hours": "hours",
}


@dataclass(frozen=True, kw_only=True)
class Training:
    """Length of a member's training, for its hours on one device."""

    epochs: int
    images: int
    batch_size: int = 1  # that of the measured step

    def hours(self, step_seconds: float) -> float:
        """Hours of training steps alone at a constant resolution, without data and evaluation."""
        return self.epochs * steps_of_epoch(self.images, self.batch_size) * step_seconds / 3600


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The most that a member may cost; None: any. Step times are ratios to the base's."""

    params: float | None = None
    macs: float | None = None  # at the inference resolution
    step_time_ratio: float | None = None
    hours: float | None = None
    training: Training | None = None  # with hours

    def __post_init__(self) -> None:
        for name, limit in self.limits.items():
            if not (math.isfinite(limit) and limit > 0):
                option = name.replace("_", "-")
                raise ConfigError(f"--{option}: {limit:g} is no budget; a finite number above 0 is expected")
        assert self.hours is None or self.training is not None, "hours of no training"

    @property
    def limits(self) -> dict[str, float]:
        """Limits that are set, by quantity."""
        return {name: value for name in UNITS if (value := getattr(self, name)) is not None}

    @property
    def needs_step_time(self) -> bool:
        """True where step time or hours are limited, which have to be measured."""
        return self.step_time_ratio is not None or self.hours is not None


def budgets_of(
    limits: Mapping[str, Sequence[float] | None], *, epochs: int | None, images: int | None
) -> tuple[Budget, ...]:
    """A budget of all limits; where one of them has several values, a budget for each.

    Raises:
        ConfigError: two have several values, or hours and the length of a training come without each other.
    """
    given = {name: tuple(values) for name, values in limits.items() if values}
    several = [name for name, values in given.items() if len(values) > 1]
    if len(several) > 1:
        options = " and ".join(f"--{name.replace('_', '-')}" for name in several)
        raise ConfigError(f"{options} have several values each; one of the budgets may be repeated")
    of_hours = {"--hours": "hours" in given, "--epochs": epochs is not None, "--images": images is not None}
    if any(of_hours.values()) and not all(of_hours.values()):
        typed = " and ".join(option for option, is_given in of_hours.items() if is_given)
        missing = " and ".join(option for option, is_given in of_hours.items() if not is_given)
        raise ConfigError(
            f"{typed} given without {missing}: a budget of hours needs the epochs of the training and the "
            "images of an epoch; give --hours, --epochs and --images, or none of them"
        )
    training = None
    if epochs is not None and images is not None:
        training = Training(epochs=epochs, images=images)
    if not given:
        return ()
    varied = several[0] if several else next(iter(given))
    fixed = {name: values[0] for name, values in given.items() if name != varied}
    return tuple(Budget(**{varied: value}, **fixed, training=training) for value in given[varied])


@dataclass(frozen=True, kw_only=True)
class Solution:
    """The largest member within a budget.

    `binds` are the quantities that the next larger member would exceed; none: it is the largest there is.
    """

    member: Member
    budget: Budget
    figures: Mapping[str, float]  # by quantity of the budget
    binds: tuple[str, ...]
    step: Step | None = None
    predicted_ratio: float | None = None  # before it was measured itself
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Problem:
    base: Member
    formula: Formula
    rules: Rules
    budget: Budget
    table: StepTable | None
    members: dict[float, Member] = field(default_factory=dict)

    def member(self, phi: float) -> Member:
        if phi not in self.members:
            self.members[phi] = by_formula(self.base, phi, self.formula, self.rules)
        return self.members[phi]

    def possible(self, phi: float) -> Member | None:
        """The member of that phi; None where factors are too large or too small for a network."""
        try:
            return self.member(phi)
        except ConfigError:
            return None

    def figures(self, member: Member) -> dict[str, float]:
        """Costs by limited quantity; step times that were not measured are predicted."""
        budget, table = self.budget, self.table
        figures: dict[str, float] = {"params": member.params, "macs": member.macs}
        if budget.needs_step_time and table is not None:
            figures["step_time_ratio"] = table.predicted_ratio(member)
        if budget.training is not None and table is not None and budget.hours is not None:
            seconds = figures["step_time_ratio"] * table.base_step().seconds
            figures["hours"] = budget.training.hours(seconds)
        return {name: figures[name] for name in budget.limits}

    def exceeded(self, member: Member) -> tuple[str, ...]:
        limits = self.budget.limits
        return tuple(name for name, value in self.figures(member).items() if value > limits[name])

    def fits(self, phi: float) -> bool:
        """True where the member exists and no limit is exceeded."""
        member = self.member(phi) if phi <= 0 else self.possible(phi)
        return member is not None and not self.exceeded(member)


def solve(
    base: Member, formula: Formula, rules: Rules, budget: Budget, *, table: StepTable | None = None
) -> Solution:
    """The member with the largest phi within the budget.

    1. The lowest phi of which there is a network is found (`lowest_phi`).
    2. From 0 upwards phi grows by doubling steps until a member exceeds the budget; bisection between the
       last two finds the boundary (`_boundary`). Parameters and MACs are counted, step times predicted from
       members measured so far, the base first.
    3. Where step times count, the member at the boundary and the next larger one are measured, and 2 is
       repeated with what was measured until both confirm the boundary (`_verified`).
    4. The found member is given by the phi with the fewest decimals that builds it (`_simplest`).

    Raises:
        ConfigError: no member meets the budget, or the budget limits nothing.
    """
    if not budget.limits:
        raise ConfigError("a budget limits something: --params, --macs, --step-time-ratio or --hours")
    assert table is not None or not budget.needs_step_time, "step times need somebody to measure them"
    problem = _Problem(base, formula, rules, budget, table)
    lowest = lowest_phi(base, formula, rules)
    if not budget.needs_step_time or table is None:
        low, high = _boundary(problem, lowest)
        return _solution(problem, low, high)
    return _verified(problem, table, lowest)


def lowest_phi(base: Member, formula: Formula, rules: Rules) -> float:
    """The smallest phi whose images are not below the total stride, to PRECISION."""
    problem = _Problem(base, formula, rules, Budget(), None)
    if problem.possible(LOWEST_PHI) is not None:
        return LOWEST_PHI
    return _bisected(lambda phi: problem.possible(phi) is not None, 0.0, LOWEST_PHI)


def _boundary(problem: _Problem, lowest: float) -> tuple[float, float | None]:
    """The largest phi that fits, and one just above that does not (None: all fit)."""
    if not problem.fits(lowest) and not (_measured(problem, lowest) and problem.fits(lowest)):
        raise ConfigError(_unmet(problem, lowest))
    # Bracket: the base fits and steps double upwards, or it does not and the boundary is below.
    low, high, step = lowest, None, 1.0
    start = max(0.0, lowest)
    if problem.fits(start):
        low = start
        while high is None and low < HIGHEST_PHI:
            above = min(low + step, HIGHEST_PHI)
            low, high = (above, None) if problem.fits(above) else (low, above)
            step *= 2
    else:
        high = start
    # Bisect.
    if high is None:
        return low, None
    low = _bisected(problem.fits, low, high)
    return low, low + PRECISION


def _bisected(holds: Callable[[float], bool], true: float, false: float) -> float:
    """A place where it holds, within PRECISION of one where it does not."""
    while abs(false - true) > PRECISION:
        middle = (true + false) / 2
        true, false = (middle, false) if holds(middle) else (true, middle)
    return true


def _measured(problem: _Problem, phi: float) -> bool:
    """Measures a member whose predicted step time is too long, so that no prediction alone refuses it."""
    if problem.table is None:
        return False
    problem.table.of(problem.member(phi))
    return True


def _verified(problem: _Problem, table: StepTable, lowest: float) -> Solution:
    """The solution whose step time, and that of the next larger member, were measured."""
    table.base_step()
    predictions: list[tuple[Member, float]] = []
    low, high = _boundary(problem, lowest)
    for _ in range(MAX_MEASUREMENTS):
        # Measure the boundary's member, or else the one above it; stop where both are known.
        candidate = problem.member(low)
        if table.known(candidate) is not None:
            above = None if high is None else problem.possible(high)
            if above is None or table.known(above) is not None:
                break
            candidate = above  # only predicted to be too slow
        # Every measurement changes the predictions, and may move the boundary.
        predictions.append((candidate, table.predicted_ratio(candidate)))
        table.of(candidate)
        low, high = _boundary(problem, lowest)
    else:
        low, high = _largest_measured(problem, table), high
    found = problem.member(low)
    predicted = next((ratio for member, ratio in predictions if member.builds_the_same(found)), None)
    solution = _solution(problem, low, high)
    return replace(solution, step=table.known(found), predicted_ratio=predicted, notes=tuple(table.notes()))


def _largest_measured(problem: _Problem, table: StepTable) -> float:
    """The largest measured member that fits, for predictions that never settle."""
    fitting = [m.phi for m, _ in table.measured if m.phi is not None and not problem.exceeded(m)]
    if not fitting:
        raise ConfigError(
            f"no member was measured within the budget after {MAX_MEASUREMENTS} measurements; step times "
            "here scatter too much: measure on a quieter machine, or limit --params or --macs"
        )
    return max(fitting)


def _solution(problem: _Problem, low: float, high: float | None) -> Solution:
    member = _simplest(problem, low)
    return Solution(
        member=member,
        budget=problem.budget,
        figures=problem.figures(member),
        binds=_binding(problem, high),
    )


def _binding(problem: _Problem, high: float | None) -> tuple[str, ...]:
    """Limits that the next larger member exceeds; none where there is no larger one."""
    larger = None if high is None else problem.possible(high)
    return () if larger is None else problem.exceeded(larger)


def _simplest(problem: _Problem, phi: float) -> Member:
    """The member under the phi with the fewest decimals: rounding gives each member an interval of phi."""
    found = problem.member(phi)
    for decimals in range(5):
        short = math.floor(phi * 10**decimals) / 10**decimals
        member = problem.possible(short)
        if member is not None and member.builds_the_same(found):
            return member
    return found


def _unmet(problem: _Problem, lowest: float) -> str:
    smallest = problem.member(lowest)
    lines = [
        f"--{name.replace('_', '-')} {problem.budget.limits[name]:,.6g}: no member of the family meets it; "
        f"the smallest (phi {lowest:.2f}, {smallest.inference_resolution} px) has {value:,.6g} {UNITS[name]}"
        for name, value in problem.figures(smallest).items()
        if name in problem.exceeded(smallest)
    ]
    return "\n".join(lines) + "; raise the budget, or scale another base"
