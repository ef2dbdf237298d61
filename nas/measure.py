"""Networks measured side by side on this machine: size, training step, inference, memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from nas.describe import DEFAULT_CLASSES, DEFAULT_RESOLUTION, read_described
from search_spaces.architecture import Architecture
from search_spaces.counting import count
from search_spaces.network import build_network, check_resolution
from search_spaces.yaml_io import ConfigError
from trials.device import (
    available_slots,
    claim,
    device_info,
    peak_memory,
    reset_peak_memory,
)
from trials.inference_time import measure_inference_time
from trials.precision import resolve_precision
from trials.recipe import Precision
from trials.step import TrainingStep
from trials.step_memory import cpu_step_memory, step_recipe
from trials.step_time import TimedBatch, measure_step_time
from trials.trial import InferenceTime, StepTime

INFERENCE_BATCHES = (1, 16, 128)
STEP_BATCH = {"cpu": 32, "cuda": 256}
MAX_SECONDS = 20.0  # for one figure; what is slower takes fewer rounds
OUT_OF_MEMORY = "out of memory"
STEP_TIME = (
    "step_seconds", "step_seconds_p10", "step_seconds_p90", "step_time_ratio", "step_time_ratio_spread",
)  # fmt: skip
INFERENCE_TIME = (
    "inference_seconds", "inference_seconds_p10", "inference_seconds_p90", "inference_time_ratio",
    "inference_time_ratio_spread",
)  # fmt: skip

OnStatus = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """Under which networks are measured; the same for all of them."""

    device: torch.device
    device_name: str
    precision: str
    num_classes: int
    resolution: int
    batch_size: int


@dataclass(frozen=True)
class Measured:
    """A network to measure, by the name it was given."""

    name: str
    architecture: Architecture


def read_networks(sources: Sequence[str]) -> list[Measured]:
    """The architectures of files and published names.

    Raises:
        ConfigError: one is neither, or a space.
    """
    networks = []
    for source in sources:
        described = read_described(source)
        if not isinstance(described, Architecture):
            raise ConfigError(f"{source}: this is a space; nas measure takes architectures")
        networks.append(Measured(Path(source).stem if source.endswith(".yaml") else source, described))
    return networks


def conditions_for(
    networks: Sequence[Measured],
    *,
    num_classes: int | None,
    resolution: int | None,
    batch_size: int | None,
    precision: Precision | None,
) -> Conditions:
    """What is not given comes from the first network's provenance, else from the device.

    Raises:
        ConfigError: the resolution is too small for one of the networks.
    """
    provenance = networks[0].architecture.provenance or {}
    slot = available_slots()[0]
    device = claim(slot)
    resolution = resolution or int(provenance.get("resolution", DEFAULT_RESOLUTION))
    for network in networks:
        try:
            check_resolution(network.architecture, resolution)
        except ValueError as error:
            raise ConfigError(f"{network.name}: {error}") from error
    return Conditions(
        device=device,
        device_name=device_info(slot).device_name,
        precision=resolve_precision(
            precision or "auto", device, reference=networks[0].architecture, resolution=resolution
        ),
        num_classes=num_classes or int(provenance.get("num_classes", DEFAULT_CLASSES)),
        resolution=resolution,
        batch_size=batch_size or STEP_BATCH[device.type],
    )


def measure_on_console(
    sources: Sequence[str],
    *,
    num_classes: int | None,
    resolution: int | None,
    batch_size: int | None,
    precision: Precision | None,
    console: Console,
) -> dict[str, Any]:
    """The figures of files and published names; shows what is being measured while it is.

    Raises:
        ConfigError: a source is no architecture, or the resolution is too small for it.
    """
    networks = read_networks(sources)
    conditions = conditions_for(
        networks,
        num_classes=num_classes,
        resolution=resolution,
        batch_size=batch_size,
        precision=precision,
    )
    with console.status("measuring") as status:
        return measure_networks(networks, conditions, on_status=status.update)


def measure_networks(
    networks: Sequence[Measured], conditions: Conditions, *, on_status: OnStatus = lambda text: None
) -> dict[str, Any]:
    """All figures, keys named as the columns; ratios are to the first network, measured in turn with it.

    What does not fit into memory is the text OUT_OF_MEMORY. Weights are random, from a fixed seed.
    """
    first = _step(networks[0].architecture, conditions)
    measured = []
    for i, network in enumerate(networks):
        step = _step(network.architecture, conditions) if i else first
        measured.append(_figures(network, step, first, conditions, on_status))
    facts = {name: value for name, value in vars(conditions).items() if name != "device"}
    return {**facts, "networks": measured}


def _figures(
    network: Measured, step: TrainingStep, first: TrainingStep, conditions: Conditions, on_status: OnStatus
) -> dict[str, Any]:
    architecture = network.architecture
    counts = count(architecture, num_classes=conditions.num_classes, resolution=conditions.resolution)
    on_status(f"{network.name}: memory of a training step")
    memory = _memory(architecture, step, conditions)
    on_status(f"{network.name}: training step")
    step_time = _fitting(partial(_step_time, step, first, conditions), STEP_TIME)
    inference = []
    for batch_size in INFERENCE_BATCHES:
        on_status(f"{network.name}: inference at batch {batch_size}")
        measure = partial(_inference_time, step, first, conditions, batch_size)
        inference.append({"inference_batch_size": batch_size, **_fitting(measure, INFERENCE_TIME)})
    return {
        "name": network.name,
        "architecture_id": architecture.architecture_id,
        "params": counts.params,
        "macs": counts.macs,
        "activations": counts.activations,
        **step_time,
        "peak_memory_bytes": memory,
        "inference": inference,
    }


def _step(architecture: Architecture, conditions: Conditions) -> TrainingStep:
    torch.manual_seed(0)
    recipe = step_recipe(batch_size=conditions.batch_size, resolution=conditions.resolution)
    network = build_network(architecture, num_classes=conditions.num_classes)
    return TrainingStep(network, recipe, device=conditions.device, precision=conditions.precision)


def _step_time(step: TrainingStep, first: TrainingStep, conditions: Conditions) -> StepTime:
    batch = TimedBatch.synthetic(
        batch_size=conditions.batch_size,
        resolution=conditions.resolution,
        num_classes=conditions.num_classes,
        device=conditions.device,
    )
    return measure_step_time(step, first, batch, max_seconds=MAX_SECONDS)


def _inference_time(
    step: TrainingStep, first: TrainingStep, conditions: Conditions, batch_size: int
) -> InferenceTime:
    return measure_inference_time(
        step.network,
        first.network,
        batch_size=batch_size,
        resolution=conditions.resolution,
        device=conditions.device,
        precision=conditions.precision,
        max_seconds=MAX_SECONDS,
    )


def _memory(architecture: Architecture, step: TrainingStep, conditions: Conditions) -> int | str | None:
    """Bytes that a training step takes, weights included; None where the system does not tell."""
    try:
        if conditions.device.type == "cpu":
            return cpu_step_memory(
                architecture,
                num_classes=conditions.num_classes,
                batch_size=conditions.batch_size,
                resolution=conditions.resolution,
                precision=conditions.precision,
            )
        return _cuda_step_memory(step, conditions)
    except (torch.OutOfMemoryError, MemoryError):
        return OUT_OF_MEMORY


def _cuda_step_memory(step: TrainingStep, conditions: Conditions) -> int:
    """The most that is allocated during the step, less what other networks hold."""
    torch.cuda.empty_cache()
    others = torch.cuda.memory_allocated(conditions.device) - sum(t.nbytes for t in step.state().values())
    reset_peak_memory(conditions.device)
    _step_time(step, step, conditions)
    return (peak_memory(conditions.device) or 0) - others


def _fitting(measure: Callable[[], StepTime | InferenceTime], names: Sequence[str]) -> dict[str, Any]:
    """The measurement's columns of these names; OUT_OF_MEMORY for each where it does not fit."""
    try:
        measured = measure()
    except (RuntimeError, MemoryError) as error:
        out_of_memory = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not out_of_memory and "allocate memory" not in str(error):  # the CPU allocator's words
            raise
        return {**dict.fromkeys(names, OUT_OF_MEMORY), "rounds": 0, "timing_flag": None}
    columns = {name: getattr(measured, name) for name in names}
    return {**columns, "rounds": measured.rounds, "timing_flag": measured.flag}
