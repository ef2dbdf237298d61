"""Operators of squeeze-excite behind batch norm and SiLU; shapes and types as in norm_ops.py."""

import torch
from torch import Tensor

from trials.kernels.costs import COSTS, Cost, bytes_of
from trials.kernels.launching import launch
from trials.kernels.norm_ops import launch_input_gradient, pixels_of, rows_of, width
from trials.kernels.tiles import TILE, over, power_of_two, width_of

MERGED_SAMPLES, MERGED_CHANNELS = 64, 32  # tile of the kernel that adds up the samples' sums
WARPS = 4


def _tile(x: Tensor) -> dict[str, int]:
    """The kernels' arguments for a tile of one sample's pixels."""
    wide = width_of(x.shape[1])
    high = min(max(TILE // 2 // wide, 1), power_of_two(pixels_of(x)))
    return {"blocks": over(x.shape[1], wide), "ROWS": high, "CHANNELS": wide, "num_warps": WARPS}


@torch.library.custom_op("nas::activated_means", mutates_args=())
def activated_means(
    x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, epsilon: float
) -> Tensor:
    """Means over the pixels of silu(batch norm(x)), (N, C, 1, 1) of x's type."""
    from trials.kernels import triton_gate as kernels

    samples, channels = x.shape[:2]
    means = x.new_empty((samples, channels, 1, 1))
    tile = _tile(x)
    launch(
        kernels.pixel_means, samples * tile["blocks"],
        x, mean, variance, weight, bias, means, epsilon, pixels_of(x), **width(channels), **tile,
    )  # fmt: skip
    return means


@activated_means.register_fake
def _(x: Tensor, *_: object) -> Tensor:
    return x.new_empty((x.shape[0], x.shape[1], 1, 1))


@torch.library.custom_op("nas::gate_sums", mutates_args=())
def gate_sums(
    gradient: Tensor,
    x: Tensor,
    statistics: Tensor,
    weight: Tensor,
    bias: Tensor,
    gate: Tensor,
    epsilon: float,
) -> tuple[Tensor, Tensor]:
    """The gradient of the gates, of their shape and type, and sums (4, N, C) for `gated_backward`."""
    from trials.kernels import triton_gate as kernels

    samples, channels = x.shape[:2]
    d_gate = torch.empty_like(gate)
    sums = torch.empty((4, samples, channels), dtype=torch.float32, device=x.device)
    tile = _tile(x)
    launch(
        kernels.gate_sums, samples * tile["blocks"],
        gradient, x, statistics[0], statistics[1], weight, bias, d_gate, sums, epsilon, samples, pixels_of(x),
        **width(channels), **tile,
    )  # fmt: skip
    return d_gate, sums


@gate_sums.register_fake
def _(gradient: Tensor, x: Tensor, statistics: Tensor, weight: Tensor, bias: Tensor, gate: Tensor,
      epsilon: float) -> tuple[Tensor, Tensor]:  # fmt: skip
    return torch.empty_like(gate), x.new_empty((4, *x.shape[:2]), dtype=torch.float32)


@torch.library.custom_op("nas::gated_backward", mutates_args=())
def gated_backward(
    gradient: Tensor,
    x: Tensor,
    statistics: Tensor,
    weight: Tensor,
    bias: Tensor,
    gate: Tensor,
    d_means: Tensor,
    sums: Tensor,
    epsilon: float,
) -> tuple[Tensor, Tensor]:
    """The gradients of x, and of bias and weight, (2, C), once that of the means is known."""
    from trials.kernels import triton_gate as kernels

    samples, channels = x.shape[:2]
    d_x, found = torch.empty_like(x), torch.empty_like(statistics)
    launch(
        kernels.merged_gate_sums, over(channels, MERGED_CHANNELS),
        sums, gate, d_means, found[0], found[1], samples, pixels_of(x), channels,
        SAMPLES=MERGED_SAMPLES, CHANNELS=MERGED_CHANNELS,
    )  # fmt: skip
    given = (gradient, x, statistics[0], statistics[1], weight, bias, x, x)
    launch_input_gradient(given, (gate, d_means), found, d_x, epsilon, ACTIVATION=True, DROP=False, GATE=True)
    return d_x, found


@gated_backward.register_fake
def _(gradient: Tensor, x: Tensor, statistics: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(statistics)


# ---------------------------------------------------------------------- what they declare


def _cost_of_means(x: Tensor, *_: object) -> Cost:
    return Cost(1, bytes_of(x) * (rows_of(x) + x.shape[0]) // max(rows_of(x), 1) + 16 * x.shape[1])


def _cost_of_sums(gradient: Tensor, x: Tensor, statistics: Tensor, weight: Tensor, bias: Tensor,
                  gate: Tensor, *_: object) -> Cost:  # fmt: skip
    return Cost(1, bytes_of(gradient, x, statistics, weight, bias, gate) + 16 * gate.numel())


def _cost_of_backward(gradient: Tensor, x: Tensor, statistics: Tensor, weight: Tensor, bias: Tensor,
                      gate: Tensor, d_means: Tensor, sums: Tensor, *_: object) -> Cost:  # fmt: skip
    channels = bytes_of(statistics, statistics, weight, bias)
    return Cost(2, bytes_of(gradient, x, x, sums) + 2 * bytes_of(gate, d_means) + channels)


COSTS["activated_means"] = _cost_of_means
COSTS["gate_sums"] = _cost_of_sums
COSTS["gated_backward"] = _cost_of_backward
