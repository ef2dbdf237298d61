"""How fast a space is sampled, with identities: without limits, and within limits of decreasing room.

python tests/benchmarks/sampling_speed.py [--samples 10000] [--passes 5]
Ends with exit code 1 if an unlimited space gives fewer than 10,000 architectures per second.
"""

import argparse
import statistics
import sys
import time
from dataclasses import replace

import numpy as np

from search_spaces.choices.limits import Limits
from search_spaces.choices.space import SearchSpace
from search_spaces.settings.yaml_files import read_yaml

LIMITS = (
    Limits(),
    Limits(params=30_000_000),
    Limits(params=8_000_000),
    Limits(params=8_000_000, macs=600_000_000),
    Limits(params=4_000_000),
    Limits(params=3_850_000),
)
MUST = 10_000


def rate(space: SearchSpace, *, samples: int, passes: int) -> tuple[float, float, list[float], int]:
    """(seconds of the first draw, share within limits, samples per second of each pass, distinct ids)."""
    seen = space.choice_space(num_classes=1000, resolution=224)
    before = time.perf_counter()
    seen.sample(np.random.default_rng(0))
    first = time.perf_counter() - before
    rates = []
    identities: set[str] = set()
    for i in range(passes):
        rng = np.random.default_rng(i)
        before = time.perf_counter()
        identities = {space.decode(seen.sample(rng)).architecture_id for _ in range(samples)}
        rates.append(samples / (time.perf_counter() - before))
    share = space.share_within_limits(num_classes=1000, resolution=224)
    return first, share, rates, len(identities)


def main() -> int:
    """Prints a line per space and limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--passes", type=int, default=5)
    arguments = parser.parse_args()
    slow = False
    print(f"{'space':<6} {'limits':<34} share   first draw  per second (lowest - highest)  distinct")
    for name in ("paper", "wide", "cifar"):
        for limits in LIMITS if name == "paper" else LIMITS[:1]:
            space = replace(read_yaml(SearchSpace, name), limits=limits)
            first, share, rates, distinct = rate(space, samples=arguments.samples, passes=arguments.passes)
            shown = ", ".join(f"{key} {most:,}" for key, most in limits.counted().items()) or "none"
            median = statistics.median(rates)
            print(
                f"{name:<6} {shown:<34} {share:5.1%}  {first:9.3f} s  {median:9,.0f} "
                f"({min(rates):,.0f} - {max(rates):,.0f})  {distinct:,}"
            )
            slow |= not limits.counted() and median < MUST
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
