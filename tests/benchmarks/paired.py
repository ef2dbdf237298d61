"""Variants of a strategy in whole searches, paired by seed: regret, and trials until a good one is seen.

    python tests/benchmarks/paired.py predictor '{name: predictor, initial: 10}' --problems networks
    python tests/benchmarks/paired.py predictor evolution --table TABLE.parquet --problems table --workers 16

Each variant is a strategy's name or a mapping of its name and settings. The first is what the others are
compared with, on the same seeds. Problems: `table` (of --table), `synthetic` (20 to 40 decisions), `networks`
(a made-up objective over the cifar space), each of --objective.

Prints for each problem and variant the mean regret of what is recommended after 10, 20, 50, 100 and 200
trials, how far it is below the first variant's, with the 95 % interval of the mean difference; the worst
seed's regret over the median one's at the last budget; and the trials until a network of the best 0.1 % was
trained: median, 90th percentile, searches without. Strategies are asked for their opinion at these budgets
alone, which makes searches half as long as those of strategies.py.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from network_problem import network_problem
from problems import REWARDS, synthetic_problem, table_problem

from analysis.seed_curves import interval
from nas.simulation.simulate import KnownOutcomes, simulate_search
from nas.strategies.strategy import Recommends, Strategy
from nas.strategies.table import build_strategy
from search_spaces.choices.choice_space import Choices
from trials.trial import Ask, Outcome

BUDGETS = (10, 20, 50, 100, 200)
BEST_SHARE = 0.001
UNIFORM = 10_000  # networks by which the best share of a large space is found


class Observed:
    """A strategy that is asked for the best network at BUDGETS alone."""

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy
        self._count = 0
        self.recommended: dict[int, Choices] = {}
        self.ask, self.asked, self.withdrawn = strategy.ask, strategy.asked, strategy.withdrawn

    def told(self, ask: Ask, outcome: Outcome) -> None:
        self._strategy.told(ask, outcome)
        self._count += outcome.status == "completed"
        if self._count in BUDGETS and isinstance(self._strategy, Recommends):
            for choices in self._strategy.leaders(1):
                self.recommended.setdefault(self._count, choices)


@dataclass(frozen=True)
class Search:
    """Regret by budget, and the trial that first trained one of the best."""

    regret: dict[int, float]
    seen: float  # infinite if none did


def run_search(known: KnownOutcomes, variant: dict[str, Any], seed: int, trials: int, workers: int) -> Search:
    """One search of a variant."""
    settings = {name: value for name, value in variant.items() if name != "name"}
    strategy = Observed(build_strategy(variant["name"], known.space, seed=seed, epochs=1, settings=settings))
    ends = [
        end
        for end in simulate_search(known, strategy, seed=seed, trials=trials, workers=workers)
        if end.counts
    ]
    assert known.best is not None
    regret = {}
    for budget in (budget for budget in BUDGETS if budget <= trials):
        luckiest = max(ends[:budget], key=lambda end: end.outcome.reward).ask.choices
        choices = strategy.recommended.get(budget, luckiest)
        regret[budget] = known.best - known.expected_reward(choices)
    good = least_of_the_best(known)
    seen = [i for i, end in enumerate(ends, 1) if known.expected_reward(end.ask.choices) >= good]
    return Search(regret, seen[0] if seen else np.inf)


def least_of_the_best(known: KnownOutcomes) -> float:
    """The least expected reward of the best 0.1 %; at least one network is of them."""
    rng = np.random.default_rng(5)
    drawn = {known.space.sample(rng) for _ in range(min(UNIFORM, 20 * known.space.size))}
    values = np.sort([known.expected_reward(choices) for choices in drawn])[::-1]
    return float(values[max(int(BEST_SHARE * len(values)), 1) - 1])


def problem_of(arguments: argparse.Namespace, name: str, seed: int) -> KnownOutcomes:
    if name == "table":
        columns = (arguments.accuracy, arguments.seconds)
        return table_problem(str(arguments.table), *columns, arguments.objective, seed=seed)
    return (synthetic_problem if name == "synthetic" else network_problem)(seed, arguments.objective)


def line(name: str, found: list[Search], first: list[Search]) -> str:
    """Figures of a variant."""
    cells = []
    for budget in found[0].regret:
        ours = np.array([search.regret[budget] for search in found])
        below, half = interval(np.array([search.regret[budget] for search in first]) - ours)
        cells.append(f"{budget}: {ours.mean():.5f} ({below:+.5f} +- {half or 0:.5f})")
    worst = float(ours.max() / np.median(ours)) if np.median(ours) > 0 else float("nan")
    seen = np.array([search.seen for search in found])
    # No interpolation: a quantile may be infinite.
    median, p90 = (float(np.quantile(seen, q, method="higher")) for q in (0.5, 0.9))
    missed = int(np.isinf(seen).sum())
    ends = f"worst/median {worst:.1f}  seen {median:g} ({p90:g}), {missed} not"
    return f"  {name[:40]:40s} {'  '.join(cells)}  {ends}"


def main() -> None:
    """Runs the searches of a problem in turn, and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("variants", nargs="+")
    parser.add_argument("--problems", default="synthetic,networks")
    parser.add_argument("--objective", choices=list(REWARDS), default="reward")
    parser.add_argument("--table", type=Path)
    parser.add_argument("--accuracy", default="test_acc_*", help="the table's columns of runs")
    parser.add_argument("--seconds", default="flops", help="the table's column of durations and step time")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    given = {text: yaml.safe_load(text) for text in arguments.variants}
    variants = {text: {"name": each} if isinstance(each, str) else each for text, each in given.items()}
    for problem in arguments.problems.split(","):
        found: dict[str, list[Search]] = {text: [] for text in variants}
        for seed in range(arguments.seeds):
            known = problem_of(arguments, problem, seed)
            for text, variant in variants.items():
                found[text].append(run_search(known, variant, seed, arguments.trials, arguments.workers))
        print(
            f"{problem}, {arguments.objective}, {arguments.workers} workers, {arguments.seeds} seeds; regret"
        )
        for text, searches in found.items():
            print(line(text, searches, found[arguments.variants[0]]), flush=True)


if __name__ == "__main__":
    main()
