"""The inference time of a network, as its ratio to a reference network, measured alternately."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from trials.devices.device import autocast, clock_of
from trials.timing.alternating import alternate
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
    """Seconds of one forward pass on a batch of ready float input that lies on the device.

    As `measure_step_time` does: chunks in turn with the reference (if there is one), the median of the
    ratios, the thread's CPU time on CPU; on CUDA passes follow each other without waiting, and the chunk ends
    when the device is done. Normalising the images and copying them to the device are no part of it, nor is
    anything folded or compiled. Networks are timed in evaluation mode, batch norm with its running
    statistics, and are left in the mode they were in.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randn((batch_size, 3, resolution, resolution), generator=generator)
    images = images.to(device).to(memory_format=torch.channels_last)
    with _evaluating(candidate), _evaluating(reference):
        timed = alternate(
            _forward(candidate, images, precision, device),
            None if reference is None else _forward(reference, images, precision, device),
            clock=clock or clock_of(device),
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
    """Each module's own mode is put back: a part of a network may be frozen."""
    modes = {} if network is None else {module: module.training for module in network.modules()}
    for module in modes:
        module.training = False
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
