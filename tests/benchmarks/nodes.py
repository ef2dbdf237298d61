"""Local Ray nodes: as many slots on one node and on several; how soon a lost trial runs again.

    python tests/benchmarks/nodes.py [--slots 2] [--trials 16] [--passes 3] [--losses 3] [--json FILE]

*Slots*: the same real trials (digits, two epochs, timed as always) on one node with all slots, and on nodes
with one slot each, in turn; trials per minute from the first result to the last. *Losses*: a worker is killed
(-9), or a node is removed; seconds until the next attempt of its trial is heard of.
"""

import argparse
import json
import os
import signal
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from search_spaces.choices.space import SearchSpace
from search_spaces.settings.yaml_files import read_yaml
from trials.executors.ray_actors import ray_actors
from trials.images.config import DataConfig
from trials.recipe import Recipe
from trials.run_trial import start_worker
from trials.trial import Progress, StartWorker, Trial, TrialResult, WorkerJoined
from trials.worker_setup import WorkerSetup

RESOLUTION = 16
RECIPE = Recipe(epochs=2, batch_size=64, resolution=RESOLUTION, flip=False, warmup_epochs=0.5)
SPACE = read_yaml(SearchSpace, "tiny")
KINDS = ("worker", "node")


@contextmanager
def cluster(nodes: int, slots: int) -> Iterator[Any]:
    """A head without slots, and `nodes` nodes of `slots` slots each, by which they are known."""
    import ray
    from ray.cluster_utils import Cluster

    found: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    found.nodes = {node.node_id: node for node in (found.add_node(num_cpus=slots) for _ in range(nodes))}
    try:
        yield found
    finally:
        ray.shutdown()
        found.shutdown()


def real_trials(number: int) -> Iterator[Trial]:
    """Trials of networks drawn from the space."""
    rng, space = np.random.default_rng(0), SPACE.choice_space()
    for i in range(number):
        choices = space.sample(rng)
        architecture = SPACE.decode(choices)
        yield Trial(
            trial_id=i,
            choices=choices,
            architecture=architecture,
            recipe=RECIPE,
            epochs=RECIPE.epochs,
            seed=i,
        )


def start() -> StartWorker:
    """Real workers on the built-in digits."""
    data = DataConfig(source="digits")
    setup = WorkerSetup(data=data, reference=SPACE.reference, resolutions=(RESOLUTION,))
    return partial(start_worker, setup=setup)


def per_minute(nodes: int, slots: int, trials: int) -> float:
    """Trials per minute of warm workers on so many nodes."""
    ends: list[float] = []
    with cluster(nodes, slots) as found:
        for event in ray_actors(address=found.address)(start(), real_trials(trials)):
            if isinstance(event, TrialResult):
                assert event.status == "completed", event.error
                ends.append(time.perf_counter())
    return 60 * (trials - 1) / (ends[-1] - ends[0])


def seconds_until_again(kind: str, trials: int) -> float:
    """From the loss of a worker, or of its node, to the first word of its trial's next attempt."""
    again: list[Trial] = []
    ended: set[int] = set()
    workers: dict[int, WorkerJoined] = {}
    victim, lost_at, waited = -1, 0.0, 0.0

    def given() -> Iterator[Trial | None]:
        yield from real_trials(trials)
        while len(ended) < trials:
            yield again.pop() if again else None

    with cluster(3, 1) as found:
        for event in ray_actors(address=found.address)(start(), given()):
            if isinstance(event, WorkerJoined):
                workers[event.slot] = event
            elif isinstance(event, Progress):
                if event.trial_id == victim and event.attempt == 2 and not waited:
                    waited = time.perf_counter() - lost_at
                slot = workers.get(event.slot if event.slot is not None else -1)
                if victim < 0 and len(ended) >= 3 and event.phase == "training" and slot is not None:
                    victim, lost_at = event.trial_id, time.perf_counter()
                    if kind == "worker":
                        os.kill(slot.info.pid, signal.SIGKILL)
                    else:
                        found.remove_node(found.nodes[slot.info.node_id], allow_graceful=False)
            elif isinstance(event, TrialResult) and event.status == "crashed":
                again.append(replace(event.trial, attempt=event.trial.attempt + 1))
            elif isinstance(event, TrialResult):
                ended.add(event.trial_id)
    assert waited, "the victim's trial did not run again"
    return waited


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--slots", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--losses", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rates: dict[str, list[float]] = {"one node": [], "a node for each slot": []}
    for _ in range(arguments.passes):
        rates["one node"].append(per_minute(1, arguments.slots, arguments.trials))
        rates["a node for each slot"].append(per_minute(arguments.slots, 1, arguments.trials))
    ratios = [many / one for one, many in zip(*rates.values(), strict=True)]
    for name, found in rates.items():
        print(
            f"{arguments.slots} slots, {name}: {statistics.median(found):.1f} trials/min  (n = {len(found)})"
        )
    print(f"ratio {statistics.median(ratios):.3f}  [{min(ratios):.3f}, {max(ratios):.3f}]", flush=True)
    waits = {kind: [seconds_until_again(kind, 9) for _ in range(arguments.losses)] for kind in KINDS}
    for kind, seconds in waits.items():
        shown = ", ".join(f"{value:.2f}" for value in seconds)
        print(f"{kind} lost: its trial runs again after {shown} s")
    if arguments.json:
        arguments.json.write_text(json.dumps({"trials_per_minute": rates, "seconds": waits}, indent=1))


if __name__ == "__main__":
    main()
