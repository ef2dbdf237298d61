"""The command nas simulate."""

from pathlib import Path
from typing import Annotated

import typer

from nas.commands.options import Json
from nas.commands.output import show
from nas.screens.terminal import terminal


def simulate(
    source: Annotated[
        Path, typer.Argument(help="A Parquet table of trained architectures, a shipped one's name, or a run.")
    ],
    strategies: Annotated[
        list[str] | None, typer.Option(help="Names, separated by commas, or all (default).")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=10_000, help="How many trials at once.")] = 1,
    trials: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Of each search (default: 200; the run's own).")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=10_000, help="Searches of each strategy.")] = 20,
    reward: Annotated[
        list[str] | None, typer.Option(help="quantity=exponent; none: accuracy alone (default: the paper's).")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="role=COLUMN of a table, as in accuracy=test_acc.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="The row of a table that ratios are to (default: medians).")
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="strategy.setting=value.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The picture (default: SOURCE-simulated.png).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare strategies in simulated searches, on a table or on a model of an earlier run."""
    from nas.screens.simulate import simulate_screen
    from nas.simulation.compare_strategies import compare_on_console
    from nas.simulation.comparison import comparison_json
    from trials.log.run_places import run_folder

    comparison = compare_on_console(
        run_folder(source),
        strategies=strategies or ["all"],
        settings=set_ or [],
        terms=reward or [],
        columns=column or [],
        reference=reference,
        trials=trials,
        workers=workers,
        seeds=seeds,
        output=output,
        console=terminal(stderr=True),
    )
    show(as_json, lambda: comparison_json(comparison), lambda: simulate_screen(comparison))
