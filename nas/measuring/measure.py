"""Networks measured side by side on this machine: size, training step, inference, memory, parts of a step."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import torch
from rich.console import Console
from torch import nn

from nas.measuring.conditions import Conditions, NamedNetwork, conditions_for, fitting_weights, read_networks
from nas.measuring.figures import (
    NOT_FITTING,
    MeasuredInference,
    MeasuredNetwork,
    MeasuredNetworks,
    MeasuredTime,
    measured_time,
)
from nas.measuring.prepared import Prepared, prepare
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.config_error import ConfigError
from trials.devices.device import keep_freed_memory, lock_of
from trials.devices.device_errors import WITHOUT_GRAPHS, CaptureFailedError, is_out_of_memory
from trials.devices.memory_bound import bounded_on
from trials.devices.own_memory import OwnMemory
from trials.devices.sharing import timing, training
from trials.devices.threads import using_threads
from trials.kernels.choice import coverage
from trials.measurement import InferenceTime, StepTime
from trials.recipe import Precision
from trials.timing.inference_time import TimedForward, measure_inference_time
from trials.timing.module_errors import users_errors
from trials.timing.module_parts import PartTime, measure_parts
from trials.timing.module_source import ModuleSource
from trials.timing.roofline import Ceilings, RooflineShare, measure_ceilings, roofline_share
from trials.timing.step_memory import StepsFailedError, cpu_step_memory, cuda_step_memory
from trials.timing.step_time import TimedStep, measure_step_time

INFERENCE_BATCHES = (1, 16, 128)
MAX_SECONDS = 10.0  # for one figure; what is slower takes fewer rounds

OnStatus = Callable[[str], None]


def measure(
    sources: Sequence[str | Callable[..., nn.Module]],
    *,
    num_classes: int | None = None,
    resolution: int | None = None,
    batch_size: int | None = None,
    precision: Precision | None = None,
    on_status: OnStatus = lambda text: None,
    on_network: OnStatus = lambda name: None,
) -> MeasuredNetworks:
    """Measures networks side by side on this machine's first device; ratios are to the first one.

    What networks print goes to standard error.

    Args:
        sources: files and published names of architectures; names as package.module:Net, timm:NAME and
            torchvision:NAME; classes and functions that give a network, called without arguments or, where
            they take it, with num_classes.
        on_status: gets words for what is being measured.
        on_network: gets the name of each network when its measurement begins.

    Raises:
        ConfigError: a source is no network, the resolution is too small for it, its weights do not fit into
            memory, or it cannot be trained from images (N, 3, resolution, resolution) to logits (N, classes).
    """
    with redirect_stdout(sys.stderr):
        networks = read_networks(sources)
        conditions = conditions_for(
            networks,
            num_classes=num_classes,
            resolution=resolution,
            batch_size=batch_size,
            precision=precision,
            on_wait=partial(_say_waiting, on_status),
        )
        return measure_networks(networks, conditions, on_status=on_status, on_network=on_network)


def measure_on_console(
    sources: Sequence[str],
    *,
    num_classes: int | None,
    resolution: int | None,
    batch_size: int | None,
    precision: Precision | None,
    console: Console,
) -> MeasuredNetworks:
    """As `measure`; a terminal shows what is being measured, anything else has a line for each network."""
    conditions: dict[str, Any] = {
        "num_classes": num_classes,
        "resolution": resolution,
        "batch_size": batch_size,
        "precision": precision,
    }
    if console.is_terminal:
        with console.status("measuring") as status:
            return measure(sources, **conditions, on_status=status.update)

    def say(name: str) -> None:
        console.print(f"measuring {name}", soft_wrap=True)

    return measure(sources, **conditions, on_network=say)


def measure_networks(
    networks: Sequence[NamedNetwork | ModuleSource],
    conditions: Conditions,
    *,
    steps_only: bool = False,
    on_status: OnStatus = lambda text: None,
    on_network: OnStatus = lambda name: None,
) -> MeasuredNetworks:
    """Measures the networks one after the other; `steps_only` leaves out memory, inference and parts.

    Ratios are to the first network, measured in turn with it; it is timed alone itself. Weights are random,
    from a fixed seed. On a CPU one thread computes, as in trials, but on any core. All train by the step of
    trials, with its loss and optimizer; own kernels replace what they find in a network, whoever wrote it.
    """
    if conditions.device.type == "cpu":
        keep_freed_memory()
    first: _Subject | None = None
    measured: list[MeasuredNetwork] = []
    lock = lock_of(conditions.device)
    say_waiting = partial(_say_waiting, on_status)
    alone = partial(timing, lock, say_waiting)
    # As trials do: built and recorded while others may train here, timed alone.
    with using_threads(conditions.threads), training(lock, say_waiting):
        prepared = prepare(networks, conditions)
        ceilings: Ceilings | None = None
        for network in prepared:
            on_network(network.name)
            if first is None and not steps_only:
                on_status("rates of this device")
                with alone():
                    ceilings = _ceilings(conditions)
            with _in_words(network):
                subject = _Subject(network, conditions, ceilings, on_status, alone=alone)
                of_first = measured[0] if measured else None
                measured.append(subject.measured(first, of_first, steps_only=steps_only))
            first = first or subject
    return MeasuredNetworks(conditions, tuple(measured), ceilings)


def _say_waiting(on_status: OnStatus, seconds: float) -> None:
    on_status(f"waiting for the device, {seconds:.0f} s")


@contextmanager
def _in_words(network: Prepared) -> Iterator[None]:
    """Says in a sentence what fails in a module, and that a network cannot be a CUDA graph."""
    is_ours = isinstance(network.network, Architecture)
    try:
        with nullcontext() if is_ours else users_errors(network.name, "measuring it", must_be_users=True):
            yield
    except CaptureFailedError as error:
        raise ConfigError(
            f"{network.name}: {error}; with {WITHOUT_GRAPHS} in the environment all are measured without"
        ) from error


def _ceilings(conditions: Conditions) -> Ceilings | None:
    """The device's ceilings; None where measuring them does not fit into memory."""
    try:
        with bounded_on(conditions.device):
            return measure_ceilings(conditions.device, conditions.precision)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return None


