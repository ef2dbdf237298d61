"""Figures of measured networks: size, times of a training step and of inference, memory."""

from dataclasses import dataclass
from typing import Any

from nas.measuring.conditions import Conditions
from trials.measurement import InferenceTime, StepTime
from trials.timing.module_check import MemoryLayout
from trials.timing.module_parts import PartTime
from trials.timing.roofline import Ceilings, RooflineShare
from trials.trial import Kernels

OUT_OF_MEMORY = "out of memory"


@dataclass(frozen=True, kw_only=True)
class MeasuredTime:
    """Seconds of a training step or of a forward pass, and their ratio to the first network's.

    All are None where the measurement failed; so is the ratio where the first network's failed, and its
    spread where nothing can scatter.
    """

    seconds: float | None = None  # median
    seconds_p10: float | None = None
    seconds_p90: float | None = None
    ratio: float | None = None
    ratio_spread: float | None = None
    rounds: int = 0
    flag: str | None = None  # why the value is uncertain
    failure: str | None = None


NOT_FITTING = MeasuredTime(failure=OUT_OF_MEMORY)


@dataclass(frozen=True, kw_only=True)
class MeasuredInference:
    """A forward pass of a batch."""

    batch_size: int
    time: MeasuredTime

    @property
    def images_per_second(self) -> float | None:
        """Throughput; None where the measurement failed."""
        return self.batch_size / self.time.seconds if self.time.seconds else None


@dataclass(frozen=True, kw_only=True)
class MeasuredNetwork:
    """Size, training step, memory and inference of one network.

    Attributes:
        architecture_id: None of a network that is no architecture of ours.
        macs, activations: None where they could not be counted.
        uncounted: operations that are not in them; see `ModuleCounts`.
        peak_memory_bytes: of a training step, weights included; None where the system does not report them.
        layout: of weights and features in memory.
        kernels: those that training steps compute with.
        norms, norms_by_own_kernels: norms of all kinds, and those of them that own kernels compute.
        roofline: shares of the device's ceilings that the step reaches; None where something is unknown.
        parts: where the time of a step goes; empty where it does not fit into memory.
    """

    name: str
    architecture_id: str | None
    params: int
    macs: int | None
    activations: int | None
    step: MeasuredTime
    peak_memory_bytes: int | None
    inference: tuple[MeasuredInference, ...]
    frozen_params: int = 0
    uncounted: tuple[str, ...] = ()
    layout: MemoryLayout = "channels_last"
    layout_reason: str | None = None
    kernels: Kernels = "torch"
    norms: int = 0
    norms_by_own_kernels: int = 0
    roofline: RooflineShare | None = None
    parts: tuple[PartTime, ...] = ()

    @property
    def times(self) -> tuple[MeasuredTime, ...]:
        """Times of the training step and of inference at each batch."""
        return (self.step, *(inference.time for inference in self.inference))


@dataclass(frozen=True)
class MeasuredNetworks:
    """Networks measured under the same conditions; ratios are to the first one."""

    conditions: Conditions
    networks: tuple[MeasuredNetwork, ...]
    ceilings: Ceilings | None = None  # of the device; None where measuring them does not fit into memory


# The names that a time's fields have in trials' columns, after "step" or "inference".
COLUMNS = {
    "seconds": "{}_seconds",
    "seconds_p10": "{}_seconds_p10",
    "seconds_p90": "{}_seconds_p90",
    "ratio": "{}_time_ratio",
    "ratio_spread": "{}_time_ratio_spread",
}


def measured_time(measured: StepTime | InferenceTime) -> MeasuredTime:
    """The time of a step or of inference, without its conditions."""
    work = "step" if isinstance(measured, StepTime) else "inference"
    values = {name: getattr(measured, column.format(work)) for name, column in COLUMNS.items()}
    return MeasuredTime(**values, rounds=measured.rounds, flag=measured.flag)


