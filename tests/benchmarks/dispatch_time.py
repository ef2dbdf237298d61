"""From handing a never-seen architecture to a warm worker until its first training step begins.

    python tests/benchmarks/dispatch_time.py [--networks 40] [--space cifar] [--resolution 32] [--json FILE]

Every network is another one. Its step time is taken as known, so that what counts is the way to the worker,
building, counting, and the events of it coming back. Workers are persistent Ray actors, as in a search.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from trial_throughput import UNMEASURED

from search_spaces.choices.space import SearchSpace
from search_spaces.settings.yaml_files import read_yaml
from trials.devices.device import available_slots
from trials.executors.ray_actors import ray_actors
from trials.images.config import DataConfig
from trials.recipe import Ramp, Recipe
from trials.run_trial import start_worker
from trials.trial import Progress, Trial
from trials.worker_setup import WorkerSetup

WARM_UP = 4


def main() -> None:
    """Prints median, tenth and ninetieth percentile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--networks", type=int, default=40)
    parser.add_argument("--space", default="cifar")
    parser.add_argument("--source", default="digits")
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    space = read_yaml(SearchSpace, arguments.space)
    seen, rng = space.choice_space(), np.random.default_rng(21)
    side = float(arguments.resolution)
    recipe = Recipe(epochs=1, batch_size=64, resolution=Ramp(side, side), averaging_decay=0.99)
    sent: dict[int, float] = {}

    def trials() -> Iterator[Trial | None]:
        for trial_id in range(arguments.networks + WARM_UP):
            architecture = space.decode(seen.sample(rng))
            sent[trial_id] = time.perf_counter()
            yield Trial(
                trial_id=trial_id, choices=(), architecture=architecture, recipe=recipe, epochs=1, seed=1,
                step_time=UNMEASURED,
            )  # fmt: skip

    setup = WorkerSetup(
        data=DataConfig(source=arguments.source, fraction=0.2, minival=0.2), reference=space.reference
    )
    begun: dict[int, float] = {}
    workers = len(available_slots())
    for event in ray_actors(workers=workers)(partial(start_worker, setup=setup), trials()):
        if isinstance(event, Progress) and event.phase == "training" and event.trial_id not in begun:
            begun[event.trial_id] = time.perf_counter()
    seconds = [begun[i] - sent[i] for i in sorted(begun) if i >= WARM_UP]
    p10, p90 = np.percentile(seconds, [10, 90])
    print(
        f"dispatch to the first step, warm workers ({workers}), new architectures of {arguments.space}: "
        f"{statistics.median(seconds):.3f} s (p10 {p10:.3f}, p90 {p90:.3f}, most {max(seconds):.3f}), "
        f"n = {len(seconds)}"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps({"seconds": seconds, **vars(arguments)}, default=str))


if __name__ == "__main__":
    main()
