"""Strategies side by side in simulated searches: on a table, or on what an earlier run's models expect."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import isnan
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress as ProgressBars

from analysis.numbers import counted
from analysis.public_tables import public_table_path
from analysis.seed_curves import draw_curves
from nas.simulation.comparison import (
    Comparison,
    ModelFigures,
    RunOutcomes,
    TableOutcomes,
    advice,
    budgets_up_to,
    strategy_figures,
)
from nas.simulation.outcome_table import ROLES, known_outcomes, read_table, row_named
from nas.simulation.simulate import KnownOutcomes, StrategyCurves, simulate_seeds
from nas.strategies.strategy import Strategy, may_promote
from nas.strategies.table import STRATEGIES, Problems, StrategySettingsError, build_strategy
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.near_names import suggestion
from search_spaces.settings.output_files import PNG, refuse_other_kind, writing
from search_spaces.settings.overrides import override_of, value_of
from search_spaces.settings.places import place_of
from trials.log.file_names import SEARCH_FILE
from trials.log.run_folder import is_run
from trials.reward import Reward, check_exponents, check_names

PAPER_REWARD = {"step_time_ratio": -0.07, "params": -0.05}  # EfficientNetV2, section 3.3
TABLE_TRIALS = 200


@dataclass(frozen=True)
class Given:
    """The value of a strategy's setting, and the option that gave it."""

    value: Any
    typed: str


Settings = dict[str, dict[str, Given]]
Builder = Callable[[int], Strategy]


