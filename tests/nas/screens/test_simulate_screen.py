"""The sentence of advice on simulated strategies: one is best, two cannot be told apart, or are equal."""

from pathlib import Path

import pytest
from rich.console import Console

from nas.screens.simulate import simulate_screen
from nas.simulation.comparison import Advice, AtBudget, Comparison, StrategyFigures, TableOutcomes


def advised(difference: float, half_width: float | None, *, over_is_the_runs: bool = False) -> str:
    """The screen's lines after its tables, as one text."""
    figures = StrategyFigures(
        at={30: AtBudget(reward=0.8, half_width=0.1, regret=0.0)}, simulated_seconds=9.0, cached=0.0
    )
    comparison = Comparison(
        source=Path("table.parquet"),
        outcomes=TableOutcomes(architectures=27, decisions=3, columns={"accuracy": ("accuracy",)}),
        reward={},
        baseline=0,
        trials=30,
        workers=1,
        seeds=4,
        best_reward=0.8,
        best_is_known=True,
        strategies={"tpe": figures, "evolution": figures},
        advice=Advice(
            best="tpe",
            over="evolution",
            over_is_the_runs=over_is_the_runs,
            difference=difference,
            half_width=half_width,
        ),
        picture=Path("a.png"),
    )
    console = Console(width=200)
    with console.capture() as capture:
        console.print(simulate_screen(comparison))
    return next(line for line in capture.get().splitlines() if line.startswith(("At ", "In this")))


@pytest.mark.parametrize(
    ("difference", "half_width", "sentence"),
    [
        (
            0.02,
            0.01,
            "At 30 trials tpe would do best on this table: 0.0200 ±0.0100 (95 %, paired) above evolution.",
        ),
        (
            0.00002,
            0.00001,
            "At 30 trials tpe would do best on this table: 2e-05 ±1e-05 (95 %, paired) above evolution.",
        ),
        (
            0.01,
            0.02,
            "At 30 trials tpe and evolution cannot be told apart on this table: 0.0100 ±0.0200 (95 %, "
            "paired) between them; more --seeds tell more.",
        ),
        (
            0.0,
            0.02,
            "At 30 trials tpe and evolution cannot be told apart on this table: 0.0000 ±0.0200 (95 %, "
            "paired) between them; more --seeds tell more.",
        ),
        (
            0.0,
            0.0,
            "At 30 trials tpe and evolution are equal on this table: the same reward in each of 4 searches.",
        ),
        (0.02, None, "In this one search tpe is 0.0200 above evolution: --seeds 20 tells more."),
        (0.0, None, "In this one search tpe and evolution are equal: --seeds 20 tells more."),
    ],
)
def test_advice_says_what_the_interval_allows(
    difference: float, half_width: float | None, sentence: str
) -> None:
    assert advised(difference, half_width) == sentence


def test_advice_names_the_strategy_that_the_run_was_searched_with() -> None:
    assert "above evolution, with which it was searched." in advised(0.2, 0.1, over_is_the_runs=True)
    said = advised(0.0, 0.0, over_is_the_runs=True)
    assert "tpe and evolution, with which it was searched, are equal on this table" in said
