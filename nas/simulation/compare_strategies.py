"""Strategies side by side in simulated searches: on a table, or on what an earlier run's models expect."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress as ProgressBars

from analysis.public_tables import public_table_path
from analysis.seed_curves import draw_curves, interval
from nas.simulation.outcome_table import ROLES, known_outcomes, read_table, row_named
from nas.simulation.simulate import KnownOutcomes, StrategyCurves, simulate_seeds
from nas.strategies.strategy import Strategy
from nas.strategies.table import STRATEGIES, build_strategy
from search_spaces.settings.messages import suggestion
from search_spaces.settings.yaml_files import ConfigError, parse_yaml
from trials.log.store import RunStore
from trials.reward import Reward, check_exponents, check_names

PAPER_REWARD = {"step_time_ratio": -0.07, "params": -0.05}  # EfficientNetV2, section 3.3
BUDGETS = (20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
MOST_BUDGETS = 4  # columns that fit a screen
TABLE_TRIALS = 200
SHORTER = ("successive_halving",)  # strategies whose trials differ in epochs
PNG = b"\x89PNG\r\n\x1a\n"

Settings = dict[str, dict[str, Any]]
Builder = Callable[[int], Strategy]


@dataclass(frozen=True)
class Simulated:
    """What is compared on: the outcomes, the rules' settings, and what the screen says of them."""

    known: KnownOutcomes
    reward: Reward
    baseline: int
    trials: int
    figures: dict[str, Any]
    searched_with: str | None = None  # the strategy of the run whose model this is


# ---------------------------------------------------------------------- from words to figures


def compare_on_console(
    source: Path,
    *,
    strategies: Sequence[str],
    settings: Sequence[str],
    terms: Sequence[str],
    columns: Sequence[str],
    reference: str | None,
    trials: int | None,
    workers: int,
    seeds: int,
    output: Path | None,
    console: Console,
) -> dict[str, Any]:
    """Reads the table or the run, simulates, draws the picture; what the screen shows, as one mapping.

    Raises:
        ConfigError: a word that cannot be; nothing was written.
    """
    picture = _picture_path(source, output)
    chosen = chosen_strategies(strategies)
    parsed = parsed_settings(settings, chosen)
    simulated = _read(source, parsed_terms(terms), columns=columns, reference=reference, trials=trials)
    chosen = _simulable(chosen, simulated.known, source, by_name=",".join(strategies))
    builders = {name: _builder(name, parsed[name], simulated.known) for name in chosen}
    curves = _all_curves(simulated, builders, workers=workers, seeds=seeds, console=console)
    figures = {
        "source": str(source),
        **simulated.figures,
        "reward": dict(simulated.reward.terms),
        "baseline": simulated.baseline,
        "trials": simulated.trials,
        "workers": workers,
        "seeds": seeds,
        **_compared(curves, simulated),
        "picture": str(picture),
    }
    _draw(picture, curves, figures)
    return figures


