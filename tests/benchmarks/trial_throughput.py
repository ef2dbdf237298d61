"""Whole trials per hour: our workers against a plain training script (*user*) and a good one (*strong*).

    python tests/benchmarks/trial_throughput.py SOURCE.parquet [--resolution 32] [--passes 5] [--json FILE]

The same networks, images, batch and epochs on all sides, in turn within one run; a trial's set-up and its
evaluation count. What is paid once is left out on all sides but *user*'s, who starts a process for each
trial: our workers are running, *strong*'s images are decoded. Step time is not measured in these trials, as
the others do not measure it. *user* and *strong* may choose autocast: the faster of on and off on the first
network.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import count
from search_spaces.settings.yaml_files import read_yaml, to_mapping
from trials.devices.device import available_slots, cpu_name
from trials.executors.ray_actors import ray_actors
from trials.images.config import DataConfig
from trials.images.packed import open_images
from trials.measurement import StepTime
from trials.recipe import Ramp, Recipe
from trials.run_trial import start_worker
from trials.trial import Trial, TrialResult
from trials.worker_setup import WorkerSetup

NETWORKS_SEED = 20
SIDES = ("ours", "user", "strong")
UNMEASURED = StepTime(
    step_seconds=1.0, step_seconds_p10=1.0, step_seconds_p90=1.0, step_time_ratio=1.0,
    step_time_ratio_spread=0.0, reference_step_seconds=1.0, timing_seconds=0.0, device="none", resolution=32,
    batch_size=1, precision="none", source="predicted",
)  # fmt: skip


def networks(number: int, resolution: int) -> list[Architecture]:
    """Networks of 0.1 to 6 M parameters from the cifar space, always the same."""
    space = read_yaml(SearchSpace, "cifar")
    seen, rng = space.choice_space(), np.random.default_rng(NETWORKS_SEED)
    found: list[Architecture] = []
    while len(found) < number:
        architecture = space.decode(seen.sample(rng))
        if 1e5 < count(architecture, num_classes=10, resolution=resolution).params < 6e6:
            found.append(architecture)
    return found


class Ours:
    """Persistent workers, one for each slot; trials are handed to them through a queue that stays open."""

    def __init__(self, recipe: Recipe, data: DataConfig, reference: Architecture, workers: int) -> None:
        self.recipe = recipe
        self.waiting: list[Trial] = []
        self.closed = False
        setup = WorkerSetup(data=data, reference=reference)
        execute = ray_actors(workers=workers)
        self.events = execute(partial(start_worker, setup=setup), self._trials())
        self.next_id = 0

    def _trials(self) -> Iterator[Trial | None]:
        while not self.closed:
            yield self.waiting.pop(0) if self.waiting else None

    def run(self, architectures: list[Architecture]) -> dict[str, Any]:
        """Seconds until all are done, and their accuracies."""
        before = time.perf_counter()
        first = self.next_id
        for architecture in architectures:
            self.waiting.append(
                Trial(
                    trial_id=self.next_id, choices=(), architecture=architecture, recipe=self.recipe,
                    epochs=self.recipe.epochs, seed=1, step_time=UNMEASURED,
                )
            )  # fmt: skip
            self.next_id += 1
        results: dict[int, TrialResult] = {}
        while len(results) < len(architectures):
            event = next(self.events)
            if isinstance(event, TrialResult):
                assert event.measurement is not None, event.error
                results[event.trial_id] = event
        measured = [results[i].measurement for i in range(first, self.next_id)]
        return {
            "seconds": time.perf_counter() - before,
            "accuracies": [m.accuracy_raw for m in measured if m is not None],
            "precision": results[first].precision,
        }

    def close(self) -> None:
        """Ends the workers."""
        self.events.close()  # type: ignore[attr-defined]


def plain(side: str, request: dict[str, Any]) -> dict[str, Any]:
    """What the other script says of these networks; `elapsed` includes the process."""
    script = Path(__file__).with_name("plain_trials.py")
    paths = os.pathsep.join(filter(None, sys.path))
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"} | {"PYTHONPATH": paths}
    before = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(script), side],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        env=environment,
    )
    if done.returncode:
        raise RuntimeError(f"{side}: {done.stderr[-2000:]}")
    return {**json.loads(done.stdout), "elapsed": time.perf_counter() - before}


def interval(ratios: list[float]) -> tuple[float, float]:
    """The 95 % bootstrap interval of the median."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(ratios, (10_000, len(ratios))), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return float(low), float(high)


