"""The inference time of a network, as its ratio to a reference network, measured alternately."""

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from trials.alternating import alternate
from trials.device import autocast, clock_of
from trials.trial import InferenceTime

WARM_UP_PASSES = 2


def measure_inference_time(
    candidate: nn.Module,
    reference: nn.Module,
    *,
    batch_size: int,
    resolution: int,
    device: torch.device,
    precision: str,
    clock: Callable[[], float] | None = None,
    max_seconds: float | None = None,
) -> InferenceTime:
    """Seconds of one forward pass on a batch of ready float input that lies on the device.

    As `measure_step_time` does: chunks in turn with the reference, the median of the ratios, the thread's CPU
    time on CPU. Networks are timed in evaluation mode and are left in the mode they were in.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randn((batch_size, 3, resolution, resolution), generator=generator)
    images = images.to(device).to(memory_format=torch.channels_last)
    with _evaluating(candidate), _evaluating(reference):
        passes = [_forward(network, images, precision, device) for network in (candidate, reference)]
        for run in passes:
            for _ in range(WARM_UP_PASSES):
                run()
        timed = alternate(*passes, clock=clock or clock_of(device), max_seconds=max_seconds)
    p10, p90 = timed.candidate_p10_p90
    return InferenceTime(
        inference_seconds=statistics.median(timed.candidate_seconds),
        inference_seconds_p10=p10,
        inference_seconds_p90=p90,
        inference_time_ratio=timed.ratio,
        inference_time_ratio_spread=timed.spread,
        reference_inference_seconds=statistics.median(timed.reference_seconds),
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
def _evaluating(network: nn.Module) -> Iterator[None]:
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)