@dataclass(frozen=True)
class Simulated:
    """Ground of a comparison: known outcomes with their figures, and how long searches of them are."""

    known: KnownOutcomes
    outcomes: TableOutcomes | RunOutcomes
    reward: Reward
    baseline: int
    trials: int
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
) -> Comparison:
    """Reads the table or the run, simulates the searches and draws the picture.

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
    comparison = _compared(curves, simulated, source=source, workers=workers, seeds=seeds, picture=picture)
    _draw(curves, comparison)
    return comparison


def _all_curves(
    simulated: Simulated, builders: Mapping[str, Builder], *, workers: int, seeds: int, console: Console
) -> dict[str, StrategyCurves]:
    """The searches of all strategies, with a progress bar."""
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


def _compared(
    curves: Mapping[str, StrategyCurves],
    simulated: Simulated,
    *,
    source: Path,
    workers: int,
    seeds: int,
    picture: Path,
) -> Comparison:
    """The comparison; regret is to the best of all, where that is known, else to the best found."""
    found = max(float(curve.expected_rewards.max()) for curve in curves.values())
    best = found if simulated.known.best is None else simulated.known.best
    budgets = budgets_up_to(simulated.trials)
    at_the_end = {name: curve.expected_rewards[:, -1] for name, curve in curves.items()}
    return Comparison(
        source=source,
        outcomes=simulated.outcomes,
        reward=dict(simulated.reward.terms),
        baseline=simulated.baseline,
        trials=simulated.trials,
        workers=workers,
        seeds=seeds,
        best_reward=best,
        best_is_known=simulated.known.best is not None,
        strategies={name: strategy_figures(curve, budgets, best) for name, curve in curves.items()},
        advice=advice(at_the_end, simulated.searched_with),
        picture=picture,
    )


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
    return Simulated(
        known=known_outcomes(table, reward, reference=row),
        outcomes=TableOutcomes(architectures=size, decisions=len(table.options), columns=dict(table.columns)),
        reward=reward,
        baseline=0,
        trials=trials or min(TABLE_TRIALS, size),
    )


def _shipped(source: Path) -> Path:
    """The file of a table that comes with the project, where only its name is given."""
    return source if source.exists() else public_table_path(str(source)) or source


def _read_run(run: Path, terms: dict[str, float] | None, trials: int | None) -> Simulated:
    if not is_run(run):
        raise ConfigError(
            f"{run}: not a run directory (no {SEARCH_FILE} and log/ in it), and no Parquet file"
        )
    from nas.simulation.outcome_model import modelled_run  # a run's networks are counted, which needs torch

    modelled = modelled_run(run, terms=terms)
    trials = trials or modelled.counted
    return Simulated(
        known=modelled.known,
        outcomes=RunOutcomes(
            architectures=modelled.config.space.size,
            decisions=len(modelled.config.space.decisions),
            model=ModelFigures(
                rows=modelled.rows,
                kendall_tau={name: None if isnan(tau) else tau for name, tau in modelled.tau.items()},
                noise=modelled.noise,
            ),
        ),
        reward=modelled.reward,
        baseline=min(modelled.config.baseline, trials),
        trials=trials,
        searched_with=modelled.config.strategy.name,
    )


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
    """Strategies that these outcomes can be told to; one that was named, and cannot, is refused."""
    left_out = [name for name in names if may_promote(STRATEGIES[name]) and known.curve is None]
    if named := [name for name in left_out if name in by_name]:
        raise ConfigError(
            f"--strategies: {named[0]} has shorter trials, and {source} does not tell what these would give: "
            "that is known of a run whose recipe's schedule is constant or exponential_staircase"
        )
    return [name for name in names if name not in left_out]


def parsed_settings(words: Sequence[str], strategies: Iterable[str]) -> Settings:
    """Settings of strategies from `strategy.setting=value`.

    Raises:
        ConfigError: a word that is not of this form, or whose strategy is not simulated.
    """
    settings: Settings = {name: {} for name in strategies}
    for word in words:
        key, equals, _ = word.partition("=")
        name, dot, setting = key.strip().partition(".")
        if not (equals and dot and setting):
            raise ConfigError(f"--set {word}: strategy.setting=value expected, as in evolution.population=20")
        if name not in settings:
            hint = suggestion(name, settings)
            raise ConfigError(
                f"--set {word}: {name} is not simulated; simulated are {', '.join(settings)}{hint}"
            )
        try:
            override = override_of(word)
            settings[name][setting] = Given(value_of(override), override.typed)
        except ValueError as error:
            sentence = str(error).removeprefix(f"--set {word}: ")
            raise ConfigError(f"--set {word}: {sentence}") from None
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
            term = {} if word == "none" else {name: float(exponent)}
        except ValueError:
            raise ConfigError(
                f"--reward {word}: quantity=exponent expected, as in params=-0.05 (or none: accuracy alone)"
            ) from None
        try:
            check_exponents(term)
            check_names(term.keys() - set(recorded))
        except ValueError as error:
            raise ConfigError(f"--reward {word}: {str(error).removeprefix('reward: ')}") from None
        terms |= term
    return terms


def _named(columns: Sequence[str]) -> dict[str, str]:
    for word in columns:
        if "=" not in word:
            raise ConfigError(f"--column {word}: role=COLUMN expected; roles are {', '.join(ROLES)}")
    return dict(word.split("=", 1) for word in columns)


def _picture_path(source: Path, output: Path | None) -> Path:
    """Path of the picture; a file that is no picture is never replaced."""
    path = output or Path(f"{source.resolve().stem}-simulated.png")
    refuse_other_kind(path, beginning=PNG, kind="PNG")
    return path


def _builder(name: str, settings: Mapping[str, Given], known: KnownOutcomes) -> Builder:
    """Builds the strategy from a seed; what its settings refuse is refused at once."""
    values = {setting: given.value for setting, given in settings.items()}

    def build(seed: int) -> Strategy:
        return build_strategy(name, known.space, seed=seed, epochs=known.epochs, settings=values)

    try:
        build(0)
    except StrategySettingsError as error:
        raise ConfigError("\n".join(_refusals(name, settings, error.problems))) from None
    return build


def _refusals(name: str, settings: Mapping[str, Given], problems: Problems) -> Iterator[str]:
    """A line for each problem of a strategy's settings, which begins with the options that gave them."""
    for place, sentence in problems.items():
        setting = str(place[0]) if place else ""
        if setting in settings:
            inside = place_of(place[1:])
            yield ": ".join(part for part in (settings[setting].typed, inside, sentence) if part)
        else:  # several settings together, or one that was not given
            typed = " ".join(given.typed for given in settings.values()) or f"--strategies {name}"
            yield ": ".join(part for part in (typed, place_of(place), sentence) if part)


def _draw(curves: Mapping[str, StrategyCurves], comparison: Comparison) -> None:
    best, known = comparison.best_reward, comparison.best_is_known
    shown = {
        name: best - curve.expected_rewards if known else curve.expected_rewards
        for name, curve in curves.items()
    }
    with writing(comparison.picture):
        draw_curves(
            comparison.picture,
            shown,
            title=f"{comparison.source}, {counted(comparison.workers, 'worker')}",
            y_label="regret (reward below the best)" if known else "reward of the best so far",
        )
