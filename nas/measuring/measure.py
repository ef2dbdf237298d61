"""Networks measured side by side on this machine: size, training step, inference, memory."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from search_spaces.choices.described import read_described
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import count
from search_spaces.networks.network import check_resolution
from search_spaces.networks.provenance import DEFAULT_CLASSES, DEFAULT_RESOLUTION, provenance_number
from search_spaces.settings.yaml_files import ConfigError
from trials.devices.device import available_slots, device_info, is_out_of_memory, keep_freed_memory, lock_of
from trials.devices.memory_bound import bounded_memory
from trials.recipe import Precision
from trials.timing.inference_time import measure_inference_time
from trials.timing.precision import resolve_precision
from trials.timing.step_memory import cpu_step_memory, cuda_step_memory, step_recipe
from trials.timing.step_time import measure_step_time
from trials.training.step import TrainingStep, build_step
from trials.training.synthetic_batch import SyntheticBatch
from trials.trial import InferenceTime, StepTime

INFERENCE_BATCHES = (1, 16, 128)
STEP_BATCH = {"cpu": 32, "cuda": 256}
MAX_SECONDS = 10.0  # for one figure; what is slower takes fewer rounds
OUT_OF_MEMORY = "out of memory"
COLUMNS = {
    StepTime: (
        "step_seconds", "step_seconds_p10", "step_seconds_p90", "step_time_ratio", "step_time_ratio_spread",
    ),
    InferenceTime: (
        "inference_seconds", "inference_seconds_p10", "inference_seconds_p90", "inference_time_ratio",
        "inference_time_ratio_spread",
    ),
}  # fmt: skip

Figures = dict[str, Any]
OnStatus = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """Under which networks are measured; the same for all of them."""

    device: torch.device
    device_name: str
    threads: int | None  # of a CPU, as in trials; None on a GPU
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
    """What is not given comes from the first network's provenance, else from the device, the first there is.

    Raises:
        ConfigError: the resolution is too small for one of the networks.
    """
    first = networks[0]
    from_file = partial(provenance_number, first.architecture, name=first.name)
    slot = available_slots()[0]
    device = torch.device(slot.device)
    num_classes = num_classes or from_file("num_classes", DEFAULT_CLASSES)
    resolution = resolution or from_file("resolution", DEFAULT_RESOLUTION)
    for network in networks:
        try:
            check_resolution(network.architecture, resolution)
        except ValueError as error:
            raise ConfigError(f"{network.name}: {error}") from error
    threads = 1 if device.type == "cpu" else None
    with using_threads(threads):
        resolved = resolve_precision(
            precision or "auto", device, reference=first.architecture, resolution=resolution
        )
    return Conditions(
        device=device,
        device_name=device_info(slot).device_name,
        threads=threads,
        precision=resolved,
        num_classes=num_classes,
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
) -> Figures:
    """The figures of files and published names; on a terminal shows what is being measured.

    Raises:
        ConfigError: a source is no architecture, the resolution is too small for it, or its weights do not
        fit into memory.
    """
    networks = read_networks(sources)
    conditions = conditions_for(
        networks,
        num_classes=num_classes,
        resolution=resolution,
        batch_size=batch_size,
        precision=precision,
    )
    if not console.is_terminal:
        return measure_networks(networks, conditions)
    with console.status("measuring") as status:
        return measure_networks(networks, conditions, on_status=status.update)


def measure_networks(
    networks: Sequence[Measured], conditions: Conditions, *, on_status: OnStatus = lambda text: None
) -> Figures:
    """All figures, keys named as the columns; what could not be measured is None, and `failure` says why.

    Ratios are to the first network, measured in turn with it; it is timed alone itself. Weights are random,
    from a fixed seed. On a CPU one thread computes, as in trials, but on any core.
    """
    if conditions.device.type == "cpu":
        keep_freed_memory()
    first: _Subject | None = None
    measured: list[Figures] = []
    with using_threads(conditions.threads):
        for network in networks:
            subject = _Subject(network, conditions, on_status)
            measured.append(subject.figures(first, measured[0] if measured else None))
            first = first or subject
    facts = {name: value for name, value in vars(conditions).items() if name != "device"}
    return {**facts, "networks": measured}


@contextmanager
def using_threads(count: int | None) -> Iterator[None]:
    """That many threads compute; None leaves it as it is."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Inside, a CPU computes with one thread, as in trials."""
    with using_threads(1 if device.type == "cpu" else None):
        yield


