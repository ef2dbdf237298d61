"""The screen of simulated searches: strategies by budget, and which would have done best."""

from collections.abc import Callable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.numbers import counted, duration
from nas.simulation.comparison import Advice, AtBudget, Comparison, TableOutcomes
from search_spaces.settings.sentences import one_line

TRUSTED_TAU = 0.5  # below it a model knows little more than chance about two trials of similar reward


def simulate_screen(comparison: Comparison) -> RenderableType:
    """The rewards and regrets of each strategy with 95 % intervals; fits 80 columns."""
    outcomes = comparison.outcomes
    lines: list[RenderableType] = [
        Text(
            f"{one_line(comparison.source.name)}: {outcomes.architectures:,} architectures, "
            f"{outcomes.decisions} decisions",
            style="bold",
        ),
        *map(Text, _outcome_lines(comparison)),
        Text(
            f"{comparison.seeds} searches of {comparison.trials:,} trials each, "
            f"{counted(comparison.workers, 'worker')}"
        ),
        Text("\nreward of the best so far", style="italic"),
        _table(comparison, lambda at: at.reward),
        Text(f"\nregret: below {_best(comparison)}", style="italic"),
        _table(comparison, lambda at: at.regret),
        Text(""),
        *map(Text, _conclusion(comparison)),
        Text(str(comparison.picture)),
    ]
    return Group(*lines)


def _outcome_lines(comparison: Comparison) -> list[str]:
    terms = "".join(f" * {name}^{exponent:g}" for name, exponent in comparison.reward.items())
    lines = [f"reward: accuracy{terms}"]
    outcomes = comparison.outcomes
    if isinstance(outcomes, TableOutcomes):
        shown = [
            f"{role} {names[0] if len(names) == 1 else f'{names[0]}..{names[-1]}'}"
            for role, names in outcomes.columns.items()
        ]
        return [*lines, f"columns: {', '.join(shown)}"]
    model = outcomes.model
    tau = model.kendall_tau
    parts = ", ".join(f"{name} {_tau(value)}" for name, value in tau.items() if name != "reward")
    lines.append(
        f"outcomes: a model of {model.rows} trials; its leave-one-out Kendall tau "
        f"{_tau(tau['reward'])}\n          ({parts})"
    )
    if tau["reward"] is None or tau["reward"] < TRUSTED_TAU:
        lines.append("          it ranks them poorly: take what follows as a hint, or search longer first")
    return lines


def _tau(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _table(comparison: Comparison, value: Callable[[AtBudget], float]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("strategy")
    for budget in next(iter(comparison.strategies.values())).at:
        table.add_column(f"at {budget:,}", justify="right")
    for name, strategy in comparison.strategies.items():
        table.add_row(name, *(_cell(value(at), at.half_width) for at in strategy.at.values()))
    return table


def _best(comparison: Comparison) -> str:
    whose = "the best of all" if comparison.best_is_known else "the best that any search found"
    return f"{comparison.best_reward:.4f}, {whose}"


def _cell(value: float, half_width: float | None) -> str:
    return f"{value:.4f}" if half_width is None else f"{value:.4f} ±{half_width:.4f}".replace("±0.", "±.")


def _conclusion(comparison: Comparison) -> list[str]:
    times = [f"{name} {_time(each.simulated_seconds)}" for name, each in comparison.strategies.items()]
    lines = [f"time of a search: {', '.join(times)}"]
    return lines if comparison.advice is None else [_advice(comparison, comparison.advice), *lines]


def _advice(comparison: Comparison, advice: Advice) -> str:
    """One sentence: which strategy would have done best, by how much, and how sure that is."""
    best, apart, half_width = advice.best, advice.difference, advice.half_width
    over = f"{advice.over}, with which it was searched" if advice.over_is_the_runs else advice.over
    both = f"{best} and {over}{',' if advice.over_is_the_runs else ''}"
    if half_width is None:
        found = f"{both} are equal" if not apart else f"{best} is {_difference(apart)} above {over}"
        return f"In this one search {found}: --seeds 20 tells more."
    is_table = isinstance(comparison.outcomes, TableOutcomes)
    where = "on this table" if is_table else "by this log's model"
    at = f"At {comparison.trials:,} trials"
    found = f"{_difference(apart)} ±{_difference(half_width)} (95 %, paired)"
    if not apart and not half_width:
        return f"{at} {both} are equal {where}: the same reward in each of {comparison.seeds} searches."
    if apart <= half_width:
        return f"{at} {both} cannot be told apart {where}: {found} between them; more --seeds tell more."
    return f"{at} {best} would do best {where}: {found} above {over}."


def _difference(value: float) -> str:
    """A difference of rewards with as many digits as it needs not to look like none."""
    return f"{value:.4f}" if value == 0 or value >= 5e-5 else f"{value:.1g}"


def _time(seconds: float) -> str:
    """A duration; a table's may be in another unit than seconds, of which huge ones are no durations."""
    return duration(seconds) if seconds < 1e7 else f"{seconds:.3g} s"
