"""The inference time of a network, measured in turn with a reference network."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from trials.devices.device import autocast, clock_of
from trials.timing.alternating import alternate, chunk_seconds_on
from trials.trial import InferenceTime


def measure_inference_time(
    candidate: nn.Module,
    reference: nn.Module | None,
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
    `measure_step_time`. On a CPU the thread's CPU time is measured; on CUDA passes are launched without
    waiting in between, and a chunk ends when the device is done. Not included are normalising images and
    copying them to the device; nothing is folded or compiled. Networks are timed in evaluation mode and left
    in the mode that they had.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randn((batch_size, 3, resolution, resolution), generator=generator)
    images = images.to(device).to(memory_format=torch.channels_last)
    with _evaluating(candidate), _evaluating(reference):
        timed = alternate(
            _forward(candidate, images, precision, device),
            None if reference is None else _forward(reference, images, precision, device),
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
        flag=timed.flag,
    )


def _forward(
    network: nn.Module, images: Tensor, precision: str, device: torch.device
) -> Callable[[], object]:
    @torch.inference_mode()
    def run() -> None:
        with autocast(precision, device):
            network(images)

    return run


@contextmanager
def _evaluating(network: nn.Module | None) -> Iterator[None]:
    """Puts a network into evaluation mode within the block.

    Afterwards each module gets back its own mode: parts of a network may be frozen.
    """
    modes = {} if network is None else {module: module.training for module in network.modules()}
    for module in modes:
        module.training = False
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
