"""The memory that a training step takes: python -m trials.step_memory, with JSON on standard input.

CUDA counts what it hands out. A CPU does not: there a process of its own takes two steps, and its largest
resident set, less what it held before the network was built, is the step's. Only Linux tells that.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from search_spaces.architecture import Architecture
from search_spaces.network import build_network
from search_spaces.yaml_io import from_mapping, to_mapping
from trials.recipe import Ramp, Recipe
from trials.step import TrainingStep
from trials.step_time import TimedBatch

STEPS = 2  # the second finds its memory allocated, and may still need more


def step_recipe(*, batch_size: int, resolution: int) -> Recipe:
    """A recipe for taking single steps: a trial's optimizer and averaging at their defaults."""
    return Recipe(epochs=1, batch_size=batch_size, resolution=Ramp(resolution, resolution))


def cpu_step_memory(
    architecture: Architecture, *, num_classes: int, batch_size: int, resolution: int, precision: str
) -> int | None:
    """Bytes by which a process grows for two training steps; None where the system does not tell.

    Raises:
        MemoryError: the process did not get through.
    """
    if sys.platform != "linux":
        return None
    request = {
        "architecture": to_mapping(architecture.without_provenance()),
        "num_classes": num_classes,
        "batch_size": batch_size,
        "resolution": resolution,
        "precision": precision,
    }
    done = subprocess.run(
        [sys.executable, "-m", "trials.step_memory"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    if done.returncode:
        raise MemoryError(f"two training steps ended with code {done.returncode}: {done.stderr[-300:]}")
    return int(done.stdout)


def main() -> None:
    """Takes the steps and prints the bytes."""
    request = json.loads(sys.stdin.read())
    architecture = from_mapping(Architecture, request["architecture"], name="standard input")
    torch.set_num_threads(1)
    device = torch.device("cpu")
    before = _resident_bytes()
    recipe = step_recipe(batch_size=request["batch_size"], resolution=request["resolution"])
    network = build_network(architecture, num_classes=request["num_classes"])
    step = TrainingStep(network, recipe, device=device, precision=request["precision"])
    batch = TimedBatch.synthetic(
        batch_size=request["batch_size"],
        resolution=request["resolution"],
        num_classes=request["num_classes"],
        device=device,
    )
    for _ in range(STEPS):
        step(batch.images, batch.labels)
    print(_peak_resident_bytes() - before)


def _resident_bytes() -> int:
    """What this process holds now, after which the kernel's record of the most begins anew.

    getrusage would not do: a child's record begins with what its parent held.
    """
    Path("/proc/self/clear_refs").write_text("5")
    return _kilobytes("VmRSS") * 1024


def _peak_resident_bytes() -> int:
    return _kilobytes("VmHWM") * 1024


def _kilobytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


if __name__ == "__main__":
    main()
