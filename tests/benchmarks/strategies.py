"""Every strategy against random search, Optuna's TPE and plain evolution, under the rules of a search.

    python tests/benchmarks/strategies.py --table ../shared/benchmarks/nas_bench_macro/nas_bench_macro.parquet
    python tests/benchmarks/strategies.py --synthetic --seeds 50

Two objectives: accuracy; and the reward, accuracy times the paper's powers of step time and parameters (in a
table FLOPs stand in for step time). A search sees one training's accuracy. After each number of trials it
recommends the architecture with the best reward that it saw (or that it expects to be the best). That is
evaluated by the table's other runs, or without noise; searches take turns in which run of a table they see.
Regret is how far below the best architecture that is.

One duplicate rule for all: an architecture that was trained is answered from the first time and not counted;
after 50 repeats in a row a uniform unseen one is taken. Trials take their real durations (in a table: FLOPs).

In a small table TPE asks for many repeats, which take it the longer the more it knows: a search of 200 trials
takes a minute and more, so it has limits of its own. In large spaces it repeats nothing.

Prints means over seeds with 95 % intervals, and marks what differs from random search on the same seeds
(paired t-test, Holm-corrected over the strategies and budgets of a block). Curves as PNG and figures as JSON
go to --output.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a process for each core, and a thread in each

import argparse
import json
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from peers import EVOLUTIONS, PEERS, TPES, build_peer
from problems import REWARDS, problem_parser, synthetic_problem, table_problem
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from scipy import stats

from analysis.seed_curves import draw_curves, interval
from nas.simulation.simulate import StrategyCurves, simulate_seeds
from nas.strategies.table import STRATEGIES, build_strategy

OURS = [name for name in STRATEGIES if name != "successive_halving"]  # of whole trials; it has halving.py
RANDOM = "random_search"
SEEDS_AT_ONCE = 10  # of a task
LEVEL = 0.05
NO_REGRET = 1e-7  # rounding: whoever is below has found the best
SLOW = (*TPES, "tpe", "nsga2", "predictor")  # seconds to minutes for a search: limits of their own


@dataclass(frozen=True)
class Task:
    """Searches of one strategy on one problem."""

    table: tuple[str, str, str] | None  # path, accuracy columns, seconds column; None: synthetic
    objective: str
    workers: int
    strategy: str
    seeds: tuple[int, ...]
    trials: int


@dataclass(frozen=True)
class Block:
    """What is compared with each other: an objective at a number of workers; regrets are (seeds, trials)."""

    objective: str
    workers: int
    regrets: dict[str, np.ndarray]
    cached: dict[str, float]
    seconds: dict[str, float]  # of computing, a search


def run_task(task: Task) -> tuple[np.ndarray, np.ndarray, float]:
    """(regrets, cached asks, seconds of computing) of a task's seeds."""
    before = time.perf_counter()
    curves: list[StrategyCurves] = []
    regrets = []
    for seed in task.seeds:
        if task.table is not None:
            known = table_problem(*task.table, task.objective, seed=seed)
        else:
            known = synthetic_problem(seed, task.objective)

        def build(seed: int) -> Any:
            if task.strategy in PEERS:
                return build_peer(task.strategy, known.space, seed, workers=task.workers)  # noqa: B023
            return build_strategy(task.strategy, known.space, seed=seed, epochs=1, settings={})  # noqa: B023

        curves.append(simulate_seeds(known, build, seeds=[seed], trials=task.trials, workers=task.workers))
        assert known.best is not None
        regrets.append(known.best - curves[-1].expected_rewards[0])
    cached = np.concatenate([curve.cached for curve in curves])
    return np.array(regrets), cached, time.perf_counter() - before


def run_blocks(arguments: argparse.Namespace, console: Console) -> Iterator[Block]:
    """Each objective at each number of workers, one after the other."""
    table = (str(arguments.table), arguments.accuracy, arguments.seconds) if arguments.table else None
    for objective in arguments.objectives:
        for workers in arguments.workers:
            tasks = [
                Task(table, objective, workers, name, seeds, trials_of(name, arguments))
                for name in arguments.strategies
                for seeds in chunks(arguments.tpe_seeds if name in SLOW else arguments.seeds)
            ]
            yield collect(objective, workers, tasks, arguments.processes, console)


def trials_of(name: str, arguments: argparse.Namespace) -> int:
    last: int = arguments.budgets[-1]
    return min(arguments.tpe_trials, last) if name in SLOW else last