class _Subject:
    """A network that is built and ready to be measured; the first one stays for the others."""

    def __init__(self, network: Measured, conditions: Conditions, on_status: OnStatus) -> None:
        self.network = network
        self.conditions = conditions
        self.on_status = on_status
        on_cuda = conditions.device.type == "cuda"
        self.held_before = torch.cuda.memory_allocated(conditions.device) if on_cuda else 0
        try:
            with bounded(conditions):
                self.step = new_step(network.architecture, conditions)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise ConfigError(f"{network.name}: its weights do not fit into the memory here") from error

    def figures(self, first: "_Subject | None", first_figures: Figures | None) -> Figures:
        """All of this network's; `first_figures` tell what the first network could not do."""
        architecture, conditions = self.network.architecture, self.conditions
        counts = count(architecture, num_classes=conditions.num_classes, resolution=conditions.resolution)
        memory = self._memory()
        step_time = failed(StepTime)
        if memory["failure"] is None:
            self.on_status(f"{self.network.name}: training step")
            measure = partial(self._step_time, _unless_failed(first, first_figures))
            step_time = compared(fitting(StepTime, measure, conditions), first_figures)
        return {
            "name": self.network.name,
            "architecture_id": architecture.architecture_id,
            "params": counts.params,
            "macs": counts.macs,
            "activations": counts.activations,
            **step_time,
            "peak_memory_bytes": memory["peak_memory_bytes"],
            "inference": [
                self._inference(batch, first, first_figures and first_figures["inference"][i])
                for i, batch in enumerate(INFERENCE_BATCHES)
            ],
        }

    def _inference(self, batch_size: int, first: "_Subject | None", first_figures: Figures | None) -> Figures:
        self.on_status(f"{self.network.name}: inference at batch {batch_size}")
        measure = partial(self._inference_time, _unless_failed(first, first_figures), batch_size)
        figures = fitting(InferenceTime, measure, self.conditions)
        seconds = figures["inference_seconds"]
        return {
            "inference_batch_size": batch_size,
            **compared(figures, first_figures),
            "images_per_second": batch_size / seconds if seconds else None,
        }

    def _memory(self) -> Figures:
        """Bytes that a training step takes, weights included; None where the system does not tell."""
        self.on_status(f"{self.network.name}: memory of a training step")
        conditions = self.conditions
        try:
            if conditions.device.type == "cuda":
                size: int | None = cuda_step_memory(self.step, timed_batch(conditions), held=self.held_before)
            else:
                size = cpu_step_memory(
                    self.network.architecture,
                    num_classes=conditions.num_classes,
                    batch_size=conditions.batch_size,
                    resolution=conditions.resolution,
                    precision=conditions.precision,
                )
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return {"peak_memory_bytes": None, "failure": OUT_OF_MEMORY}
        return {"peak_memory_bytes": size, "failure": None}

    def _step_time(self, first: "_Subject | None") -> StepTime:
        reference = first.step if first else None
        with lock_of(self.conditions.device).timing(self._say_waiting):
            return measure_step_time(
                self.step, reference, timed_batch(self.conditions), max_seconds=MAX_SECONDS
            )

    def _inference_time(self, first: "_Subject | None", batch_size: int) -> InferenceTime:
        with lock_of(self.conditions.device).timing(self._say_waiting):
            return measure_inference_time(
                self.step.network,
                first.step.network if first else None,
                batch_size=batch_size,
                resolution=self.conditions.resolution,
                device=self.conditions.device,
                precision=self.conditions.precision,
                max_seconds=MAX_SECONDS,
            )

    def _say_waiting(self, seconds: float) -> None:
        self.on_status(f"{self.network.name}: waiting for the device, {seconds:.0f} s")


def new_step(architecture: Architecture, conditions: Conditions) -> TrainingStep:
    """The step of a fresh network, its weights random from a fixed seed."""
    torch.manual_seed(0)
    recipe = step_recipe(batch_size=conditions.batch_size, resolution=conditions.resolution)
    return build_step(
        architecture,
        recipe,
        num_classes=conditions.num_classes,
        device=conditions.device,
        precision=conditions.precision,
    )


def timed_batch(conditions: Conditions) -> SyntheticBatch:
    """Random images and labels of that size, on the device."""
    return SyntheticBatch.random(
        batch_size=conditions.batch_size,
        resolution=conditions.resolution,
        num_classes=conditions.num_classes,
        device=conditions.device,
    )


def _unless_failed(first: _Subject | None, first_figures: Figures | None) -> _Subject | None:
    """The network to compare with, unless this measurement was beyond it."""
    return None if first_figures and first_figures["failure"] else first


@contextmanager
def bounded(conditions: Conditions) -> Iterator[None]:
    """On a CPU too large a batch must be refused before the kernel ends processes for it."""
    if conditions.device.type == "cpu":
        with bounded_memory():
            yield
    else:
        yield


def failed(kind: type[StepTime] | type[InferenceTime]) -> Figures:
    """The columns of a measurement that did not fit into memory."""
    return {**dict.fromkeys(COLUMNS[kind]), "rounds": 0, "timing_flag": None, "failure": OUT_OF_MEMORY}


def fitting(
    kind: type[StepTime] | type[InferenceTime],
    measure: Callable[[], StepTime | InferenceTime],
    conditions: Conditions,
) -> Figures:
    """The columns of a measurement, also of one that does not fit into memory; what else breaks is raised."""
    try:
        with bounded(conditions):
            measured = measure()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return failed(kind)
    columns = {name: getattr(measured, name) for name in COLUMNS[kind]}
    return {**columns, "rounds": measured.rounds, "timing_flag": measured.flag, "failure": None}


def compared(figures: Figures, first_figures: Figures | None) -> Figures:
    """Without the spread where nothing can scatter, and without a ratio to what did not fit into memory."""
    ratio = next(name for name in figures if name.endswith("_ratio"))
    if first_figures is None or figures["rounds"] < 2:
        figures = {**figures, f"{ratio}_spread": None}
    if first_figures is not None and first_figures["failure"]:
        figures = {**figures, ratio: None, f"{ratio}_spread": None}
    return figures
