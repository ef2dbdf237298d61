"""Chooses the precision of trials whose recipe says `auto`.

On CUDA it is what the device has in hardware (`fastest_of_cuda`). On a CPU, bf16 is faster only where the
processor multiplies it in hardware. A short measurement decides, once for each processor model, version of
torch, kind of kernels and reference network; its result is stored, so that all workers and resumed runs
decide alike.
"""

import hashlib
import json
import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from search_spaces.networks.architecture import Architecture
from search_spaces.settings.json_text import json_value
from trials.devices.arithmetic import check_precision, fastest_of_cuda
from trials.devices.cache_folder import cache_folder
from trials.devices.device import clock_of, cpu_name
from trials.devices.file_lock import locked
from trials.log.durable_files import DurableFiles
from trials.recipe import Precision, Ramp, Recipe
from trials.timing.alternating import alternate
from trials.training.step import build_step, kernels_of_steps
from trials.training.synthetic_batch import SyntheticBatch

PROBE_IMAGES = 32  # batch size, which hardly matters to the ratio
PROBE_CLASSES = 10
PROBE_SECONDS = 4.0
AS_ASKED = "as asked for"  # the reason why it is none of its own choice
MAX_RATIO = 0.95  # largest share of fp32's time at which bf16 is chosen


@dataclass(frozen=True)
class ChosenPrecision:
    """A precision, and the reason why it is this one, for rows and screens."""

    precision: str
    why: str
    device_type: str | None = None  # of the devices that it was chosen for; None: for all


def precision_of_trials(
    precision: Precision,
    recipe: Recipe,
    device: torch.device,
    *,
    reference: Architecture,
    decided: ChosenPrecision | None = None,
) -> ChosenPrecision:
    """This precision or, for `auto`, the one in which trials of the recipe train.

    `auto` is what was decided for the whole run, else what the device is best at, at the resolution that
    trials end with, whatever they are timed at.

    Raises:
        ConfigError: the device cannot compute in it.
    """
    if precision == "auto" and decided is not None and decided.device_type in (None, device.type):
        check_precision(decided.precision, device)
        return decided
    resolution = recipe.last_resolution
    return choose_precision(precision, device, reference=reference, resolution=resolution)


def choose_precision(
    precision: Precision,
    device: torch.device,
    *,
    reference: Architecture,
    resolution: int,
    probe: Callable[[Architecture, int], float] | None = None,
) -> ChosenPrecision:
    """The recipe's precision or, for `auto`, the one that trains the reference network faster.

    Args:
        probe: measures the time of bf16 over that of fp32; default: `step_time_of_bf16`.

    Raises:
        ConfigError: the device cannot compute in a precision that is asked for.
    """
    if precision != "auto":
        check_precision(precision, device)
        return ChosenPrecision(precision, AS_ASKED)
    if device.type == "cuda":
        return ChosenPrecision(*fastest_of_cuda(device))
    key = [
        cpu_name(),
        torch.__version__,
        kernels_of_steps(device, "fp32"),
        os.environ.get("ONEDNN_MAX_CPU_ISA", ""),  # limits the instructions that torch's convolutions use
        reference.architecture_id,
        resolution,
    ]
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:24]
    file = cache_folder("precision") / f"{name}.json"
    if (known := _read(file)) is not None:
        return known
    file.parent.mkdir(parents=True, exist_ok=True)
    # Only one of the workers that start together measures; the others wait and read its result.
    with locked(file.with_suffix(".lock")):
        if (known := _read(file)) is not None:
            return known
        ratio = (probe or step_time_of_bf16)(reference, resolution)
        found = "bf16" if ratio < MAX_RATIO else "fp32"
        facts = {"of": key, "bf16_over_fp32": ratio, "precision": found}
        DurableFiles().write(file, json.dumps(facts, indent=1).encode())
    return _chosen(found, ratio)


def _chosen(precision: str, ratio: float) -> ChosenPrecision:
    return ChosenPrecision(precision, f"a step in bf16 takes {ratio:.2f} of the time of one in fp32")


def _read(file: Path) -> ChosenPrecision | None:
    try:
        facts = json_value(file.read_text())
        precision, ratio = facts["precision"], float(facts["bf16_over_fp32"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return _chosen(precision, ratio) if precision in ("fp32", "bf16") else None


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
