"""How many simulated trials pass in a second: random search, 16 workers, nothing durable.

    python tests/benchmarks/simulation_speed.py [--trials 20000] [--passes 5]

A whole search in memory by the rules of a real one (as of `nas simulate` and tests/benchmarks/strategies.py),
over 30 decisions and over a table of 6,561 rows; the executor alone, with trials and results of full size.
Ends with exit code 1 if a search in memory passes fewer than 2,000 trials per second.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import product

from engine_overhead import configuration, start_nothing

from nas.simulation.simulate import EPOCHS, KnownOutcomes, simulate_search
from nas.strategies.table import STRATEGIES, build_strategy
from search_spaces.choices.choice_space import Choices, ChoiceSpace
from trials.executors.simulated import simulated
from trials.trial import Outcome, Trial, TrialResult

WORKERS = 16
MUST = 2_000
SLOW_TRIALS = 500  # of strategies that learn


def outcomes(space: ChoiceSpace) -> KnownOutcomes:
    """Of a formula that costs next to nothing."""

    def outcome(choices: Choices, seed: int, trial_id: int) -> Outcome:
        worth = 0.5 + 0.1 * choices[0]
        return Outcome(status="completed", reward=worth, accuracy=worth, step_time_ratio=1.0, params=1.0)

    return KnownOutcomes(
        space=space, outcome=outcome, seconds=lambda c: 60.0 + sum(c), expected_reward=lambda c: 0.0
    )


def in_memory(known: KnownOutcomes, name: str, trials: int) -> Callable[[], int]:
    def run() -> int:
        strategy = build_strategy(name, known.space, seed=0, epochs=EPOCHS, settings={})
        ends = simulate_search(known, strategy, seed=0, trials=trials, workers=WORKERS)
        return sum(end.counts for end in ends)

    return run


def executor_alone(trials: int) -> Callable[[], int]:
    config = configuration(trials)

    def source() -> Iterator[Trial]:
        for i in range(trials):
            yield Trial(
                trial_id=i, choices=(), architecture=config.space.reference, recipe=config.recipe,
                epochs=config.recipe.epochs, seed=i,
            )  # fmt: skip

    def run() -> int:
        events = simulated(workers=WORKERS)(start_nothing, source())
        return sum(isinstance(event, TrialResult) for event in events)

    return run


def main() -> int:
    """Prints a line per case: trials per second, median, lowest, highest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=20_000)
    parser.add_argument("--passes", type=int, default=5)
    arguments = parser.parse_args()
    wide = outcomes(ChoiceSpace((3,) * 30))
    table = outcomes(ChoiceSpace.from_table(product(range(3), repeat=8)))
    cases = {
        "random_search, 30 decisions": in_memory(wide, "random_search", arguments.trials),
        "random_search, a table": in_memory(table, "random_search", 2_000),
        "the executor alone": executor_alone(arguments.trials),
    } | {
        f"{name}, 30 decisions": in_memory(wide, name, SLOW_TRIALS)
        for name in STRATEGIES
        if name not in ("random_search", "successive_halving")  # which is told curves
    }
    slow = False
    for label, run in cases.items():
        rates = []
        for _ in range(arguments.passes):
            before = time.perf_counter()
            rates.append(run() / (time.perf_counter() - before))
        print(f"{label:<32} {statistics.median(rates):9,.0f}/s  ({min(rates):,.0f} - {max(rates):,.0f})")
        slow |= label.startswith("random_search") and statistics.median(rates) < MUST
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
