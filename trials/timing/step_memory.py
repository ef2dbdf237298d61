"""The memory that a training step takes: python -m trials.timing.step_memory, with JSON on standard input.

CUDA counts what it hands out. A CPU does not: there a process of its own takes two steps, and its largest
resident set, less what it held before the network was built, is the step's. Only Linux tells that.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import from_mapping, to_mapping
from trials.devices.device import is_out_of_memory, keep_freed_memory, peak_memory, reset_peak_memory
from trials.devices.memory_bound import KIB, bounded_memory, kib_of
from trials.recipe import Ramp, Recipe
from trials.training.step import TrainingStep, build_step
from trials.training.synthetic_batch import SyntheticBatch

STEPS = 2  # the second was seen to take up to 12 % more than the first, a third 3 % more than that
STATUS = Path("/proc/self/status")


def step_recipe(*, batch_size: int, resolution: int) -> Recipe:
    """A recipe for taking single steps: a trial's optimizer and averaging at their defaults."""
    return Recipe(epochs=1, batch_size=batch_size, resolution=Ramp(resolution, resolution))


def step_memory(
    architecture: Architecture,
    *,
    num_classes: int,
    batch_size: int,
    resolution: int,
    precision: str,
    device: torch.device,
) -> int | None:
    """Bytes that two training steps of a fresh network take; None where the system does not tell.

    Torch's random generators are left as they were. Raises as `cpu_step_memory` and as torch.
    """
    if device.type == "cpu":
        return cpu_step_memory(
            architecture,
            num_classes=num_classes,
            batch_size=batch_size,
            resolution=resolution,
            precision=precision,
        )
    held = torch.cuda.memory_allocated(device)
    with torch.random.fork_rng(devices=[device]):
        recipe = step_recipe(batch_size=batch_size, resolution=resolution)
        step = build_step(architecture, recipe, num_classes=num_classes, device=device, precision=precision)
        batch = SyntheticBatch.random(
            batch_size=batch_size, resolution=resolution, num_classes=num_classes, device=device
        )
        return cuda_step_memory(step, batch, held=held)


def cpu_step_memory(
    architecture: Architecture, *, num_classes: int, batch_size: int, resolution: int, precision: str
) -> int | None:
    """Bytes by which a process grows for two training steps; None where the system does not tell.

    Raises:
        MemoryError: this machine has not that much left.
        RuntimeError: the process failed in another way; with its last words.
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
        [
            sys.executable,
            "-P",
            "-m",
            "trials.timing.step_memory",
        ],  # -P: not a folder named trials where the user is
        input=json.dumps(request),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    if done.returncode == -signal.SIGKILL:
        raise MemoryError("the kernel ended the process")
    if done.returncode:
        raise RuntimeError(f"two training steps ended with code {done.returncode}: {done.stderr[-1000:]}")
    answer = json.loads(done.stdout)
    if answer["out_of_memory"]:
        raise MemoryError(answer["out_of_memory"])
    return answer["bytes"]


def cuda_step_memory(step: TrainingStep, batch: SyntheticBatch, *, held: int) -> int:
    """The most bytes that are allocated during two steps, less those `held` before the step was made."""
    reset_peak_memory(step.device)
    for _ in range(STEPS):
        step(batch.images, batch.labels)
    torch.cuda.synchronize(step.device)
    return (peak_memory(step.device) or 0) - held


def main() -> None:
    """Takes the steps and prints how many bytes they took, or that they did not fit."""
    request = json.loads(sys.stdin.read())
    taken: int | None = None
    refused: str | None = None
    try:
        with bounded_memory():
            taken = _bytes_of_steps(**request)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        refused = (str(error).splitlines() or [type(error).__name__])[0]
    print(json.dumps({"bytes": taken, "out_of_memory": refused}))


def _bytes_of_steps(
    *,
    architecture: dict[str, Any],
    num_classes: int,
    batch_size: int,
    resolution: int,
    precision: str,
) -> int | None:
    torch.set_num_threads(1)
    keep_freed_memory()
    device = torch.device("cpu")
    before = _resident_bytes()
    described = from_mapping(Architecture, architecture, name="standard input")
    recipe = step_recipe(batch_size=batch_size, resolution=resolution)
    step = build_step(described, recipe, num_classes=num_classes, device=device, precision=precision)
    batch = SyntheticBatch.random(
        batch_size=batch_size, resolution=resolution, num_classes=num_classes, device=device
    )
    for _ in range(STEPS):
        step(batch.images, batch.labels)
    peak = kib_of(STATUS, "VmHWM")
    return None if before is None or peak is None else peak * KIB - before


def _resident_bytes() -> int | None:
    """What this process holds now, after which the kernel's record of the most begins anew.

    getrusage would not do: a child's record begins with what its parent held. None where the system does not
    let the record be reset.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    held = kib_of(STATUS, "VmRSS")
    return None if held is None else held * KIB


if __name__ == "__main__":
    main()