def chunks(seeds: int) -> list[tuple[int, ...]]:
    return [tuple(range(i, min(i + SEEDS_AT_ONCE, seeds))) for i in range(0, seeds, SEEDS_AT_ONCE)]


def collect(objective: str, workers: int, tasks: list[Task], processes: int, console: Console) -> Block:
    """The results of a block's tasks, in the order of seeds."""
    results: dict[Task, tuple[np.ndarray, np.ndarray, float]] = {}
    with Progress(console=console, transient=True) as bars, ProcessPoolExecutor(processes) as pool:
        bar = bars.add_task(f"{objective}, {workers} workers", total=len(tasks))
        futures = {pool.submit(run_task, task): task for task in tasks}
        for future in as_completed(futures):
            results[futures[future]] = future.result()
            bars.update(bar, advance=1)
    names = list(dict.fromkeys(task.strategy for task in tasks))
    parts = {name: [results[task] for task in tasks if task.strategy == name] for name in names}
    regrets = {name: np.concatenate([part[0] for part in of]) for name, of in parts.items()}
    return Block(
        objective=objective,
        workers=workers,
        regrets=regrets,
        cached={name: float(np.concatenate([part[1] for part in of]).mean()) for name, of in parts.items()},
        seconds={name: sum(part[2] for part in of) / len(regrets[name]) for name, of in parts.items()},
    )


# ---------------------------------------------------------------------- judging


def evaluated(block: Block, budgets: list[int]) -> dict[str, Any]:
    """Means, intervals and comparisons of a block, by strategy and budget."""
    figures: dict[str, Any] = {
        name: {
            "seeds": len(regrets),
            "cached": block.cached[name],
            "computing_seconds": block.seconds[name],
            "at": {str(b): at_budget(block, name, b) for b in budgets if b <= regrets.shape[1]},
        }
        for name, regrets in block.regrets.items()
    }
    if RANDOM in figures:
        compared = [at for name, of in figures.items() if name != RANDOM for at in of["at"].values()]
        for at, corrected in zip(compared, holm([at["p"] for at in compared]), strict=True):
            at["p_holm"] = corrected
            sure = corrected < LEVEL
            at["verdict"] = ("better" if at["over_random"] > 0 else "worse") if sure else "no difference"
    return figures


def at_budget(block: Block, name: str, budget: int) -> dict[str, Any]:
    """The mean regret; how far below random search's and plain evolution's; its ratio to the best peer's."""
    regrets = block.regrets[name][:, budget - 1]
    mean, half_width = interval(regrets)
    figures: dict[str, Any] = {"regret": mean, "half_width": half_width}
    if RANDOM in block.regrets and name != RANDOM:
        over, half, p = paired(block.regrets[RANDOM][:, budget - 1], regrets)
        figures |= {"over_random": over, "over_random_half_width": half, "p": p}
    all_peers = {peer: block.regrets[peer] for peer in PEERS if peer in block.regrets}
    peers = {peer: of[:, budget - 1] for peer, of in all_peers.items() if budget <= of.shape[1]}
    if peers and name not in peers:
        best = min(peers, key=lambda peer: float(peers[peer].mean()))
        theirs = float(peers[best].mean())
        figures |= {"best_peer": best, "of_best_peer": mean / theirs if theirs > NO_REGRET else None}
        for peer in EVOLUTIONS:
            if peer in peers:
                figures[f"over {peer}"] = paired(peers[peer], regrets)
    return figures


def paired(theirs: np.ndarray, ours: np.ndarray) -> tuple[float, float | None, float]:
    """(mean of theirs - ours over common seeds, half of its 95 % interval, p of the paired t-test)."""
    count = min(len(theirs), len(ours))
    differences = theirs[:count] - ours[:count]
    mean, half_width = interval(differences)
    if count < 2 or not differences.std():
        return mean, half_width, 1.0 if not mean else 0.0
    return mean, half_width, float(stats.ttest_1samp(differences, 0.0).pvalue)


def holm(values: list[float]) -> list[float]:
    """P values corrected for their number (Holm 1979), in the same order."""
    order = np.argsort(values)
    corrected = np.empty(len(values))
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - rank) * values[i]))
        corrected[i] = highest
    return [float(value) for value in corrected]


# ---------------------------------------------------------------------- showing