def main() -> None:
    """Runs all sides in turn and prints trials per hour and our ratio to each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--networks", type=int, default=4)
    parser.add_argument("--images", type=int, default=1400)
    parser.add_argument("--minival", type=int, default=120)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    chosen = networks(arguments.networks, arguments.resolution)
    request: dict[str, Any] = {
        "source": arguments.source, "images": arguments.images, "minival": arguments.minival,
        "epochs": arguments.epochs, "resolution": arguments.resolution, "num_classes": 10, "seed": 0,
        "architectures": [to_mapping(a) for a in chosen],
    }  # fmt: skip
    fraction = arguments.images / len(open_images(DataConfig(source=arguments.source), resolution=8).labels)
    data = DataConfig(
        source=arguments.source, fraction=fraction, minival=arguments.minival / arguments.images
    )
    side = float(arguments.resolution)
    recipe = Recipe(
        epochs=arguments.epochs, batch_size=128, resolution=Ramp(side, side), learning_rate=0.016,
        warmup_epochs=0.5, averaging_decay=0.0,
    )  # fmt: skip
    first = {**request, "architectures": request["architectures"][:1], "epochs": 1}
    autocast = {}
    for name in ("user", "strong"):
        seconds = {on: plain(name, {**first, "autocast": on})["seconds"] for on in (False, True)}
        autocast[name] = seconds[True] < seconds[False]

    ours = Ours(recipe, data, chosen[0], workers=len(available_slots()))
    ours.run(chosen[:2])  # the workers are up, the probe has been made
    samples: dict[str, list[float]] = {name: [] for name in SIDES}
    accuracies: dict[str, list[float]] = {}
    for i in range(arguments.passes):
        mine = ours.run(chosen)
        single = [
            plain("user", {**request, "architectures": [a], "autocast": autocast["user"]})
            for a in request["architectures"]
        ]
        strong = plain("strong", {**request, "autocast": autocast["strong"]})
        for name, value in (
            ("ours", mine["seconds"]),
            ("user", sum(s["elapsed"] for s in single)),
            ("strong", strong["seconds"]),
        ):
            samples[name].append(3600 * len(chosen) / value)
        accuracies = {
            "ours": mine["accuracies"],
            "user": [a for s in single for a in s["accuracies"]],
            "strong": strong["accuracies"],
        }
        print(
            f"pass {i + 1}: " + ", ".join(f"{name} {samples[name][-1]:,.0f}/h" for name in SIDES), flush=True
        )
    precision = mine["precision"]
    ours.close()

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else cpu_name()
    trained = arguments.images - arguments.minival
    print(
        f"\n{device}, {len(available_slots())} slots, torch {torch.__version__}, {platform.platform()}\n"
        f"{arguments.networks} networks x {arguments.epochs} epochs x {trained:,} images, "
        f"{arguments.resolution} px, n = {arguments.passes}; ours in {precision}, "
        f"autocast of the others: {autocast}"
    )
    table = {}
    for name in SIDES:
        rates = samples[name]
        ratios = [a / b for a, b in zip(samples["ours"], rates, strict=True)]
        low, high = interval(ratios)
        accuracy = statistics.mean(accuracies[name])
        table[name] = {"per_hour": rates, "ours_over": ratios, "interval": [low, high], "accuracy": accuracy}
        print(
            f"{name:<7} {statistics.median(rates):8,.0f} trials/h ({min(rates):,.0f} - {max(rates):,.0f})   "
            f"ours is {statistics.median(ratios):.2f}x [{low:.2f}, {high:.2f}]   mean accuracy {accuracy:.3f}"
        )
    if arguments.json:
        facts = {"device": device, "torch": torch.__version__, "precision": precision, **vars(arguments)}
        arguments.json.write_text(json.dumps({**facts, "sides": table}, indent=1, default=str))


if __name__ == "__main__":
    main()
