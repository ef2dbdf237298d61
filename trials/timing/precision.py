"""Chooses the precision of trials whose recipe says `auto`.

On CUDA it is bf16 autocast. On a CPU, bf16 is faster only where the processor multiplies it in hardware. A
short measurement decides, once for each processor model, version of torch and reference network; its result
is stored, so that all workers and resumed runs decide alike.
"""

import hashlib
import json
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from search_spaces.networks.architecture import Architecture
from search_spaces.settings.json_text import json_value
from trials.devices.device import clock_of, cpu_name
from trials.devices.file_lock import locked
from trials.images.packed import default_cache
from trials.log.durable_files import DurableFiles
from trials.recipe import Precision, Ramp, Recipe
from trials.timing.alternating import alternate
from trials.training.step import build_step
from trials.training.synthetic_batch import SyntheticBatch

PROBE_IMAGES = 32  # batch size, which hardly matters to the ratio
PROBE_CLASSES = 10
PROBE_SECONDS = 4.0
MAX_RATIO = 0.95  # largest share of fp32's time at which bf16 is chosen


def precision_of_trials(
    precision: Precision, recipe: Recipe, device: torch.device, *, reference: Architecture
) -> str:
    """This precision or, for `auto`, the one in which trials of the recipe train.

    `auto` is decided at the resolution that they end with, whatever they are timed at.
    """
    resolution = recipe.training_stages()[-1].resolution
    return resolve_precision(precision, device, reference=reference, resolution=resolution)


def resolve_precision(
    precision: Precision,
    device: torch.device,
    *,
    reference: Architecture,
    resolution: int,
    probe: Callable[[Architecture, int], float] | None = None,
) -> str:
    """The recipe's precision or, for `auto`, the one that trains the reference network faster.

    `probe` measures the time of bf16 over that of fp32; default: `step_time_of_bf16`.
    """
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
    # Only one of the workers that start together measures; the others wait and read its result.
    with locked(file.with_suffix(".lock")):
        if (known := _read(file)) is not None:
            return known
        ratio = (probe or step_time_of_bf16)(reference, resolution)
        precision = "bf16" if ratio < MAX_RATIO else "fp32"
        facts = {"of": key, "bf16_over_fp32": ratio, "precision": precision}
        DurableFiles().write(file, json.dumps(facts, indent=1).encode())
    return precision


def _read(file: Path) -> str | None:
    try:
        precision = json_value(file.read_text())["precision"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return precision if precision in ("fp32", "bf16") else None


def step_time_of_bf16(reference: Architecture, resolution: int) -> float:
    """Time of the reference's training step in bf16 autocast over that in fp32, on this core."""
    device = torch.device("cpu")
    recipe = Recipe(epochs=1, batch_size=PROBE_IMAGES, resolution=Ramp(resolution, resolution))
    random_state = torch.get_rng_state()  # restored below, so that a trial is the same with or without probe
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
