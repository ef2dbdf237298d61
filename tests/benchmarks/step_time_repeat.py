"""How far step-time ratios can be trusted: the same networks, timed again and again.

    python tests/benchmarks/step_time_repeat.py [--space cifar] [--networks 24] [--visits 5] [--json FILE]

Each pass visits all networks in an order of its own, so that a network's visits are spread over the run. A
visit builds the network anew and times it as a trial does. Of the ratios: the coefficient of variation over
a network's visits, and Kendall's tau between passes. Beside them the same of the seconds alone, which is what
one would have without a reference.
"""

import argparse
import itertools
import statistics
import time

import numpy as np
from timed_networks import SEED, Bench, add_conditions, drawn, percent, variation

from analysis.rank_correlation import kendall_tau
from search_spaces.choices.space import SearchSpace
from search_spaces.settings.yaml_files import read_yaml
from trials.measurement import StepTime


def passes(bench: Bench, space: SearchSpace, networks: int, visits: int) -> list[list[StepTime]]:
    """The step times by pass and network."""
    architectures, rng = drawn(space, networks), np.random.default_rng(SEED)
    done: list[list[StepTime]] = []
    for number in range(visits):
        started = time.perf_counter()
        found: dict[int, StepTime] = {}
        for i in rng.permutation(networks):
            with bench.lock.timing():
                found[int(i)] = bench.visit(architectures[int(i)])
        done.append([found[i] for i in range(networks)])
        print(f"pass {number + 1} of {visits}: {time.perf_counter() - started:.0f} s", flush=True)
    return done


def main() -> None:
    """Prints scatter and agreement of ratios and of seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--space", default="cifar")
    parser.add_argument("--networks", type=int, default=24)
    parser.add_argument("--visits", type=int, default=5)
    add_conditions(parser)
    arguments = parser.parse_args()
    space = read_yaml(SearchSpace, arguments.space)
    bench = Bench(space.reference, arguments)
    measured = passes(bench, space, arguments.networks, arguments.visits)

    waited = bench.lock.waited_seconds
    print(
        f"\n{bench.headline}; {arguments.networks} networks of {arguments.space}, {arguments.visits} visits"
    )
    table = {}
    for name in ("step_time_ratio", "step_seconds"):
        by_pass = [[getattr(step_time, name) for step_time in visited] for visited in measured]
        scatter = [variation(list(values)) for values in zip(*by_pass, strict=True)]
        taus = [kendall_tau(a, b) for a, b in itertools.combinations(by_pass, 2)]
        table[name] = {"values": by_pass, "variation": scatter, "taus": taus}
        p90 = float(np.percentile(scatter, 90))
        print(
            f"{name:<16} variation over visits: median {percent(statistics.median(scatter))}, "
            f"p90 {percent(p90)}, largest {percent(max(scatter))}; "
            f"tau between passes: median {statistics.median(taus):.3f}, lowest {min(taus):.3f}"
        )
    everything = [step_time for visited in measured for step_time in visited]
    costs = [step_time.timing_seconds for step_time in everything]
    reference = [step_time.reference_step_seconds for step_time in everything]
    flagged = sum(step_time.flag is not None for step_time in everything)
    longest = max(reference) / min(reference)
    print(
        f"n = {len(everything)}: {flagged} flagged; cost of a visit: "
        f"median {statistics.median(costs):.2f} s, most {max(costs):.2f} s; "
        f"rounds: median {statistics.median(s.rounds for s in everything):.0f}; "
        f"reference step {1000 * statistics.median(reference):.1f} ms, slowest over fastest {longest:.2f}; "
        f"waited {waited:.1f} s for others"
    )
    bench.write({**table, "costs": costs, "flagged": flagged, "reference_step_seconds": reference})


if __name__ == "__main__":
    main()