# ---------------------------------------------------------------------- as JSON


@dataclass(frozen=True, kw_only=True)
class PrintedInference:
    """A forward pass under the names of a trial's columns."""

    inference_batch_size: int
    inference_seconds: float | None
    inference_seconds_p10: float | None
    inference_seconds_p90: float | None
    inference_time_ratio: float | None
    inference_time_ratio_spread: float | None
    rounds: int
    timing_flag: str | None
    failure: str | None
    images_per_second: float | None


@dataclass(frozen=True, kw_only=True)
class PrintedNetwork:
    """A measured network under the names of a trial's columns; `timing_flag` is of its training step."""

    name: str
    architecture_id: str | None
    params: int
    macs: int | None
    activations: int | None
    frozen_params: int
    uncounted: tuple[str, ...]
    memory_layout: MemoryLayout
    memory_layout_reason: str | None
    kernels: Kernels
    norms: int
    norms_by_own_kernels: int
    step_seconds: float | None
    step_seconds_p10: float | None
    step_seconds_p90: float | None
    step_time_ratio: float | None
    step_time_ratio_spread: float | None
    rounds: int
    timing_flag: str | None
    failure: str | None
    peak_memory_bytes: int | None
    roofline_share: float | None
    arithmetic_share: float | None
    traffic_share: float | None
    parts: tuple[PartTime, ...]
    inference: tuple[PrintedInference, ...]


@dataclass(frozen=True, kw_only=True)
class PrintedNetworks:
    """Networks measured side by side, with the conditions on the same level."""

    device_name: str
    threads: int | None
    precision: str
    precision_reason: str
    num_classes: int
    resolution: int
    batch_size: int
    macs_per_second: float | None
    bytes_per_second: float | None
    networks: tuple[PrintedNetwork, ...]


def measured_json(figures: MeasuredNetworks) -> PrintedNetworks:
    """The figures for --json."""
    found, ceilings = figures.conditions, figures.ceilings
    return PrintedNetworks(
        device_name=found.device_name,
        threads=found.threads,
        precision=found.precision,
        precision_reason=found.precision_reason,
        num_classes=found.num_classes,
        resolution=found.resolution,
        batch_size=found.batch_size,
        macs_per_second=ceilings.macs_per_second if ceilings else None,
        bytes_per_second=ceilings.bytes_per_second if ceilings else None,
        networks=tuple(map(_printed_network, figures.networks)),
    )


def _printed_network(network: MeasuredNetwork) -> PrintedNetwork:
    step, roofline = network.step, network.roofline
    return PrintedNetwork(
        name=network.name,
        architecture_id=network.architecture_id,
        params=network.params,
        macs=network.macs,
        activations=network.activations,
        frozen_params=network.frozen_params,
        uncounted=network.uncounted,
        memory_layout=network.layout,
        memory_layout_reason=network.layout_reason,
        kernels=network.kernels,
        norms=network.norms,
        norms_by_own_kernels=network.norms_by_own_kernels,
        **_columns("step", step),
        peak_memory_bytes=network.peak_memory_bytes,
        roofline_share=roofline.share if roofline else None,
        arithmetic_share=roofline.arithmetic if roofline else None,
        traffic_share=roofline.traffic if roofline else None,
        parts=network.parts,
        inference=tuple(map(_printed_inference, network.inference)),
    )


def _printed_inference(inference: MeasuredInference) -> PrintedInference:
    time = inference.time
    return PrintedInference(
        inference_batch_size=inference.batch_size,
        **_columns("inference", time),
        images_per_second=inference.images_per_second,
    )


def _columns(work: str, time: MeasuredTime) -> dict[str, Any]:
    """A time under the names of a trial's columns."""
    times = {column.format(work): getattr(time, name) for name, column in COLUMNS.items()}
    return {**times, "rounds": time.rounds, "timing_flag": time.flag, "failure": time.failure}
