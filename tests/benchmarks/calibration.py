"""The predictor's uncertainty: how often its intervals hold the accuracy, on random and on proposed networks.

    python tests/benchmarks/calibration.py --synthetic --seeds 10
    python tests/benchmarks/calibration.py --table TABLE.parquet

Random: the model of 30, 60 and 120 uniform trials forecasts 200 other uniform networks. Proposed: in a search
of the accuracy, the model forecasts each network that it asks for, from the 21st trial on, before it is told.
Each is compared with the accuracy expected of the network (a table's other runs; without noise), by the
forecast's `spread`, and with one training of it, by `trained`. Left out are accuracies below the floor under
which the model does not distinguish failures.

Prints the coverage of intervals of 50, 80 and 95 %, with the standard error over seeds of that of 80 %, and
the root mean square of the errors in standard deviations (1 where they are as large as forecast).
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from network_problem import network_problem
from problems import synthetic_problem, table_problem
from scipy.stats import norm

from analysis.choice_model import accuracy_logit
from nas.simulation.simulate import KnownOutcomes
from nas.strategies.predictor.predictor import Predictor, PredictorSettings
from nas.strategies.robust_floor import robust_floor
from search_spaces.choices.choice_space import Choices
from trials.trial import Ask

TRIALS = (30, 60, 120)  # that a model of random networks is told
TESTED = 200
FIRST, LAST = 20, 80  # asks of a search that are compared
LEVELS = (0.5, 0.8, 0.95)
TEST_TRIALS = 1_000_000  # ids of the tested networks' trainings, which seed their luck

Errors = tuple[np.ndarray, np.ndarray]  # in standard deviations: of the expected accuracy, of one training


def errors_of(strategy: Predictor, known: KnownOutcomes, tested: list[Choices], seed: int) -> Errors:
    """Errors of the strategy's forecasts of networks, but for those below the floor."""
    forecast = strategy.forecast(tested)
    assert forecast is not None
    expected = accuracy_logit(np.array([known.expected_reward(choices) for choices in tested]))
    outcomes = [known.outcome(choices, seed, TEST_TRIALS + i) for i, choices in enumerate(tested)]
    once = accuracy_logit(np.array([outcome.accuracy for outcome in outcomes]))
    floor = robust_floor(expected) if len(tested) > 1 else -np.inf
    above = (expected > floor) & (once > floor)
    return (
        ((expected - forecast.mean) / forecast.spread)[above],
        ((once - forecast.mean) / forecast.trained)[above],
    )


def tell(strategy: Predictor, known: KnownOutcomes, choices: Choices, seed: int, trial_id: int) -> None:
    """One trial of a search."""
    ask = Ask(trial_id=trial_id, choices=choices, epochs=1)
    strategy.asked(ask)
    strategy.told(ask, known.outcome(choices, seed, trial_id))


def on_random(known: KnownOutcomes, seed: int, trials: int) -> Errors:
    """Errors on random networks, of the model of as many random trials."""
    rng = np.random.default_rng([seed, 3])
    drawn = list(dict.fromkeys(known.space.sample(rng) for _ in range(2 * (trials + TESTED))))
    strategy = Predictor(known.space, seed, epochs=1, settings=PredictorSettings())
    for trial_id, choices in enumerate(drawn[:trials]):
        tell(strategy, known, choices, seed, trial_id)
    return errors_of(strategy, known, drawn[trials : trials + TESTED], seed)


def on_proposed(known: KnownOutcomes, seed: int) -> Errors:
    """Errors on the networks that a search proposes."""
    strategy = Predictor(known.space, seed, epochs=1, settings=PredictorSettings())
    found: list[Errors] = []
    for trial_id in range(LAST):
        choices = strategy.ask(trial_id).choices
        if trial_id >= FIRST:
            found.append(errors_of(strategy, known, [choices], seed))
        tell(strategy, known, choices, seed, trial_id)
    return np.concatenate([each[0] for each in found]), np.concatenate([each[1] for each in found])


def line(name: str, errors: list[np.ndarray]) -> str:
    """Coverages over all seeds, and the root mean square."""
    pooled = np.concatenate(errors)
    limits = [float(norm.ppf(0.5 + level / 2)) for level in LEVELS]
    covered = [float((np.abs(pooled) < limit).mean()) for limit in limits]
    by_seed = [float((np.abs(each) < limits[1]).mean()) for each in errors]
    error = np.std(by_seed, ddof=1) / np.sqrt(len(by_seed)) if len(by_seed) > 1 else float("nan")
    shown = " / ".join(f"{share:.2f}" for share in covered)
    return f"  {name:34s} {shown}   (80 %: +- {error:.2f})   rms {np.sqrt((pooled**2).mean()):.2f}"


def main() -> None:
    """Prints a line for each number of random trials, and one for proposed networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--table", type=Path, help="Parquet: choices, accuracies of several runs")
    where.add_argument("--synthetic", action="store_true", help="20-40 decisions, 1e9-1e12 architectures")
    where.add_argument("--networks", action="store_true", help="a made-up objective over the cifar space")
    parser.add_argument("--accuracy", default="test_acc_*", help="the table's columns of runs")
    parser.add_argument("--seconds", default="flops", help="the table's column of durations")
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()

    def problem(seed: int) -> KnownOutcomes:
        if arguments.synthetic:
            return synthetic_problem(seed, "accuracy")
        if arguments.networks:
            return network_problem(seed, "accuracy")
        return table_problem(
            str(arguments.table), arguments.accuracy, arguments.seconds, "accuracy", seed=seed
        )

    cases: dict[str, Callable[[int], Errors]] = {
        f"random, model of {trials} trials": lambda seed, trials=trials: on_random(  # type: ignore[misc]
            problem(seed), seed, trials
        )
        for trials in TRIALS
    }
    cases["proposed"] = lambda seed: on_proposed(problem(seed), seed)
    print(f"coverage of 50 / 80 / 95 % intervals, {arguments.seeds} seeds")
    for name, errors in cases.items():
        found = [errors(seed) for seed in range(arguments.seeds)]
        print(line(f"{name}: expected", [each[0] for each in found]))
        print(line(f"{name}: one training", [each[1] for each in found]), flush=True)


if __name__ == "__main__":
    main()
