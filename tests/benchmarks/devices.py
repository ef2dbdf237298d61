"""Images per second of several devices that share each batch, against one with the whole batch.

    python tests/benchmarks/devices.py [--architecture efficientnetv2-b0] [--resolution 96] [--batch-size 64]
        [--devices 2] [--rounds 15] [--steps 2] [--sync-batch-norm] [--json FILE]

Processes of one thread, each bound to a core, exchange gradients through gloo, as in `nas train --devices`.
In every round the first process takes some steps alone, while the others sleep, and then all take as many
together, or the other way round; each round's ratio counts once. Beside it stands what they reach when
nothing is exchanged: what cores that share memory and a power budget allow. Steps are the real ones, on
images that do not change.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from torch import multiprocessing
from torch.distributed import FileStore, ProcessGroupGloo

from search_spaces.networks.architecture import Architecture
from search_spaces.networks.network import build_network
from search_spaces.settings.yaml_files import read_yaml
from trials.devices.device import available_cores, cpu_name, keep_freed_memory
from trials.recipe import Ramp, Recipe
from trials.training.device_group import ALONE, DeviceGroup, share_of_batch
from trials.training.step import TrainingStep
from trials.training.synthetic_batch import SyntheticBatch

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Round:
    """Seconds of a step."""

    alone: float
    together: float
    apart: float  # each on its share of the batch, and nothing exchanged: what the machine allows
    exchange: float  # of gradients and statistics, by itself

    @property
    def ratio(self) -> float:
        """Images per second of all devices to those of one: the batch is the same."""
        return self.alone / self.together


def main() -> None:
    """Prints the ratio: median, tenth and ninetieth percentile, n; and what the machine allows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--architecture", default="efficientnetv2-b0")
    parser.add_argument("--resolution", type=int, default=96)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--sync-batch-norm", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.devices > len(available_cores()):
        parser.error(f"--devices {arguments.devices}: there are only {len(available_cores())} cores")
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(process, (arguments, folder), nprocs=arguments.devices)
        rounds = [Round(**each) for each in json.loads((Path(folder) / "rounds").read_text())]
    report(rounds, arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(each) for each in rounds]))


def process(rank: int, arguments: argparse.Namespace, folder: str) -> None:
    """One device."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {available_cores()[rank]})
    torch.set_num_threads(1)
    keep_freed_memory()
    store = FileStore(f"{folder}/rendezvous", arguments.devices)
    gloo = ProcessGroupGloo(store, rank, arguments.devices, timedelta(minutes=10))
    group = DeviceGroup(gloo)
    rounds = measured(arguments, group)
    if group.is_first:
        (Path(folder) / "rounds").write_text(json.dumps([asdict(each) for each in rounds]))


def measured(arguments: argparse.Namespace, group: DeviceGroup) -> list[Round]:
    """The rounds after one that warms up."""
    together, alone = new_step(arguments, group), new_step(arguments, ALONE)
    batch = SyntheticBatch.random(
        batch_size=arguments.batch_size, resolution=arguments.resolution, num_classes=10, device=CPU
    )
    own = share_of_batch(arguments.batch_size, rank=group.rank, size=group.size)
    images, labels = batch.images[own], batch.labels[own]

    def seconds(kind: str) -> float:
        group.gathered(0)  # all begin at once
        before = time.perf_counter()
        for _ in range(arguments.steps):
            if kind == "alone" and group.is_first:
                alone(batch.images, batch.labels)
            elif kind != "alone":
                (together if kind == "together" else alone)(images, labels)
        group.gathered(0)  # those that wait here sleep; the slowest counts
        return (time.perf_counter() - before) / arguments.steps

    rounds = []
    for i in range(arguments.rounds + 1):
        order = ("alone", "together", "apart") if i % 2 else ("apart", "together", "alone")
        taken = {kind: seconds(kind) for kind in order}
        exchanged = together.parameters.grads_and_statistics.clone()
        before = time.perf_counter()
        group.sum(exchanged)
        exchange = time.perf_counter() - before
        rounds.append(Round(**taken, exchange=exchange))
    return rounds[1:]


def new_step(arguments: argparse.Namespace, group: DeviceGroup) -> TrainingStep:
    """A step that changes nothing: its learning rate is 0."""
    side = arguments.resolution
    recipe = Recipe(
        epochs=1, batch_size=arguments.batch_size, resolution=Ramp(side, side), averaging_decay=0.999,
        stochastic_depth=0.2, sync_batch_norm=arguments.sync_batch_norm,
    )  # fmt: skip
    torch.manual_seed(0)
    network = build_network(
        read_yaml(Architecture, arguments.architecture), num_classes=10, stochastic_depth=0.2
    )
    return TrainingStep(network, recipe, device=CPU, precision="fp32", group=group)


def report(rounds: list[Round], arguments: argparse.Namespace) -> None:
    """Two lines."""
    ratios = [each.ratio for each in rounds]
    p10, p90 = np.percentile(ratios, [10, 90])
    alone, together, apart, exchange = (
        statistics.median(getattr(each, name) for each in rounds)
        for name in ("alone", "together", "apart", "exchange")
    )
    bound = statistics.median(each.alone / each.apart for each in rounds)
    print(
        f"{arguments.architecture}, {arguments.resolution} px, batch {arguments.batch_size}, fp32, "
        f"{cpu_name()}: {arguments.devices} processes of one thread against 1: "
        f"{statistics.median(ratios):.2f} x images/s (p10 {p10:.2f}, p90 {p90:.2f}, n = {len(ratios)})"
    )
    size = arguments.batch_size
    print(
        f"  {size / alone:,.1f} images/s alone, {size / together:,.1f} together; exchanging gradients takes "
        f"{1000 * exchange:.1f} of {1000 * together:.0f} ms. The same without it: {bound:.2f} x, "
        f"{size / apart:,.1f} images/s"
    )


if __name__ == "__main__":
    main()
