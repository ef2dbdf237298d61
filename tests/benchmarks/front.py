"""The front of accuracy, step time and parameters: ours against Optuna's NSGA-II, under a search's rules.

    python tests/benchmarks/front.py --table ../shared/benchmarks/nas_bench_macro/nas_bench_macro.parquet
    python tests/benchmarks/front.py --synthetic --seeds 20

A search sees one training's accuracy; what it found is evaluated by the table's other runs, or without noise.
Hypervolumes are of accuracy and of the logarithms of step time and parameters (in a table FLOPs stand in for
step time), above the worst of the table, or of a thousand uniform architectures. One duplicate rule for all:
an architecture that was trained is answered from the first time and not counted. The predictor maximises the
paper's reward, not the front.

Prints, after each number of evaluations, the mean over seeds of each search's hypervolume over that of
Optuna's on the same seed, with its 95 % interval. Figures as JSON go to --output.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a process for each core, and a thread in each

import argparse
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from peers import optuna_nsga2
from problems import problem_parser, synthetic_problem, table_problem
from rich.console import Console
from rich.table import Table

from analysis.pareto import hypervolume
from analysis.seed_curves import interval
from nas.simulation.simulate import KnownOutcomes, SimulatedEnd, simulate_search
from nas.strategies.table import build_strategy
from search_spaces.choices.choice_space import Choices

PEER = "optuna_nsga2"
UNIFORM = 1_000  # architectures by which the corner of a synthetic space is set
BELOW = 1e-6  # of the corner, below the worst


@dataclass(frozen=True)
class Task:
    """One search."""

    table: tuple[str, str, str] | None  # path, accuracy columns, seconds column; None: synthetic
    strategy: str
    seed: int
    budgets: tuple[int, ...]


def run_task(task: Task) -> list[float]:
    """The hypervolume at each budget."""
    known, evaluated = (_problem(task, objective) for objective in ("reward", "accuracy"))
    if task.strategy == PEER:
        strategy: Any = optuna_nsga2(known.space, task.seed)
    else:
        strategy = build_strategy(task.strategy, known.space, seed=task.seed, epochs=1, settings={})
    ends = simulate_search(known, strategy, seed=task.seed, trials=task.budgets[-1])
    counted = [end for end in ends if end.counts]
    points = np.array([_point(end, evaluated.expected_reward) for end in counted])
    corner = _corner(known, evaluated)
    return [hypervolume(points[:budget], corner) for budget in task.budgets]


def _problem(task: Task, objective: str) -> KnownOutcomes:
    if task.table is not None:
        return table_problem(*task.table, objective, seed=task.seed)
    return synthetic_problem(task.seed, objective)


def _point(end: SimulatedEnd, accuracy: Callable[[Choices], float]) -> tuple[float, float, float]:
    outcome = end.outcome
    return accuracy(end.ask.choices), -np.log(outcome.step_time_ratio), -np.log(outcome.params)


def _corner(known: KnownOutcomes, evaluated: KnownOutcomes) -> list[float]:
    """The worst of what a uniform draw finds, in each objective."""
    rng = np.random.default_rng(0)
    drawn = [known.space.sample(rng) for _ in range(UNIFORM)]
    outcomes = [known.outcome(choices, 0, 0) for choices in drawn]
    ends = [
        (evaluated.expected_reward(choices), -np.log(outcome.step_time_ratio), -np.log(outcome.params))
        for choices, outcome in zip(drawn, outcomes, strict=True)
    ]
    return [float(value) - BELOW for value in np.array(ends).min(axis=0)]


def figures_of(volumes: dict[str, np.ndarray], budgets: tuple[int, ...]) -> dict[str, Any]:
    """Of each strategy, at each budget: the mean ratio to the peer's on the same seeds, with its interval."""
    figures: dict[str, Any] = {}
    for name, found in volumes.items():
        ratios = found / volumes[PEER][: len(found)]
        figures[name] = {"seeds": len(found), "volume": found.mean(axis=0).tolist(), "over_peer": {}}
        for place, budget in enumerate(budgets):
            mean, half_width = interval(ratios[:, place])
            figures[name]["over_peer"][str(budget)] = {"mean": mean, "half_width": half_width}
    return figures


def shown(figures: dict[str, Any], budgets: tuple[int, ...], *, title: str) -> Table:
    table = Table(title=f"{title}: hypervolume over Optuna's NSGA-II", box=None)
    table.add_column("strategy")
    table.add_column("seeds", justify="right")
    for budget in budgets:
        table.add_column(f"at {budget}", justify="right")
    for name, of in figures.items():
        if name != PEER:
            cells = (f"{at['mean']:.3f} ±{at['half_width'] or 0:.3f}" for at in of["over_peer"].values())
            table.add_row(name, str(of["seeds"]), *cells)
    return table


def arguments_of() -> argparse.Namespace:
    parser = problem_parser(__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--predictor-seeds", type=int, default=6, help="it takes seconds for a search")
    parser.add_argument("--budgets", default="50,100,200")
    parser.add_argument("--strategies", default="random_search,evolution,nsga2,predictor")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("runs/front"))
    return parser.parse_args()


def main() -> None:
    """Runs, prints and writes."""
    arguments = arguments_of()
    budgets = tuple(sorted(int(budget) for budget in arguments.budgets.split(",")))
    table = (str(arguments.table), arguments.accuracy, arguments.seconds) if arguments.table else None
    volumes: dict[str, np.ndarray] = {}
    with ProcessPoolExecutor(arguments.processes) as pool:
        for name in (PEER, *arguments.strategies.split(",")):
            seeds = (
                min(arguments.predictor_seeds, arguments.seeds) if name == "predictor" else arguments.seeds
            )
            tasks = [Task(table, name, seed, budgets) for seed in range(seeds)]
            volumes[name] = np.array(list(pool.map(run_task, tasks)))
    title = "synthetic" if arguments.synthetic else arguments.table.stem
    figures = figures_of(volumes, budgets)
    Console(width=120, highlight=False).print(shown(figures, budgets, title=title))
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / f"{title}.json"
    path.write_text(json.dumps({"budgets": budgets, "strategies": figures}, indent=1))
    print(path)


if __name__ == "__main__":
    main()
