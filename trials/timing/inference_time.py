"""The inference time of a network, measured in turn with a reference network."""

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn

from trials.devices.arithmetic import HALF, autocast
from trials.devices.device import clock_of
from trials.kernels.cpu_blocks import as_torch
from trials.measurement import InferenceTime
from trials.timing.alternating import alternate, chunk_seconds_on
from trials.timing.timed_work import TimedWork, alike, flags
from trials.training.cuda_graphs import GraphedCalls, recorder_of


class TimedForward:
    """A network's forward pass on a batch of normalised float input, ready to be timed.

    In half precision, weights are cast once, as where a network is in use: autocast, which is made for
    training, would cast them at every pass.

    Args:
        graphs: on CUDA the pass is recorded as a graph, unless the environment says otherwise.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        batch_size: int,
        resolution: int,
        device: torch.device,
        precision: str,
        graphs: bool = True,
    ) -> None:
        self.batch_size, self.resolution, self.precision = batch_size, resolution, precision
        self.device = device
        generator = torch.Generator().manual_seed(0)
        images = torch.randn((batch_size, 3, resolution, resolution), generator=generator)
        inputs = (images.to(device).to(memory_format=torch.channels_last),)
        self._network, self._inputs = with_cast_weights(network, precision, device), inputs
        record = recorder_of(device) if graphs else None
        take = partial(_forward, self._network, precision, device)
        self.work = TimedWork(take, GraphedCalls(take, changes=[], record=record), inputs, copies=False)

    def close(self) -> None:
        """Gives the graph's memory back."""
        self.work.close()

    def prepare(self) -> Self:
        """Records the pass as a CUDA graph where that is possible."""
        with self.evaluating():
            self.work.prepare()
        return self

    def output(self) -> Any:
        """The network's output for the batch in evaluation mode; it is not recorded."""
        with self.evaluating():
            return _output(self._network, self.precision, self.device, *self._inputs)

    def evaluating(self) -> AbstractContextManager[None]:
        """A block in which the network is in evaluation mode."""
        return _evaluating(self._network)


def measure_inference_time(
    candidate: nn.Module | TimedForward,
    reference: nn.Module | TimedForward | None,
    *,
    batch_size: int,
    resolution: int,
    device: torch.device,
    precision: str,
    clock: Callable[[], float] | None = None,
    max_seconds: float | None = None,
) -> InferenceTime:
    """Times one forward pass on a batch of normalised float input that lies on the device.

    Chunks of passes alternate with the reference's, and the median of the ratios counts, as in
    `measure_step_time`. On a CPU the thread's CPU time is measured. On CUDA a pass is the replay of a graph
    (or, where one of both cannot be recorded, eager), and a chunk ends when the device is done. Not included
    are normalising images, copying them to the device and casting weights to half precision, which is done
    once; nothing is folded or compiled. Networks are timed in evaluation mode and left in the mode that they
    had.

    Args:
        candidate, reference: a `TimedForward` may have been prepared before, under the same conditions.
    """

    def ready(network: nn.Module | TimedForward) -> TimedForward:
        if isinstance(network, TimedForward):
            return network
        return TimedForward(
            network, batch_size=batch_size, resolution=resolution, device=device, precision=precision
        )

    own = ready(candidate)
    other = None if reference is None else ready(reference)
    with own.evaluating(), nullcontext() if other is None else other.evaluating():
        pair = alike(own.work, other.work if other is not None else None)
        timed = alternate(
            pair.candidate,
            pair.reference,
            clock=clock or clock_of(device),
            chunk_seconds=chunk_seconds_on(device.type),
            max_seconds=max_seconds,
        )
    p10, p90 = timed.candidate_p10_p90
    return InferenceTime(
        inference_seconds=timed.candidate_median,
        inference_seconds_p10=p10,
        inference_seconds_p90=p90,
        inference_time_ratio=timed.ratio,
        inference_time_ratio_spread=timed.spread,
        reference_inference_seconds=timed.reference_median,
        resolution=resolution,
        batch_size=batch_size,
        precision=precision,
        rounds=timed.rounds,
        flag=flags(timed.flag, pair.flag),
    )


def _forward(network: nn.Module, precision: str, device: torch.device, images: Tensor) -> None:
    _output(network, precision, device, images)


@torch.inference_mode()
def _output(network: nn.Module, precision: str, device: torch.device, images: Tensor) -> Any:
    with autocast(precision, device):
        return network(images)


def with_cast_weights(network: nn.Module, precision: str, device: torch.device) -> nn.Module:
    """A network that computes the same under autocast, whose weights need no cast any more.

    In half precision it is a copy: convolutions and linear layers hold their weights as autocast would cast
    them. In other precisions it is the network itself.
    """
    dtype = HALF.get(precision)
    if dtype is None:
        return network
    copied = copy.deepcopy(network)
    for module in copied.modules():
        # On a CPU, depthwise convolutions compute in float32 (`Convolution`).
        stays = device.type == "cpu" and isinstance(module, nn.Conv2d) and module.groups > 1
        if isinstance(module, nn.Conv2d | nn.Linear) and not stays:
            module.to(dtype)
    return copied


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Puts a network into evaluation mode within the block.

    On a CPU it computes as torch does, since a network is used without our kernels. Afterwards each module
    gets back its own mode: parts of a network may be frozen.
    """
    modes = {module: module.training for module in network.modules()}
    for module in modes:
        module.training = False
    try:
        with as_torch(network):
            yield
    finally:
        for module, training in modes.items():
            module.training = training
