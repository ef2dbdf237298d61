"""Training steps of the reference networks against what the device's memory allows.

The least traffic of a step is 22 bytes for each activation and image in 16-bit, as in roofline.py. The bound
is that traffic over the bandwidth of a large copy from device memory to device memory, in the same process.
"""

import statistics
from collections.abc import Iterator
from functools import partial
from itertools import product

import torch
from benchmarks.gpu.conditions import Conditions
from benchmarks.gpu.figures import Row, several
from benchmarks.roofline import new_step
from torch.profiler import ProfilerActivity, profile

from nas.doctor.gpu_probes import copy_bandwidth
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import count
from search_spaces.settings.yaml_files import read_yaml
from trials.devices.arithmetic import HALF
from trials.devices.device import clock_of
from trials.devices.device_errors import CaptureFailedError, is_out_of_memory
from trials.devices.own_memory import give_back
from trials.timing.roofline import BYTES_PER_ACTIVATION
from trials.training.step import TrainingStep
from trials.training.synthetic_batch import SyntheticBatch

NETWORKS = ("efficientnetv2-s", "efficientnetv2-b0")
SIDES = (128, 32, 300)
BATCH = 256  # halved until a step fits
CLASSES, PASSES, PASS_SECONDS = 1000, 7, 0.4


def measure(conditions: Conditions) -> Iterator[Row]:
    """Yields seconds, images per second and the share of the bound, for each network and size."""
    precision = conditions.precision
    for side, name in conditions.sized(
        list(product(SIDES, NETWORKS)), [(32, "tests/benchmarks/paper/toy.yaml")]
    ):
        if conditions.seconds_left < 5:
            return
        architecture = read_yaml(Architecture, name)
        batch = conditions.sized(BATCH, 8)
        while True:
            try:
                yield _row(conditions, architecture, name, side=side, batch=batch, precision=precision)
                break
            except RuntimeError as error:
                if isinstance(error, CaptureFailedError) or not is_out_of_memory(error) or batch <= 16:
                    raise
            give_back(conditions.device)
            batch //= 2
        give_back(conditions.device)


def _row(
    conditions: Conditions, architecture: Architecture, name: str, *, side: int, batch: int, precision: str
) -> Row:
    device = conditions.device
    step = new_step(architecture, device, precision, batch)
    given = SyntheticBatch.random(batch_size=batch, resolution=side, num_classes=10, device=device)
    calls = partial(step.graphed(step), given.images, given.labels)
    seconds, bandwidths = [], []
    calls()
    for _ in range(conditions.sized(PASSES, 2)):
        seconds.append(seconds_of(calls, device, at_least=conditions.sized(PASS_SECONDS, 0.0)))
        bandwidths.append(copy_bandwidth(device, size=conditions.sized(2**31, 2**22)))
    activations = count(architecture, num_classes=10, resolution=side).activations
    moved = activations * BYTES_PER_ACTIVATION * (1 if precision in HALF else 2) * batch
    bound = [moved / bandwidth for bandwidth in bandwidths]
    shares = several([100 * least / taken for least, taken in zip(bound, seconds, strict=True)])
    middle = statistics.median(seconds)
    label = f"{name.rpartition('/')[2].removesuffix('.yaml')}, {side} px, batch {batch}, {precision}"
    return Row(
        label,
        {
            "launched": step.mode,
            "ms a step": several([1000 * value for value in seconds]),
            "images/s": batch / middle,
            "share of the bandwidth's bound, %": shares,
            "copies, GB/s": several([value / 1e9 for value in bandwidths]),
            "kernels a step": kernels(calls, step),
        },
        f"{label}: {1000 * middle:.2f} ms a step, {batch / middle:,.0f} images/s, "
        f"{shares.median:.0f} % of the bandwidth's bound (n = {shares.n})",
    )


def seconds_of(calls: partial[None], device: torch.device, *, at_least: float) -> float:
    """Mean seconds of a call, over at least so many seconds and two calls."""
    clock = clock_of(device)
    before, done, queued = clock(), 0, 8 if device.type == "cuda" else 1
    while done < 2 or clock() - before < at_least:
        for _ in range(queued):
            calls()
        done += queued
    return (clock() - before) / done


def kernels(calls: partial[None], step: TrainingStep) -> int | None:
    """Kernels and copies of a step on a GPU, operators on a CPU; None where the profiler does not tell."""
    on_gpu = step.device.type == "cuda"
    try:
        with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as profiler:
            calls()
            if on_gpu:
                torch.cuda.synchronize(step.device)
        kind = torch.autograd.DeviceType.CUDA if on_gpu else torch.autograd.DeviceType.CPU
        return sum(event.device_type == kind for event in profiler.events()) or None
    except RuntimeError as error:
        print(f"no profile: {error}")
        return None