def table_of(block: Block, figures: dict[str, Any], budgets: list[int], *, title: str) -> Table:
    scale, digits = (100, 3) if block.objective == "accuracy" else (1, 4)
    unit = "percentage points" if block.objective == "accuracy" else "reward"
    table = Table(title=f"{title}: {block.objective}, {block.workers} workers; regret ({unit})", box=None)
    table.add_column("strategy")
    for budget in budgets:
        table.add_column(f"at {budget}", justify="right")
    for name in ("seeds", "cached", "s/search"):
        table.add_column(name, justify="right")
    for name, of in figures.items():
        cells = []
        for at in (of["at"].get(str(budget)) for budget in budgets):
            if at is None:
                cells.append("")
                continue
            mark = {"better": " +", "worse": " -"}.get(at.get("verdict", ""), "  ")
            half = f" ±{scale * at['half_width']:.{digits}f}" if at["half_width"] is not None else ""
            cells.append(f"{scale * at['regret']:.{digits}f}{half}{mark}")
        table.add_row(name, *cells, str(of["seeds"]), f"{of['cached']:.0f}", f"{of['computing_seconds']:.2f}")
    return table


def ratios_of(figures: dict[str, Any]) -> Table | None:
    """Mean regrets of our strategies over the best peer's, and how far below plain evolution's ours are."""
    ours = {name: of for name, of in figures.items() if name not in PEERS}
    if not any("best_peer" in at for of in ours.values() for at in of["at"].values()):
        return None
    table = Table(box=None)
    first = next(iter(ours.values()))["at"]
    table.add_column("regret / the best peer's")
    for budget in first:
        table.add_column(f"at {budget}", justify="right")
    table.add_row("  which is", *(at.get("best_peer", "") for at in first.values()))
    for name, of in ours.items():
        ratios = [at.get("of_best_peer") for at in of["at"].values()]
        table.add_row(name, *("" if ratio is None else f"{ratio:.2f}x" for ratio in ratios))
    for peer in EVOLUTIONS:
        below = [at.get(f"over {peer}") for at in ours.get("evolution", {"at": {}})["at"].values()]
        if below and all(below):
            cells = (f"{mean:.5f} ±{half or 0:.5f}" for mean, half, _ in below)
            table.add_row(f"evolution: below {peer}", *cells)
    return table


def arguments_of() -> argparse.Namespace:
    parser = problem_parser(__doc__)
    parser.add_argument("--objectives", default="accuracy,reward")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument(
        "--tpe-seeds", type=int, default=40, help="of Optuna's TPE, tpe, nsga2 and predictor, at most"
    )
    parser.add_argument("--tpe-trials", type=int, default=200, help="of Optuna's TPE, at most")
    parser.add_argument("--budgets", default="50,100,200,500")
    parser.add_argument("--workers", default="1,16")
    parser.add_argument("--strategies", help=f"default: all, and {', '.join(PEERS)}")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--output", type=Path, default=Path("runs/strategies"))
    arguments = parser.parse_args()
    arguments.objectives = [name for name in arguments.objectives.split(",") if name in REWARDS]
    arguments.budgets = sorted(int(budget) for budget in arguments.budgets.split(","))
    arguments.workers = [int(workers) for workers in arguments.workers.split(",")]
    arguments.strategies = arguments.strategies.split(",") if arguments.strategies else [*OURS, *PEERS]
    arguments.tpe_seeds = min(arguments.tpe_seeds, arguments.seeds)
    if unknown := set(arguments.strategies) - {*OURS, *PEERS}:
        parser.error(f"no such strategy: {', '.join(sorted(unknown))}; there are {', '.join(OURS)}")
    return arguments


def main() -> None:
    """Runs, prints and writes; the JSON also holds what the tables leave out."""
    arguments = arguments_of()
    console = Console(width=max(Console().width, 150), highlight=False)
    arguments.output.mkdir(parents=True, exist_ok=True)
    title = "synthetic" if arguments.synthetic else arguments.table.stem
    result: dict[str, Any] = {"arguments": vars(arguments), "blocks": []}
    for block in run_blocks(arguments, console):
        figures = evaluated(block, arguments.budgets)
        console.print(table_of(block, figures, arguments.budgets, title=title))
        if ratios := ratios_of(figures):
            console.print(ratios)
        draw_curves(
            arguments.output / f"{title}-{block.objective}-{block.workers}.png",
            block.regrets,
            title=f"{title}: {block.objective}, {block.workers} workers",
            y_label="regret",
            logarithmic=True,
        )
        result["blocks"].append(
            {"objective": block.objective, "workers": block.workers, "strategies": figures}
        )
        (arguments.output / f"{title}.json").write_text(json.dumps(result, default=str, indent=1))
    console.print("+ better, - worse than random search (Holm-corrected, 95 %)")
    console.print(f"{arguments.output}/{title}.json and curves as PNG")


if __name__ == "__main__":
    main()
