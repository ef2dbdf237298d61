"""Probes of a GPU, each in a process of its own: a fault of the device ends only that process.

python -m nas.doctor.gpu_probes NAME DEVICE        # prints what was measured as JSON
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from nas.doctor.step_curves import curve, differences
from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.json_text import json_value
from search_spaces.settings.sentences import first_line
from search_spaces.settings.yaml_files import read_yaml
from trials.devices.device import clock_of
from trials.devices.device_errors import WITHOUT_GRAPHS
from trials.images.config import DataConfig
from trials.images.sources import DIGITS
from trials.recipe import Recipe
from trials.run_trial import start_worker
from trials.training.cuda_graphs import GraphedCalls, recorder_of
from trials.trial import Progress, Slot, TimingPart, Trial, TrialResult
from trials.worker_setup import WorkerSetup

Measured = dict[str, Any]  # JSON values

COPIED_BYTES, COPIES, COPY_SECONDS = 1 << 30, 5, 0.1
STEPS, STEP_BATCH = 10, 64
NETWORK = "efficientnetv2-b0"  # whose step time is taken twice
TIMINGS = 2
PATIENCE_SECONDS = 15.0  # for the device, which a search that times may hold


class ProbeFailedError(RuntimeError):
    """A probe's process failed or took too long; the text says how."""


def run_probe(name: str, device: str, *, seconds: float, graphs: bool = True) -> Measured:
    """The result of a probe, in a new process, with or without CUDA graphs.

    Raises:
        ProbeFailedError: it failed, or took longer than `seconds`.
    """
    command = [sys.executable, "-m", "nas.doctor.gpu_probes", name, device]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, env=_environment(graphs)
        )
    except subprocess.TimeoutExpired as error:
        raise ProbeFailedError(f"no answer within {seconds:.0f} s") from error
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise ProbeFailedError(last[0])
    try:
        return json_value(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise ProbeFailedError("its process ended well, but said nothing") from error


def _environment(graphs: bool) -> dict[str, str]:
    name, _, off = WITHOUT_GRAPHS.partition("=")
    return dict(os.environ) if graphs else {**os.environ, name: off}


def copy_bandwidth(device: torch.device, *, size: int = COPIED_BYTES) -> float:
    """Bytes per second of copies of `size` bytes on the device, read and written ones; the median."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    clock = clock_of(device)
    target.copy_(source)
    rates = []
    for _ in range(COPIES):
        before, copies = clock(), 0
        while copies < 2 or clock() - before < COPY_SECONDS / COPIES:
            for _ in range(8):
                target.copy_(source)
            copies += 8
        rates.append(2 * size * copies / (clock() - before))
    return statistics.median(rates)


def copies(device: torch.device) -> Measured:
    """Bandwidth of the device's memory."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else COPIED_BYTES
    return {"bytes_per_second": copy_bandwidth(device, size=min(COPIED_BYTES, free // 4))}


def graph(device: torch.device) -> Measured:
    """Captures some work with a random draw as a CUDA graph, and replays it."""
    sums = torch.zeros(64, device=device)
    matrix = torch.eye(64, device=device)

    def work(given: torch.Tensor) -> None:
        sums.add_((matrix @ given) + 0 * torch.rand(64, device=device))

    calls = GraphedCalls(work, changes=[sums], record=recorder_of(device))
    replays = 3
    for _ in range(replays):
        calls(torch.ones(64, device=device))
    if not torch.equal(sums, torch.full_like(sums, replays)):
        raise ProbeFailedError("a replayed graph gives other numbers than its work")
    return {"replays": replays}


def steps(device: torch.device, *, space: str = "cifar", number: int = STEPS) -> Measured:
    """Training steps as a graph against eager ones: losses and weights."""
    architecture = read_yaml(SearchSpace, space).reference
    precision = "fp32"  # in which kernels leave least room for chance
    graphed, eager = (
        curve(
            architecture, device, precision=precision, graphs=graphs, steps=number, batch_size=STEP_BATCH
        )
        for graphs in (True, False)
    )  # fmt: skip
    loss, weights = differences(graphed, eager)
    return {
        "mode": graphed.mode,
        "steps": number,
        "loss_difference": loss,
        "weights_difference": weights,
        "loss": eager.losses[-1],
    }


def timing(device: torch.device, *, space: str = "cifar", network: str = NETWORK) -> Measured:
    """The step time ratio of one network again and again, as a trial's worker measures it."""
    recipe = read_yaml(Recipe, "proxy_cifar")
    setup = WorkerSetup(data=DataConfig(source=DIGITS), reference=read_yaml(SearchSpace, space).reference)
    worker = start_worker(Slot(index=0, device=str(device)), setup=setup)
    trial = Trial(
        trial_id=0,
        choices=(),
        architecture=read_yaml(Architecture, network),
        recipe=recipe,
        epochs=recipe.epochs,
        seed=0,
        is_timing_part=True,
    )
    found = [_timed(worker(trial)) for _ in range(TIMINGS)]
    return {
        "ratios": [part.step_time.step_time_ratio for part in found],
        "seconds": [part.step_time.step_seconds for part in found],
        "flags": sorted({part.step_time.flag for part in found if part.step_time.flag}),
        "precision": found[0].step_time.precision,
    }


def _timed(events: Any) -> TimingPart:
    started = time.monotonic()
    for event in events:
        if isinstance(event, TimingPart):
            return event
        if isinstance(event, TrialResult):
            said = (event.error or "").strip().splitlines()[-1:] or [event.status]
            raise ProbeFailedError(f"a trial's timing ended as {event.status}: {said[0]}")
        waits = isinstance(event, Progress) and event.phase == "waiting"
        if waits and time.monotonic() - started > PATIENCE_SECONDS:
            raise ProbeFailedError("another search holds the device; look again when it has ended")
    raise ProbeFailedError("a trial's timing ended without a result")


PROBES: dict[str, Callable[[torch.device], Measured]] = {
    "copies": copies,
    "graph": graph,
    "steps": steps,
    "timing": timing,
}


def main(words: list[str]) -> None:
    """Prints what a probe measured; exits with its error in one line."""
    name, where = words
    try:
        device = torch.device(where)
        if device.type == "cuda":
            torch.cuda.set_device(device)
        print(json.dumps(PROBES[name](device)))
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {first_line(error)}")


if __name__ == "__main__":
    main(sys.argv[1:])