def _all_curves(
    simulated: Simulated, builders: Mapping[str, Builder], *, workers: int, seeds: int, console: Console
) -> dict[str, StrategyCurves]:
    """The searches of all strategies, with a bar for whoever waits."""
    curves = {}
    with ProgressBars(console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task("simulating", total=len(builders) * seeds)
        for name, build in builders.items():
            bars.update(bar, description=f"simulating {name}")
            curves[name] = simulate_seeds(
                simulated.known,
                build,
                seeds=range(seeds),
                trials=simulated.trials,
                workers=workers,
                baseline=simulated.baseline,
                on_end=partial(bars.advance, bar),
            )
    return curves


def _compared(curves: Mapping[str, StrategyCurves], simulated: Simulated) -> dict[str, Any]:
    """Figures by strategy; regret is to the best of all, where that is known, else to the best found."""
    found = max(float(curve.judged.max()) for curve in curves.values())
    best = found if simulated.known.best is None else simulated.known.best
    budgets = budgets_up_to(simulated.trials)
    return {
        "best_reward": best,
        "best_is_known": simulated.known.best is not None,
        "strategies": {name: strategy_figures(curve, budgets, best) for name, curve in curves.items()},
        "advice": advice({name: c.judged[:, -1] for name, c in curves.items()}, simulated.searched_with),
    }


def _read(
    source: Path,
    terms: dict[str, float] | None,
    *,
    columns: Sequence[str],
    reference: str | None,
    trials: int | None,
) -> Simulated:
    if source.is_dir():
        if columns or reference is not None:
            raise ConfigError(f"{source}: --column and --reference are for tables; a run has its own")
        return _read_run(source, terms, trials)
    table = read_table(_shipped(source), named=_named(columns))
    size = len(table.choices)
    if trials is not None and trials > size:
        raise ConfigError(f"--trials {trials:,}: {source} has {size:,} rows; use --trials {size} or fewer")
    reward = Reward(PAPER_REWARD if terms is None else terms)
    row = row_named(table, reference) if reference is not None else None
    figures = {
        "kind": "table",
        "architectures": size,
        "decisions": len(table.options),
        "columns": {role: list(names) for role, names in table.columns.items()},
    }
    known = known_outcomes(table, reward, reference=row)
    return Simulated(known, reward, 0, trials or min(TABLE_TRIALS, size), figures)


def _shipped(source: Path) -> Path:
    """The file of a table that comes with the project, where only its name is given."""
    return source if source.exists() else public_table_path(str(source)) or source


def _read_run(run: Path, terms: dict[str, float] | None, trials: int | None) -> Simulated:
    if not RunStore.is_run(run):
        raise ConfigError(f"{run}: not a run directory (no search.yaml and log/ in it), and no Parquet file")
    from nas.simulation.outcome_model import modelled_run  # a run's networks are counted, which needs torch

    modelled = modelled_run(run, terms=terms)
    trials = trials or modelled.counted
    figures = {
        "kind": "run",
        "architectures": modelled.config.space.size,
        "decisions": len(modelled.config.space.decisions),
        "model": {"rows": modelled.rows, "kendall_tau": modelled.tau, "noise": modelled.noise},
    }
    baseline = min(modelled.config.baseline, trials)
    strategy = modelled.config.strategy.name
    return Simulated(modelled.known, modelled.reward, baseline, trials, figures, searched_with=strategy)


def chosen_strategies(words: Sequence[str]) -> list[str]:
    """The strategies named, in order, each once; `all` names all.

    Raises:
        ConfigError: one is none.
    """
    names = [name.strip() for word in words for name in word.split(",")]
    for name in names:
        if name != "all" and name not in STRATEGIES:
            raise ConfigError(
                f"--strategies: '{name}' is not a strategy; strategies are {', '.join(STRATEGIES)}, or all"
                f"{suggestion(name, STRATEGIES)}"
            )
    return list(dict.fromkeys(n for name in names for n in (STRATEGIES if name == "all" else (name,))))


def _simulable(names: list[str], known: KnownOutcomes, source: Path, *, by_name: str) -> list[str]:
    """Those that these outcomes can be told to; one that was named, and cannot, is refused."""
    left_out = [name for name in names if name in SHORTER and known.curve is None]
    if named := [name for name in left_out if name in by_name]:
        raise ConfigError(
            f"--strategies: {named[0]} has shorter trials, and {source} does not tell what these would give: "
            "that is known of a run whose recipe's schedule is constant or exponential_staircase"
        )
    return [name for name in names if name not in left_out]


def parsed_settings(words: Sequence[str], strategies: Iterable[str]) -> Settings:
    """Settings of strategies from `strategy.setting=value`."""
    settings: Settings = {name: {} for name in strategies}
    for word in words:
        key, equals, value = word.partition("=")
        name, dot, setting = key.partition(".")
        if not (equals and dot and setting):
            raise ConfigError(f"--set {word}: strategy.setting=value expected, as in evolution.population=20")
        if name not in settings:
            raise ConfigError(f"--set {word}: {name} is not simulated; simulated are {', '.join(settings)}")
        settings[name] |= parse_yaml(f"{setting}: {value}", name=f"--set {word}")
    return settings


def parsed_terms(words: Sequence[str], *, recorded: Iterable[str] = ()) -> dict[str, float] | None:
    """A reward's terms from `quantity=exponent`; none of them from `none`; None if nothing is given.

    Args:
        recorded: terms of a run, which are known by name, also where this process cannot compute them.

    Raises:
        ConfigError: a word that cannot be, or a term that nobody knows.
    """
    if not words:
        return None
    terms: dict[str, float] = {}
    for word in words:
        name, _, exponent = word.partition("=")
        try:
            terms |= {} if word == "none" else {name: float(exponent)}
        except ValueError:
            raise ConfigError(
                f"--reward {word}: quantity=exponent expected, as in params=-0.05 (or none: accuracy alone)"
            ) from None
    try:
        check_exponents(terms)
        check_names(terms.keys() - set(recorded))
    except ValueError as error:
        raise ConfigError(f"--{error}") from None
    return terms


def _named(columns: Sequence[str]) -> dict[str, str]:
    for word in columns:
        if "=" not in word:
            raise ConfigError(f"--column {word}: role=COLUMN expected; roles are {', '.join(ROLES)}")
    return dict(word.split("=", 1) for word in columns)


def _picture_path(source: Path, output: Path | None) -> Path:
    """Where the picture goes; a file that is no picture is never replaced."""
    path = output or Path(f"{source.resolve().stem}-simulated.png")
    try:
        if path.is_file() and path.read_bytes()[:8] != PNG:
            raise ConfigError(f"{path}: this file is no PNG; choose another --output for the picture")
        if path.is_dir() or not path.parent.is_dir():
            raise ConfigError(f"{path}: the picture cannot be written here; choose another --output")
    except OSError as error:
        raise ConfigError(f"{path}: the picture cannot be written here: {error.strerror}") from None
    return path


def _builder(name: str, settings: Mapping[str, Any], known: KnownOutcomes) -> Builder:
    """Builds the strategy from a seed; what its settings refuse is refused at once."""

    def build(seed: int) -> Strategy:
        return build_strategy(name, known.space, seed=seed, epochs=known.epochs, settings=settings)

    try:
        build(0)
    except ValueError as error:
        raise ConfigError(f"--set: {error}") from None
    return build


def _draw(path: Path, curves: Mapping[str, StrategyCurves], figures: Mapping[str, Any]) -> None:
    best, known = figures["best_reward"], figures["best_is_known"]
    plural = "s" if figures["workers"] > 1 else ""
    shown = {name: best - curve.judged if known else curve.judged for name, curve in curves.items()}
    try:
        draw_curves(
            path,
            shown,
            title=f"{figures['source']}, {figures['workers']} worker{plural}",
            y_label="regret (reward below the best)" if known else "reward of the best so far",
        )
    except OSError as error:
        raise ConfigError(f"{path}: the picture cannot be written: {error.strerror}") from None


# ---------------------------------------------------------------------- figures


def budgets_up_to(trials: int) -> list[int]:
    """Round numbers of trials, and the last."""
    return [*[budget for budget in BUDGETS if budget < trials][-MOST_BUDGETS + 1 :], trials]


def advice(rewards: Mapping[str, np.ndarray], searched_with: str | None) -> dict[str, Any] | None:
    """The strategy with the highest mean reward at the end, and how far above another one; None of one alone.

    The other is what the run was searched with, if that was simulated and is not the best, else the next.

    Args:
        rewards: (seeds) each, of the same seeds: differences are paired.
    """
    if len(rewards) < 2:
        return None
    best, second, *_ = sorted(rewards, key=lambda name: -float(rewards[name].mean()))
    over = searched_with if searched_with in rewards and searched_with != best else second
    assert over is not None
    difference, half_width = interval(rewards[best] - rewards[over])
    return {
        "best": best,
        "over": over,
        "over_is_the_runs": over == searched_with,
        "difference": difference,
        "half_width": half_width,
    }


def strategy_figures(curves: StrategyCurves, budgets: Sequence[int], best: float) -> dict[str, Any]:
    """Means over seeds and halves of their 95 % intervals at budgets (null of one seed)."""
    at = {}
    for budget in budgets:
        mean, half_width = interval(curves.judged[:, budget - 1])
        at[str(budget)] = {"reward": mean, "half_width": half_width, "regret": best - mean}
    return {
        "at": at,
        "simulated_seconds": float(curves.seconds.mean()),
        "cached": float(curves.cached.mean()),
    }
