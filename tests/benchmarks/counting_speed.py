"""How fast architectures of the paper's space are counted, cold and warm; whether parts add up to the whole.

    python tests/benchmarks/counting_speed.py [--architectures 2000] [--resolution 192]

Ends with exit code 1 if a count differs from the whole network's, or if warm counting is below 1,000 per
second. Two cores, torch 2.13 (CPU): 1,050 per second cold, 7,700 warm, 7.3 as whole networks.
"""

import argparse
import statistics
import sys
import time

import numpy as np
import torch

from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import count, count_module
from search_spaces.networks.network import build_network
from search_spaces.settings.yaml_files import read_yaml

SEED, NUM_CLASSES = 0, 1000
PASSES, COMPARED = 5, 20
REQUIRED_PER_SECOND = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architectures", type=int, default=2000)
    parser.add_argument("--resolution", type=int, default=192)
    arguments = parser.parse_args()
    architectures = distinct_architectures(arguments.architectures)
    print(f"{len(architectures):,} distinct architectures of the paper's space, {arguments.resolution} px")
    cold = per_second(architectures, arguments.resolution)
    warm = [per_second(architectures, arguments.resolution) for _ in range(PASSES)]
    median = statistics.median(warm)
    print(f"cold {cold:9,.0f} architectures/s (every block seen for the first time once)")
    spread = f"{min(warm):,.0f} to {max(warm):,.0f}"
    print(f"warm {median:9,.0f} architectures/s, median of {PASSES} passes; {spread}")
    whole = time_whole_networks(architectures[:COMPARED], arguments.resolution)
    print(
        f"whole networks built and counted in one go: {whole:,.1f} architectures/s; {COMPARED} equal counts"
    )
    sys.exit(0 if median >= REQUIRED_PER_SECOND else 1)


def distinct_architectures(number: int) -> list[Architecture]:
    """That many different ones, uniformly drawn, the same on every run."""
    space = read_yaml(SearchSpace, "paper")
    rng, choice_space = np.random.default_rng(SEED), space.choice_space()
    found: dict[tuple[int, ...], None] = {}
    while len(found) < number:
        found[choice_space.sample(rng)] = None
    return [space.decode(choices) for choices in found]


def per_second(architectures: list[Architecture], resolution: int) -> float:
    """Architectures counted per second of wall-clock time."""
    start = time.perf_counter()
    for architecture in architectures:
        count(architecture, num_classes=NUM_CLASSES, resolution=resolution)
    return len(architectures) / (time.perf_counter() - start)


def time_whole_networks(architectures: list[Architecture], resolution: int) -> float:
    """Whole networks built on the meta device and counted per second; exits if one differs from its parts."""
    seconds = 0.0
    for architecture in architectures:
        start = time.perf_counter()
        with torch.device("meta"):
            network = build_network(architecture, num_classes=NUM_CLASSES)
        whole = count_module(network, 1, 3, resolution, resolution)
        seconds += time.perf_counter() - start
        parts = count(architecture, num_classes=NUM_CLASSES, resolution=resolution)
        if (parts.params, parts.macs, parts.activations) != (whole.params, whole.macs, whole.activations):
            sys.exit(f"{architecture.architecture_id}: {parts} in parts, {whole} in one go")
    return len(architectures) / seconds


if __name__ == "__main__":
    main()
