"""Searches of the predictor that knows a proxy beforehand against searches that do not, on the same seeds.

    python tests/benchmarks/proxy_searches.py small --networks small analysis/tables/small_cifar10.parquet

After tests/benchmarks/proxies.py of the same networks, whose proxies in --output it reads. Searches are for
accuracy, in the table alone; both sides know parameters and multiply-adds. Prints the regret of the network
that would be recommended, and by how much it changes, with the 95 % interval of the paired differences.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from proxies import known
from proxy_networks import Networks, of_macro, of_space

from analysis.intervals import half_width
from nas.simulation.simulate import KnownOutcomes, simulate_seeds
from nas.strategies.table import build_strategy
from search_spaces.choices.choice_space import Choices, ChoiceSpace
from trials.trial import Outcome

BUDGETS = (10, 15, 20, 30)


def problem(
    networks: Networks, rows: pd.DataFrame, names: Sequence[str], *, initialisations: int
) -> KnownOutcomes:
    """Searches for accuracy that know parameters, multiply-adds and these proxies."""
    table = known(networks, rows, inputs="real", initialisations=initialisations, given=("params", "macs"))
    columns = {"params": table.counts[:, 0], "macs": table.counts[:, 1]}
    columns |= {name: table.proxies[name] for name in names}
    choices = [tuple(row) for row in table.choices.tolist()]
    place = {each: i for i, each in enumerate(choices)}
    accuracy = 1 / (1 + np.exp(-table.logit))

    def outcome(each: Choices, seed: int, trial_id: int) -> Outcome:
        value = float(accuracy[place[each]])
        return Outcome(status="completed", reward=value, accuracy=value, step_time_ratio=1.0, params=1.0)

    def beforehand(each: Choices) -> dict[str, float]:
        # The predictor takes logarithms and standardises them.
        return {name: float(np.exp(values[place[each]])) for name, values in columns.items()}

    return KnownOutcomes(
        space=ChoiceSpace.from_table(choices, known=beforehand),
        outcome=outcome,
        seconds=lambda each: 1.0,
        expected_reward=lambda each: float(accuracy[place[each]]),
        best=float(accuracy.max()),
    )


def regrets(task: KnownOutcomes, *, seeds: int) -> np.ndarray:
    """Regret after each trial of each seed's search, (seeds, trials)."""

    def build(seed: int) -> object:
        return build_strategy("predictor", task.space, seed=seed, epochs=1, settings={})

    assert task.best is not None
    curves = simulate_seeds(task, build, seeds=range(seeds), trials=BUDGETS[-1], workers=1)  # type: ignore[arg-type]
    return np.asarray(task.best - curves.expected_rewards)


def main() -> None:
    """Searches and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name", help="of the file in --output")
    parser.add_argument("--networks", nargs=2, metavar=("SPACE", "TABLE"), required=True)
    parser.add_argument("--side", type=int, default=32, help="of images, in pixels")
    parser.add_argument("--count", type=int, default=150, help="networks of NAS-Bench-Macro")
    parser.add_argument("--mean", type=int, default=1, help="initialisations of which the mean is taken")
    parser.add_argument("--proxies", default="swap,naswot,trainability,activations")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--output", type=Path, default=Path("runs/proxies"))
    arguments = parser.parse_args()
    space, path = arguments.networks[0], Path(arguments.networks[1])
    networks = (
        of_macro(path, networks=arguments.count)
        if space == "macro"
        else of_space(space, path, side=arguments.side)
    )
    rows = pd.read_parquet(arguments.output / f"{arguments.name}.parquet")

    def found(*names: str) -> np.ndarray:
        task = problem(networks, rows, names, initialisations=arguments.mean)
        return regrets(task, seeds=arguments.seeds)[:, [budget - 1 for budget in BUDGETS]]

    without = found()
    print(f"{arguments.name}, {arguments.seeds} seeds; regret in points after {BUDGETS} trials")
    print(f"{'without':14}", *(f"{100 * value:14.2f}" for value in without.mean(axis=0)))
    for name in arguments.proxies.split(","):
        change = 100 * (found(name) - without)
        cells = zip(change.mean(axis=0), half_width(change), strict=True)
        print(f"{name:14}", *(f"{mean:+7.2f} ±{half:5.2f}" for mean, half in cells), flush=True)


if __name__ == "__main__":
    main()
