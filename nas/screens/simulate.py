"""The screen of simulated searches: strategies by budget, and which would have done best."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.numbers import duration

TRUSTED_TAU = 0.5  # below it a model knows little more than chance about two trials of similar reward


def simulate_screen(figures: Mapping[str, Any]) -> RenderableType:
    """The rewards and regrets of each strategy with 95 % intervals; fits 80 columns."""
    strategies = figures["strategies"]
    budgets = list(next(iter(strategies.values()))["at"])
    workers = f"{figures['workers']} worker{'s' if figures['workers'] > 1 else ''}"
    lines: list[RenderableType] = [
        Text(
            f"{Path(figures['source']).name}: {figures['architectures']:,} architectures, "
            f"{figures['decisions']} decisions",
            style="bold",
        ),
        *map(Text, _outcome_lines(figures)),
        Text(f"{figures['seeds']} searches of {figures['trials']:,} trials each, {workers}"),
        Text("\nreward of the best so far", style="italic"),
        _table(figures, budgets, "reward"),
        Text(f"\nregret: below {_best(figures)}", style="italic"),
        _table(figures, budgets, "regret"),
        Text(""),
        *map(Text, _conclusion(figures, budgets[-1])),
        Text(str(figures["picture"])),
    ]
    return Group(*lines)


def _outcome_lines(figures: Mapping[str, Any]) -> list[str]:
    terms = "".join(f" * {name}^{exponent:g}" for name, exponent in figures["reward"].items())
    lines = [f"reward: accuracy{terms}"]
    if figures["kind"] == "table":
        columns = figures["columns"]
        shown = [
            f"{role} {names[0] if len(names) == 1 else f'{names[0]}..{names[-1]}'}"
            for role, names in columns.items()
        ]
        return [*lines, f"columns: {', '.join(shown)}"]
    model = figures["model"]
    tau = model["kendall_tau"]
    parts = ", ".join(f"{name} {value:.2f}" for name, value in tau.items() if name != "reward")
    lines.append(
        f"outcomes: a model of {model['rows']} trials; its leave-one-out Kendall tau "
        f"{tau['reward']:.2f}\n          ({parts})"
    )
    if not tau["reward"] >= TRUSTED_TAU:
        lines.append("          it ranks them poorly: take what follows as a hint, or search longer first")
    return lines


def _table(figures: Mapping[str, Any], budgets: list[str], key: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("strategy")
    for budget in budgets:
        table.add_column(f"at {int(budget):,}", justify="right")
    for name, of in figures["strategies"].items():
        cells = [_cell(of["at"][budget][key], of["at"][budget]["half_width"]) for budget in budgets]
        table.add_row(name, *cells)
    return table


def _best(figures: Mapping[str, Any]) -> str:
    whose = "the best of all" if figures["best_is_known"] else "the best that any search found"
    return f"{figures['best_reward']:.4f}, {whose}"


def _cell(value: float, half_width: float | None) -> str:
    return f"{value:.4f}" if half_width is None else f"{value:.4f} ±{half_width:.4f}".replace("±0.", "±.")


def _conclusion(figures: Mapping[str, Any], budget: str) -> list[str]:
    times = [f"{name} {_time(of['simulated_seconds'])}" for name, of in figures["strategies"].items()]
    lines = [f"time of a search: {', '.join(times)}"]
    return lines if figures["advice"] is None else [_advice(figures, int(budget)), *lines]


def _advice(figures: Mapping[str, Any], budget: int) -> str:
    """One sentence: which strategy would have done best, by how much, and how sure that is."""
    advice, where = (
        figures["advice"],
        "on this table" if figures["kind"] == "table" else "by this log's model",
    )
    over = f"{advice['over']}, with which it was searched" if advice["over_is_the_runs"] else advice["over"]
    apart, half_width = advice["difference"], advice["half_width"]
    if half_width is None:
        return f"In this one search {advice['best']} is {apart:.4f} above {over}: --seeds 20 tells more."
    found = f"{apart:.4f} ±{half_width:.4f} (95 %, paired)"
    if apart <= half_width:
        verdict, found = "no strategy is sure to be best", f"{advice['best']} is {found}"
    else:
        verdict = f"{advice['best']} would do best"
    return f"At {budget:,} trials {verdict} {where}: {found} above {over}."


def _time(seconds: float) -> str:
    """A table may count its durations in anything."""
    return duration(seconds) if seconds < 1e7 else f"{seconds:.3g} s"