class _Subject:
    """A network that is built and ready to be measured; the first one stays for the others."""

    def __init__(
        self,
        network: Prepared,
        conditions: Conditions,
        ceilings: Ceilings | None,
        on_status: OnStatus,
        *,
        alone: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self.network = network
        self.alone = alone
        self.conditions = conditions
        self.ceilings = ceilings
        self.on_status = on_status
        self.memory = OwnMemory(conditions.device)
        with fitting_weights(network.name, conditions.device):
            self.step = conditions.steps.step(network.network)

    def measured(
        self, first: "_Subject | None", first_measured: MeasuredNetwork | None, *, steps_only: bool
    ) -> MeasuredNetwork:
        """Measures this network; `first_measured` says what failed with the first one."""
        # Memory before time: a step that does not fit is not timed.
        memory, step_fits = (None, True) if steps_only else self._memory()
        step = NOT_FITTING
        parts: tuple[PartTime, ...] = ()
        if step_fits:
            self.on_status(f"{self.network.name}: training step")
            of_first = first_measured.step if first_measured else None
            measure = partial(self._step_time, _unless_failed(first, of_first))
            step = compared(fitting(measure, self.conditions.device), of_first)
            parts = () if steps_only else self._parts()
        # Inference, of each batch against the same batch of the first network.
        inference = []
        for i, batch_size in enumerate(() if steps_only else INFERENCE_BATCHES):
            of_first = first_measured.inference[i].time if first_measured else None
            time = self._pass(batch_size, first, of_first)
            inference.append(MeasuredInference(batch_size=batch_size, time=time))
        counts = self.network.counts
        norms = coverage(self.step.network, self.conditions.device)
        return MeasuredNetwork(
            name=self.network.name,
            architecture_id=self.network.architecture_id,
            params=counts.params,
            macs=counts.macs,
            activations=counts.activations,
            step=step,
            peak_memory_bytes=memory,
            inference=tuple(inference),
            frozen_params=counts.frozen_params,
            uncounted=counts.uncounted,
            layout=self.network.layout,
            layout_reason=self.network.layout_reason,
            kernels=self.step.kernels,
            norms=norms.all,
            norms_by_own_kernels=norms.own,
            roofline=self._roofline(step),
            parts=parts,
        )

    def _roofline(self, step: MeasuredTime) -> RooflineShare | None:
        counts = self.network.counts
        if self.ceilings is None or not step.seconds or counts.macs is None or counts.activations is None:
            return None
        return roofline_share(
            self.ceilings,
            macs=counts.macs,
            activations=counts.activations,
            images=self.conditions.batch_size,
            seconds=step.seconds,
            precision=self.conditions.precision,
        )

    def _parts(self) -> tuple[PartTime, ...]:
        self.on_status(f"{self.network.name}: parts of a training step")
        try:
            with bounded_on(self.conditions.device), self.alone():
                return measure_parts(self.step, self.conditions.steps.batch())
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return ()

    def _pass(self, batch_size: int, first: "_Subject | None", of_first: MeasuredTime | None) -> MeasuredTime:
        self.on_status(f"{self.network.name}: inference at batch {batch_size}")
        measure = partial(self._inference_time, _unless_failed(first, of_first), batch_size)
        return compared(fitting(measure, self.conditions.device), of_first)

    def _memory(self) -> tuple[int | None, bool]:
        """Bytes of a training step (None where it is unknown), and whether it fits into memory."""
        self.on_status(f"{self.network.name}: memory of a training step")
        conditions = self.conditions
        try:
            if conditions.device.type == "cuda":
                size: int | None = cuda_step_memory(self.step, conditions.steps.batch(), self.memory)
            else:
                size = cpu_step_memory(
                    self.network.network,
                    num_classes=conditions.num_classes,
                    batch_size=conditions.batch_size,
                    resolution=conditions.resolution,
                    precision=conditions.precision,
                )
        except StepsFailedError:
            if isinstance(self.network.network, Architecture):
                raise
            return None, True  # a module may not work twice; here it did
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
