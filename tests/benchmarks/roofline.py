"""How near a training step comes to what this device can do, and which operations its time goes to.

    python tests/benchmarks/roofline.py [NETWORK ...] [--resolution 32] [--batch-size 128] [--json FILE]

The ceilings are measured here: multiply-adds per second of large matrix products, in the step's precision,
and bytes per second of copying what no cache holds. A step's arithmetic is three forward passes' (2 per
multiply-add); its traffic, at the least, 22 bytes for each activation of a convolution, with batch norm and
SiLU in one pass each way. Steps and ceilings are measured in turn; medians of n. On CPU one core.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import count
from search_spaces.networks.network import build_network
from search_spaces.settings.yaml_files import read_yaml
from trials.devices.device import clock_of, cpu_name, keep_freed_memory
from trials.recipe import Ramp, Recipe
from trials.timing.roofline import Ceilings, ceilings, roofline_share
from trials.training.step import TrainingStep
from trials.training.synthetic_batch import SyntheticBatch

TOP = 10
CLASSES = 10


def new_step(architecture: Architecture, device: torch.device, precision: str, batch: int) -> TrainingStep:
    """With the optimizer and averaging of a trial."""
    recipe = Recipe(epochs=1, batch_size=batch, resolution=Ramp(32, 32), averaging_decay=0.99)
    network = build_network(architecture, num_classes=CLASSES)
    return TrainingStep(network, recipe, device=device, precision=precision)


def top_operations(work: Callable[[], object], device: torch.device) -> list[dict[str, Any]]:
    """The operations with the largest share of a step's own time, summed over three steps."""
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        for _ in range(3):
            work()
    name = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    events = sorted(profiler.key_averages(), key=lambda event: -getattr(event, name))
    total = sum(getattr(event, name) for event in events)
    return [
        {"operation": event.key, "share": getattr(event, name) / total, "calls": event.count // 3}
        for event in events[:TOP]
    ]


def main() -> None:
    """Prints a table for each network, and writes all of it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("networks", nargs="*", default=["efficientnetv2-b0"])
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(1)
        keep_freed_memory()
    clock, results = clock_of(device), []
    print(torch.cuda.get_device_name() if device.type == "cuda" else cpu_name(), f"torch {torch.__version__}")
    for name in arguments.networks:
        architecture = read_yaml(Architecture, name)
        counts = count(architecture, num_classes=CLASSES, resolution=arguments.resolution)
        batch = SyntheticBatch.random(
            batch_size=arguments.batch_size,
            resolution=arguments.resolution,
            num_classes=CLASSES,
            device=device,
        )
        for precision in arguments.precision:
            step = new_step(architecture, device, precision, arguments.batch_size)
            calls = step.graphed(step)
            limits = ceilings(device, precision)
            samples: dict[str, list[float]] = {"seconds": [], "macs": [], "bytes": []}
            calls(batch.images, batch.labels)
            for _ in range(arguments.passes):
                before, steps, started = clock(), 0, time.perf_counter()
                while steps < 2 or time.perf_counter() - started < 0.5:
                    calls(batch.images, batch.labels)
                    steps += 1
                samples["seconds"].append((clock() - before) / steps)
                for limit, measure in limits.items():
                    samples[limit].append(measure())
            seconds, macs, moved = (statistics.median(samples[key]) for key in ("seconds", "macs", "bytes"))
            shares = roofline_share(
                Ceilings(macs, moved), macs=counts.macs, activations=counts.activations,
                images=arguments.batch_size, seconds=seconds, precision=precision,
            )  # fmt: skip
            flop_share, byte_share = shares.arithmetic, shares.traffic
            print(
                f"\n{name}, {arguments.resolution} px, batch {arguments.batch_size}, {precision}, "
                f"n = {arguments.passes}: {1000 * seconds:,.1f} ms a step "
                f"({1000 * min(samples['seconds']):,.1f} - {1000 * max(samples['seconds']):,.1f}), "
                f"{arguments.batch_size / seconds:,.0f} images/s\n"
                f"  arithmetic {flop_share:.1%} of {2 * macs / 1e9:,.0f} GFLOP/s, "
                f"traffic {byte_share:.1%} of {moved / 1e9:,.1f} GB/s"
            )
            plain = new_step(architecture, device, precision, arguments.batch_size)  # kernels by name
            plain(batch.images, batch.labels)
            top = top_operations(partial(plain, batch.images, batch.labels), device)
            for row in top:
                print(f"  {row['share']:6.1%}  {row['calls']:5d} calls  {row['operation']}")
            results.append(
                {
                    "network": name, "precision": precision, "samples": samples, "flop_share": flop_share,
                    "byte_share": byte_share, "top": top,
                }
            )  # fmt: skip
    if arguments.json:
        facts = {**vars(arguments), "device": str(device), "torch": torch.__version__, "results": results}
        arguments.json.write_text(json.dumps(facts, indent=1, default=str))


if __name__ == "__main__":
    main()
