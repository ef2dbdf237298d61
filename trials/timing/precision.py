"""In which precision a trial computes, where its recipe leaves that open.

On CUDA bf16 autocast. On CPU bf16 pays where the processor multiplies it in hardware, and costs where it does
not: a short probe decides, once for a processor, a torch and a reference network, so that every worker and
every resumed run decides alike.
"""

import hashlib
import json
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from search_spaces.networks.architecture import Architecture
from trials.devices.device import clock_of, cpu_name
from trials.images.packed import default_cache
from trials.log.durable_files import DurableFiles, locked
from trials.recipe import Precision, Ramp, Recipe
from trials.timing.alternating import alternate
from trials.training.step import build_step
from trials.training.synthetic_batch import SyntheticBatch

PROBE_IMAGES = 32  # the batch hardly matters to the ratio
PROBE_CLASSES = 10
PROBE_SECONDS = 4.0
WORTH_IT = 0.95  # bf16 must take at most so much of fp32's time


def resolve_precision(
    precision: Precision,
    device: torch.device,
    *,
    reference: Architecture,
    resolution: int,
    probe: Callable[[Architecture, int], float] | None = None,
) -> str:
    """The precision that is asked for or, of `auto`, the faster one for training the reference network."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16"
    key = [cpu_name(), torch.__version__, reference.architecture_id, resolution]
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:24]
    file = default_cache().parent / "precision" / f"{name}.json"
    if (known := _read(file)) is not None:
        return known
    file.parent.mkdir(parents=True, exist_ok=True)
    with locked(file.with_suffix(".lock")):  # workers that start together agree
        if (known := _read(file)) is not None:
            return known
        ratio = (probe or step_time_of_bf16)(reference, resolution)
        precision = "bf16" if ratio < WORTH_IT else "fp32"
        facts = {"of": key, "bf16_over_fp32": ratio, "precision": precision}
        DurableFiles().write(file, json.dumps(facts, indent=1).encode())
    return precision


def _read(file: Path) -> str | None:
    try:
        precision = json.loads(file.read_text())["precision"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return precision if precision in ("fp32", "bf16") else None


def step_time_of_bf16(reference: Architecture, resolution: int) -> float:
    """Seconds of the reference's training step in bf16 autocast over those in fp32, on this core."""
    device = torch.device("cpu")
    recipe = Recipe(epochs=1, batch_size=PROBE_IMAGES, resolution=Ramp(resolution, resolution))
    random_state = torch.get_rng_state()  # a trial begins as if nobody had probed
    steps = {
        precision: build_step(
            reference, recipe, num_classes=PROBE_CLASSES, device=device, precision=precision
        )
        for precision in ("bf16", "fp32")
    }
    batch = SyntheticBatch.random(
        batch_size=PROBE_IMAGES, resolution=resolution, num_classes=PROBE_CLASSES, device=device
    )
    runs = {name: partial(step, batch.images, batch.labels) for name, step in steps.items()}
    timed = alternate(runs["bf16"], runs["fp32"], clock=clock_of(device), max_seconds=PROBE_SECONDS)
    torch.set_rng_state(random_state)
    return statistics.median(timed.ratios)
