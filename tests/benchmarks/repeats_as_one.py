"""A bound of training K seeds of a network as one model: a step of K times the images over one step.

    python tests/benchmarks/repeats_as_one.py [--seeds 3] [--networks 3] [--passes 5]

Seeds with weights of their own cost more than images that share them, so this ratio bounds from below what K
repeats would take over one. Random networks of each space, at 32 px, steps in turn, one core of a CPU.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))

from roofline import CLASSES, new_step

from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import read_yaml
from trials.devices.device import cpu_name, keep_freed_memory
from trials.training.synthetic_batch import SyntheticBatch

SPACES = {"tiny": 64, "small": 64, "cifar": 128}  # and the batch of their trials
CPU = torch.device("cpu")


def ratios(architecture: Architecture, batch: int, *, seeds: int, precision: str, passes: int) -> list[float]:
    """The time of a step of `seeds` batches over that of one, for each pass."""
    steps = {size: new_step(architecture, CPU, precision, size) for size in (batch, seeds * batch)}
    images = {
        size: SyntheticBatch.random(batch_size=size, resolution=32, num_classes=CLASSES, device=CPU)
        for size in steps
    }
    found = []
    for number in range(passes + 1):
        seconds = []
        for size, step in steps.items():
            count, started = 0, time.perf_counter()
            while count < 2 or time.perf_counter() - started < 0.25:
                step(images[size].images, images[size].labels)
                count += 1
            seconds.append((time.perf_counter() - started) / count)
        if number:  # the first pass warms up
            found.append(seconds[1] / seconds[0])
    return found


def main() -> None:
    """Prints the median and the range of each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--networks", type=int, default=3)
    parser.add_argument("--passes", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    print(cpu_name())
    for name, batch in SPACES.items():
        space, rng = read_yaml(SearchSpace, name), np.random.default_rng(5)
        for number in range(arguments.networks):
            architecture = space.decode(space.choice_space().sample(rng))
            for precision in ("fp32", "bf16"):
                found = ratios(
                    architecture, batch, seeds=arguments.seeds, precision=precision, passes=arguments.passes
                )
                print(
                    f"{name:6} network {number} {precision}  {statistics.median(found):.2f} "
                    f"({min(found):.2f} to {max(found):.2f}, n = {len(found)})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
