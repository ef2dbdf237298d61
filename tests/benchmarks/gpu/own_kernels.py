"""Own kernels against torch's operators: single layers as graphs, then whole training steps, in turns.

Bytes are those that the kernels declare, so GB/s of torch's operators, which move more, are not comparable.
"""

import os
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from unittest.mock import patch

import torch
from benchmarks.gpu.conditions import Conditions, NotHereError
from benchmarks.gpu.figures import Row, several
from benchmarks.gpu.training_steps import seconds_of
from benchmarks.roofline import new_step

from nas.doctor.gpu_probes import copy_bandwidth
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import read_yaml
from trials.devices.arithmetic import HALF
from trials.devices.device_errors import CaptureFailedError, is_out_of_memory
from trials.devices.own_memory import give_back
from trials.kernels.costs import COSTS
from trials.kernels.cuda_probe import FUSED_KERNELS, GATED_FROM, compared_layers, kernels_verdict
from trials.training.cuda_graphs import recorder_of
from trials.training.synthetic_batch import SyntheticBatch

# Images, channels, side: of V2-S at 300 and 128 px, of V2-B0 at 32 px, and such as cut tiles.
SHAPES = (
    (128, 24, 150), (128, 192, 75), (128, 256, 38), (128, 1536, 10), (256, 96, 16), (256, 960, 2),
    (256, 192, 1), (128, 272, 19),
)  # fmt: skip
STEPS = (("efficientnetv2-b0", 32, 256), ("efficientnetv2-s", 128, 256), ("efficientnetv2-s", 300, 128))
ROUNDS, SECONDS = 5, 0.1
STEP_ROUNDS, STEP_SECONDS = 2, 0.5


def measure(conditions: Conditions) -> Iterator[Row]:
    """Yields what the probe says, then times of layers and of steps with their ratios."""
    if not conditions.rehearse and find_spec("triton") is None:
        raise NotHereError("triton is not installed; torch for CUDA brings it")
    for precision in ("bf16", "fp16", "fp32"):
        verdict = kernels_verdict(conditions.device, precision, recorder_of(conditions.device))
        words = "used" if verdict.used else "not used"
        yield Row(f"verdict, {precision}", {"own kernels are": words, "because": verdict.reason})
    copies = copy_bandwidth(conditions.device, size=conditions.sized(2**31, 2**22))
    for shape in conditions.sized(SHAPES, ((2, 24, 4), (2, 512, 2))):
        if conditions.seconds_left < 5:
            return
        yield _layer(conditions, shape, copies)
        give_back(conditions.device)
    for name, side, batch in conditions.sized(STEPS, (("tests/benchmarks/paper/toy.yaml", 32, 8),)):
        if conditions.seconds_left < 10:
            return
        yield _step(conditions, name, side, batch)


def _layer(conditions: Conditions, shape: tuple[int, int, int], copies: float) -> Row:
    """Forward and backward of batch norm and SiLU; with many channels squeeze-excite, too."""
    device = conditions.device
    dtype = HALF.get(conditions.precision, torch.float32)
    own, plain, x = compared_layers(device, dtype, shape)
    recorder = recorder_of(device)
    works = [recorder(partial(_run, work)).replay if recorder else work for work in (own, plain)]
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(conditions.sized(ROUNDS, 2)):
        for work, seconds in zip(works, taken, strict=True):
            seconds.append(seconds_of(partial(_run, work), device, at_least=conditions.sized(SECONDS, 0.0)))
    gated = shape[1] >= GATED_FROM
    moved = declared_bytes(x, gated=gated)
    rates = several([moved / seconds / 1e9 for seconds in taken[0]])
    ratios = several([b / a for a, b in zip(*taken, strict=True)])
    return Row(
        f"{'gated ' if gated else ''}batch norm and SiLU, {shape[0]} x {shape[1]} x {shape[2]}²",
        {
            "own, µs": several([1e6 * seconds for seconds in taken[0]]),
            "torch's, µs": several([1e6 * seconds for seconds in taken[1]]),
            "torch's over own": ratios,
            "own, GB/s": rates,
            "of a copy's, %": 100e9 * rates.median / copies,
        },
    )


def _run(work: Callable[[], object]) -> None:
    work()


def declared_bytes(x: torch.Tensor, *, gated: bool) -> int:
    """Bytes that the kernels declare for a forward and a backward pass over x."""
    norm = torch.empty(2, x.shape[1])  # statistics, or weight and bias
    if not gated:
        forward = COSTS["norm_forward"](x, norm[0], norm[1], 0.1, *norm).bytes
        return forward + COSTS["norm_backward"](x, x, norm).bytes
    gates = x.new_empty(x.shape[:2])
    sums = torch.empty(4, *x.shape[:2], device="meta")
    return sum(
        COSTS[name](*given).bytes
        for name, given in {
            "norm_statistics": (x,),
            "activated_means": (x,),
            "norm_apply": (x, *norm, *norm, gates),
            "gate_sums": (x, x, norm, *norm, gates),
            "gated_backward": (x, x, norm, *norm, gates, gates, sums),
        }.items()
    )


def _step(conditions: Conditions, name: str, side: int, batch: int) -> Row:
    """Training steps with own kernels and with torch's, in turns; the batch is halved until both fit."""
    architecture = read_yaml(Architecture, name)
    while True:
        try:
            taken: dict[str, list[float]] = {"1": [], "0": []}
            for _ in range(conditions.sized(STEP_ROUNDS, 1)):
                for used, seconds in taken.items():
                    with patch.dict(os.environ, {FUSED_KERNELS: used}):
                        seconds.append(_step_seconds(conditions, architecture, side, batch))
                    give_back(conditions.device)
            break
        except RuntimeError as error:
            if isinstance(error, CaptureFailedError) or not is_out_of_memory(error) or batch <= 16:
                raise
        give_back(conditions.device)
        batch //= 2
    ratios = several([b / a for a, b in zip(taken["1"], taken["0"], strict=True)])
    label = f"step of {name.rpartition('/')[2].removesuffix('.yaml')}, {side} px, batch {batch}"
    return Row(
        label,
        {
            "own kernels, ms": several([1000 * seconds for seconds in taken["1"]]),
            "torch's, ms": several([1000 * seconds for seconds in taken["0"]]),
            "torch's over own": ratios,
            "images/s": batch / statistics.median(taken["1"]),
        },
        f"{label}: {ratios.median:.2f} times as fast with own kernels as with torch's "
        f"({ratios.low:.2f} to {ratios.high:.2f}, n = {ratios.n})",
    )


def _step_seconds(conditions: Conditions, architecture: Architecture, side: int, batch: int) -> float:
    step = new_step(architecture, conditions.device, conditions.precision, batch)
    given = SyntheticBatch.random(batch_size=batch, resolution=side, num_classes=10, device=conditions.device)
    calls = partial(step.graphed(step), given.images, given.labels)
    calls()
    return seconds_of(calls, conditions.device, at_least=conditions.sized(STEP_SECONDS, 0.0))
