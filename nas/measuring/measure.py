"""Networks measured side by side on this machine: size, training step, inference, memory."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property, partial

import torch
from rich.console import Console

from nas.measuring.conditions import Conditions, NamedNetwork, conditions_for, read_networks
from nas.measuring.figures import (
    NOT_FITTING,
    MeasuredInference,
    MeasuredNetwork,
    MeasuredNetworks,
    MeasuredTime,
    measured_time,
)
from search_spaces.networks.counting import count
from search_spaces.settings.yaml_files import ConfigError
from trials.devices.device import keep_freed_memory, lock_of
from trials.devices.device_errors import is_out_of_memory
from trials.devices.memory_bound import bounded_on
from trials.devices.own_memory import OwnMemory
from trials.devices.sharing import timing, training
from trials.devices.threads import using_threads
from trials.recipe import Precision
from trials.timing.inference_time import TimedForward, measure_inference_time
from trials.timing.step_memory import cpu_step_memory, cuda_step_memory
from trials.timing.step_time import TimedStep, measure_step_time
from trials.trial import InferenceTime, StepTime

INFERENCE_BATCHES = (1, 16, 128)
MAX_SECONDS = 10.0  # for one figure; what is slower takes fewer rounds

OnStatus = Callable[[str], None]


def measure_on_console(
    sources: Sequence[str],
    *,
    num_classes: int | None,
    resolution: int | None,
    batch_size: int | None,
    precision: Precision | None,
    console: Console,
) -> MeasuredNetworks:
    """The measured networks of files and published names; on a terminal shows what is being measured.

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
        for network in networks:
            console.print(f"measuring {network.name}", soft_wrap=True)
        return measure_networks(networks, conditions)
    with console.status("measuring") as status:
        return measure_networks(networks, conditions, on_status=status.update)


def measure_networks(
    networks: Sequence[NamedNetwork],
    conditions: Conditions,
    *,
    steps_only: bool = False,
    on_status: OnStatus = lambda text: None,
) -> MeasuredNetworks:
    """Measures the networks one after the other; `steps_only` leaves out memory and inference.

    Ratios are to the first network, measured in turn with it; it is timed alone itself. Weights are random,
    from a fixed seed. On a CPU one thread computes, as in trials, but on any core.
    """
    if conditions.device.type == "cpu":
        keep_freed_memory()
    first: _Subject | None = None
    measured: list[MeasuredNetwork] = []
    lock = lock_of(conditions.device)

    def say_waiting(seconds: float) -> None:
        on_status(f"waiting for the device, {seconds:.0f} s")

    # As trials do: built and recorded while others may train here, timed alone.
    with using_threads(conditions.threads), training(lock, say_waiting):
        for network in networks:
            subject = _Subject(network, conditions, on_status, alone=partial(timing, lock, say_waiting))
            of_first = measured[0] if measured else None
            measured.append(subject.measured(first, of_first, steps_only=steps_only))
            first = first or subject
    return MeasuredNetworks(conditions, tuple(measured))


class _Subject:
    """A network that is built and ready to be measured; the first one stays for the others."""

    def __init__(
        self,
        network: NamedNetwork,
        conditions: Conditions,
        on_status: OnStatus,
        *,
        alone: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self.network = network
        self.alone = alone
        self.conditions = conditions
        self.on_status = on_status
        self.memory = OwnMemory(conditions.device)
        try:
            with bounded_on(conditions.device):
                self.step = conditions.steps.step(network.architecture)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise ConfigError(f"{network.name}: its weights do not fit into the memory here") from error

    def measured(
        self, first: "_Subject | None", first_measured: MeasuredNetwork | None, *, steps_only: bool
    ) -> MeasuredNetwork:
        """Counts and measures this network; `first_measured` tells what failed with the first one."""
        # Size, counted.
        architecture, conditions = self.network.architecture, self.conditions
        counts = count(architecture, num_classes=conditions.num_classes, resolution=conditions.resolution)
        # Memory before time: a step that does not fit is not timed.
        memory, step_fits = (None, True) if steps_only else self._memory()
        step = NOT_FITTING
        if step_fits:
            self.on_status(f"{self.network.name}: training step")
            of_first = first_measured.step if first_measured else None
            measure = partial(self._step_time, _unless_failed(first, of_first))
            step = compared(fitting(measure, conditions.device), of_first)
        # Inference, of each batch against the same batch of the first network.
        inference = []
        for i, batch_size in enumerate(() if steps_only else INFERENCE_BATCHES):
            of_first = first_measured.inference[i].time if first_measured else None
            time = self._pass(batch_size, first, of_first)
            inference.append(MeasuredInference(batch_size=batch_size, time=time))
        return MeasuredNetwork(
            name=self.network.name,
            architecture_id=architecture.architecture_id,
            params=counts.params,
            macs=counts.macs,
            activations=counts.activations,
            step=step,
            peak_memory_bytes=memory,
            inference=tuple(inference),
        )

    def _pass(self, batch_size: int, first: "_Subject | None", of_first: MeasuredTime | None) -> MeasuredTime:
        self.on_status(f"{self.network.name}: inference at batch {batch_size}")
        measure = partial(self._inference_time, _unless_failed(first, of_first), batch_size)
        return compared(fitting(measure, self.conditions.device), of_first)

    def _memory(self) -> tuple[int | None, bool]:
        """Bytes of a training step (None where the system does not tell), and whether it fits into memory."""
        self.on_status(f"{self.network.name}: memory of a training step")
        conditions = self.conditions
        try:
            if conditions.device.type == "cuda":
                size: int | None = cuda_step_memory(self.step, conditions.steps.batch(), self.memory)
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
            return None, False
        return size, True

    @cached_property
    def timed_step(self) -> TimedStep:
        """The training step on its batch, recorded."""
        return TimedStep(self.step, self.conditions.steps.batch()).prepare()

    def _step_time(self, first: "_Subject | None") -> StepTime:
        own, reference = self.timed_step, first.timed_step if first else None
        with self.alone():
            return measure_step_time(own, reference, own.batch, max_seconds=MAX_SECONDS)

    def _inference_time(self, first: "_Subject | None", batch_size: int) -> InferenceTime:
        own, reference = self._forward(batch_size), first._forward(batch_size) if first else None
        with self.alone():
            return measure_inference_time(
                own,
                reference,
                batch_size=batch_size,
                resolution=self.conditions.resolution,
                device=self.conditions.device,
                precision=self.conditions.precision,
                max_seconds=MAX_SECONDS,
            )

    def _forward(self, batch_size: int) -> TimedForward:
        """A forward pass of a batch, recorded."""
        return TimedForward(
            self.step.network,
            batch_size=batch_size,
            resolution=self.conditions.resolution,
            device=self.conditions.device,
            precision=self.conditions.precision,
        ).prepare()


def _unless_failed(first: _Subject | None, of_first: MeasuredTime | None) -> _Subject | None:
    """The network to compare with; None where this measurement of it failed."""
    return None if of_first and of_first.failure else first


def fitting(measure: Callable[[], StepTime | InferenceTime], device: torch.device) -> MeasuredTime:
    """A measurement, also one that does not fit into memory; other errors are raised."""
    try:
        with bounded_on(device):
            return measured_time(measure())
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return NOT_FITTING


def compared(time: MeasuredTime, of_first: MeasuredTime | None) -> MeasuredTime:
    """Drops the spread where nothing can scatter, and the ratio to what did not fit into memory."""
    if of_first is not None and of_first.failure:
        return replace(time, ratio=None, ratio_spread=None)
    if of_first is None or time.rounds < 2:
        return replace(time, ratio_spread=None)
    return time
