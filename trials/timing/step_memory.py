"""Measures the memory of a training step; as a program: python -m trials.timing.step_memory < request.json

On CUDA, torch counts the memory that it allocates. On a CPU nobody does: a process of its own takes two
steps, and the step's memory is its peak resident set minus that before the network was built. Only Linux
reports the peak.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from search_spaces.networks.architecture import Architecture
from search_spaces.networks.module_counts import ModuleCounts
from search_spaces.networks.own_modules import OwnOps, own_ops_here
from search_spaces.settings.json_text import json_value
from search_spaces.settings.sentences import first_line
from search_spaces.settings.yaml_files import from_mapping, to_mapping
from trials.devices.device import keep_freed_memory
from trials.devices.device_errors import is_out_of_memory
from trials.devices.environment import FUSED_KERNELS
from trials.devices.memory_bound import bounded_memory, own_bytes
from trials.devices.own_memory import OwnMemory
from trials.recipe import Ramp, Recipe
from trials.timing.module_check import CheckedModule
from trials.timing.module_source import module_source
from trials.timing.step_conditions import StepConditions
from trials.training.step import TrainingStep, build_step, kernels_of_steps
from trials.training.synthetic_batch import SyntheticBatch

STEPS = 2  # the second needs up to 12 % more memory than the first, a third only 3 % more than that


class StepsFailedError(RuntimeError):
    """The process that measures a step's memory has failed, not for lack of memory."""


def step_recipe(*, batch_size: int, resolution: int) -> Recipe:
    """A recipe for single steps, with the default optimizer and averaging."""
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
    """Peak memory in bytes of two training steps of a new network; None where the system does not report it.

    Torch's random generators are restored.

    Raises:
        torch.OutOfMemoryError, MemoryError: the steps do not fit in memory.
        StepsFailedError: as `cpu_step_memory`.
    """
    if device.type == "cpu":
        return cpu_step_memory(
            architecture,
            num_classes=num_classes,
            batch_size=batch_size,
            resolution=resolution,
            precision=precision,
        )
    memory = OwnMemory(device)
    with torch.random.fork_rng(devices=[device]):
        recipe = step_recipe(batch_size=batch_size, resolution=resolution)
        step = build_step(architecture, recipe, num_classes=num_classes, device=device, precision=precision)
        batch = SyntheticBatch.random(
            batch_size=batch_size, resolution=resolution, num_classes=num_classes, device=device
        )
        return cuda_step_memory(step, batch, memory)


def cpu_step_memory(
    network: Architecture | CheckedModule,
    *,
    num_classes: int,
    batch_size: int,
    resolution: int,
    precision: str,
) -> int | None:
    """Bytes by which a new process grows in two training steps; None where the system does not report it.

    That process imports a module anew, so the answer is None for one that it cannot find.

    Raises:
        MemoryError: this machine has less memory left.
        StepsFailedError: the process failed in another way; the message ends with its error output.
    """
    described = _described(network)
    if sys.platform != "linux" or described is None:
        return None
    request = {
        **described,
        "num_classes": num_classes,
        "batch_size": batch_size,
        "resolution": resolution,
        "precision": precision,
    }
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    if kernels_of_steps(torch.device("cpu"), precision) == "torch":
        environment[FUSED_KERNELS] = "0"
    done = subprocess.run(
        # -P: a folder named trials in the current directory must not be imported.
        [sys.executable, "-P", "-m", "trials.timing.step_memory"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        env=environment,
    )
    if done.returncode == -signal.SIGKILL:
        raise MemoryError("the kernel ended the process")
    if done.returncode:
        raise StepsFailedError(f"two training steps ended with code {done.returncode}: {done.stderr[-1000:]}")
    try:
        answer = json_value(done.stdout)
    except ValueError as error:  # the module ended the process
        raise StepsFailedError(
            f"two training steps ended without an answer: {done.stderr[-1000:]}"
        ) from error
    if answer["out_of_memory"]:
        raise MemoryError(answer["out_of_memory"])
    return answer["bytes"]


def _described(network: Architecture | CheckedModule) -> dict[str, Any] | None:
    """The network for another process; None where it cannot make it."""
    if isinstance(network, Architecture):
        own = own_ops_here(stage.op for stage in network.stages)
        return {
            "architecture": to_mapping(network.without_provenance()),
            "own_ops": None if own is None else asdict(own),
        }
    return (
        None if network.source.typed is None else {"module": network.source.typed, "layout": network.layout}
    )


def _read(request: dict[str, Any]) -> Architecture | CheckedModule:
    """The network of a request, which it is taken out of."""
    if "architecture" in request:
        if (own := request.pop("own_ops")) is not None:
            OwnOps(**own).load()
        return from_mapping(Architecture, request.pop("architecture"), name="standard input")
    source = module_source(request.pop("module"))
    counts = ModuleCounts(0, 0, None, None)  # nobody asks here
    return CheckedModule(source, request["num_classes"], request.pop("layout"), None, counts)


def cuda_step_memory(step: TrainingStep, batch: SyntheticBatch, memory: OwnMemory) -> int:
    """Bytes that were allocated at most, since `memory` was begun before the step was built, in two steps."""
    for _ in range(STEPS):
        step(batch.images, batch.labels)
    torch.cuda.synchronize(step.device)
    return memory.peak() or 0


def main() -> None:
    """Takes the steps and prints how many bytes they took, or that they did not fit in memory.

    Standard output has the answer alone; what else is printed, also at exit, goes to standard error.
    """
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    request = json_value(sys.stdin.read())
    network = _read(request)
    taken: int | None = None
    refused: str | None = None
    try:
        with bounded_memory():
            taken = _bytes_of_steps(network, **request)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        refused = first_line(error)
    with open(answers, "w") as file:
        file.write(json.dumps({"bytes": taken, "out_of_memory": refused}))


def _bytes_of_steps(
    network: Architecture | CheckedModule,
    *,
    num_classes: int,
    batch_size: int,
    resolution: int,
    precision: str,
) -> int | None:
    """The growth of this process; None where the system does not report it."""
    # As a worker of a search: one thread, and freed memory is kept.
    torch.set_num_threads(1)
    keep_freed_memory()
    device = torch.device("cpu")
    before = _resident_bytes()
    conditions = StepConditions(
        recipe=step_recipe(batch_size=batch_size, resolution=resolution), precision=precision,
        num_classes=num_classes, resolution=resolution, batch_size=batch_size, device=device,
    )  # fmt: skip
    with network.source.importing() if isinstance(network, CheckedModule) else nullcontext():
        step, batch = conditions.step(network), conditions.batch()
        for _ in range(STEPS):
            step(batch.images, batch.labels)
    peak = own_bytes("VmHWM")
    return None if before is None or peak is None else peak - before


def _resident_bytes() -> int | None:
    """The resident set of this process in bytes; also resets the kernel's record of its peak.

    None where the system does not allow the reset. getrusage does not help: a child's peak begins with its
    parent's resident set.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return own_bytes("VmRSS")


if __name__ == "__main__":
    main()
