"""Ceilings of a device, measured, and the share of them that a training step reaches.

The roofline is the least time that a step can take here: that of its arithmetic at the rate of large matrix
products, or that of its traffic at the rate of copies which no cache holds, whichever is longer.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from trials.devices.arithmetic import HALF, use_tf32
from trials.devices.device import clock_of
from trials.timing import durations

PASSES_OF_A_STEP = 3  # forward, and twice as much backward
# The least traffic of a step for each activation, forward and backward, in 16-bit: batch norm and SiLU in one
# pass each way. Twice as much in float32.
BYTES_PER_ACTIVATION = 22


@dataclass(frozen=True)
class Ceilings:
    """Multiply-adds and bytes per second that a device reaches in a precision."""

    macs_per_second: float
    bytes_per_second: float


@dataclass(frozen=True)
class RooflineShare:
    """Shares (0-1) of the ceilings that a step's arithmetic and its least traffic reach."""

    arithmetic: float
    traffic: float

    @property
    def share(self) -> float:
        """The least time that the step can take here over the time that it takes."""
        return max(self.arithmetic, self.traffic)


def measure_ceilings(
    device: torch.device, precision: str, *, clock: Callable[[], float] | None = None
) -> Ceilings:
    """The highest of several measurements of either rate, in turn: other work can only lower them."""
    measures = ceilings(device, precision, clock=clock)
    found: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(durations.CEILING_PASSES):
        for name, measure in measures.items():
            found[name].append(measure())
    return Ceilings(max(found["macs"]), max(found["bytes"]))


def ceilings(
    device: torch.device, precision: str, *, clock: Callable[[], float] | None = None
) -> dict[str, Callable[[], float]]:
    """Measurements of multiply-adds (macs) and of bytes per second."""
    now = clock or clock_of(device)
    if device.type == "cuda":
        use_tf32(precision == "tf32")
    side, size = durations.MATRIX_SIDE[device.type], durations.COPIED_BYTES[device.type]
    kind = HALF.get(precision, torch.float32)
    generator = torch.Generator(device).manual_seed(0)
    left, right = (torch.randn(side, side, device=device, generator=generator).to(kind) for _ in range(2))
    out = torch.empty_like(left)
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def rate(work: Callable[[], object], amount: float) -> float:
        work()
        calls, before = 0, now()
        while now() - before < durations.CEILING_SECONDS or not calls:
            work()
            calls += 1
        return calls * amount / max(now() - before, 1e-9)

    return {
        "macs": lambda: rate(lambda: torch.mm(left, right, out=out), side**3),
        "bytes": lambda: rate(lambda: target.copy_(source), 2 * size),
    }


def roofline_share(
    limits: Ceilings, *, macs: int, activations: int, images: int, seconds: float, precision: str
) -> RooflineShare:
    """The shares of a training step on a batch of so many images, by the counts of one image."""
    bytes_each = BYTES_PER_ACTIVATION * (1 if precision in HALF else 2)
    return RooflineShare(
        arithmetic=PASSES_OF_A_STEP * macs * images / seconds / limits.macs_per_second,
        traffic=activations * bytes_each * images / seconds / limits.bytes_per_second,
    )
