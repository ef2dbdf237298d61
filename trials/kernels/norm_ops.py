"""Operators of batch norm with what follows it: statistics, normalising, and the backward pass.

Inputs are (N, C, H, W), channels_last, in float32, bfloat16 or float16; numbers of channels are (C,) float32.
They run where Triton does. Each has a fake implementation, and declares its kernels and bytes.
"""

from typing import Any

import torch
from torch import Tensor

from trials.kernels.costs import COSTS, Cost, bytes_of
from trials.kernels.launching import launch
from trials.kernels.tiles import Tiles, factor_of, is_single, over, single_tile, tiles_of

MERGED_SPLITS, MERGED_CHANNELS = 128, 32  # tile of the kernels that add up the splits' sums
WARPS = 8


def rows_of(x: Tensor) -> int:
    """Rows of the matrix that a channels_last tensor (N, C, H, W) is in memory."""
    return x.numel() // x.shape[1]


def pixels_of(x: Tensor) -> int:
    """Pixels of each sample of (N, C, H, W)."""
    return x.shape[2] * x.shape[3]


def width(channels: int) -> dict[str, int]:
    """The kernels' arguments for the number of channels."""
    factor = factor_of(channels)
    return {"channels_by": channels // factor, "FACTOR": factor}


def tile(tiles: Tiles) -> dict[str, int]:
    """The kernels' arguments for the tile."""
    return {"blocks": tiles.blocks, "ROWS": tiles.rows, "CHANNELS": tiles.channels, "num_warps": WARPS}


@torch.library.custom_op("nas::norm_statistics", mutates_args={"running_mean", "running_variance"})
def norm_statistics(
    x: Tensor, running_mean: Tensor | None, running_variance: Tensor | None, momentum: float
) -> Tensor:
    """Mean and biased variance of each channel, (2, C); moves the running ones by `momentum`."""
    from trials.kernels import triton_norm as kernels

    rows, channels = rows_of(x), x.shape[1]
    found = torch.empty((2, channels), dtype=torch.float32, device=x.device)
    running: dict[str, Any] = {
        "running_mean": found[0] if running_mean is None else running_mean,
        "running_variance": found[1] if running_variance is None else running_variance,
        "RUNNING": running_mean is not None,
        "momentum": momentum,
    }
    if is_single(rows):
        _whole_forward(x, found, running, {})
        return found
    tiles = tiles_of(rows, channels)
    partial = torch.empty((tiles.splits, 2, channels), dtype=torch.float32, device=x.device)
    launch(
        kernels.partial_statistics, tiles.blocks * tiles.splits,
        x, partial, rows, tiles.rows_per_split, **width(channels), **tile(tiles),
    )  # fmt: skip
    launch(
        kernels.merged_statistics, over(channels, MERGED_CHANNELS),
        partial, found[0], found[1], rows=rows, rows_per_split=tiles.rows_per_split, splits=tiles.splits,
        channels=channels, SPLITS=MERGED_SPLITS, CHANNELS=MERGED_CHANNELS, **running,
    )  # fmt: skip
    return found


def _whole_forward(x: Tensor, found: Tensor, running: dict[str, Any], applied: dict[str, Any]) -> None:
    """Launches the kernel for few rows; `applied`: arguments of what it gives besides statistics."""
    from trials.kernels import triton_norm as kernels

    rows, channels = rows_of(x), x.shape[1]
    high, wide = single_tile(rows)
    unused = dict.fromkeys(("weight", "bias", "residual", "draws", "drop_rate", "out"), x)
    flags = {"ACTIVATION": False, "RESIDUAL": False, "DROP": False, "epsilon": 0.0}
    launch(
        kernels.whole_forward, over(channels, wide),
        x, mean_out=found[0], variance_out=found[1], rows=rows, pixels=pixels_of(x), channels=channels,
        APPLIES=bool(applied), ROWS=high, CHANNELS=wide, num_warps=WARPS,
        **{**unused, **flags, **running, **applied},
    )  # fmt: skip


@norm_statistics.register_fake
def _(x: Tensor, running_mean: Tensor | None, running_variance: Tensor | None, momentum: float) -> Tensor:
    return x.new_empty((2, x.shape[1]), dtype=torch.float32)


@torch.library.custom_op("nas::norm_apply", mutates_args=())
def norm_apply(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    weight: Tensor,
    bias: Tensor,
    residual: Tensor | None,
    draws: Tensor | None,
    drop_rate: Tensor | None,
    gate: Tensor | None,
    epsilon: float,
    activation: bool,
) -> Tensor:
    """Normalises, and in the same pass applies SiLU, gates, stochastic depth and the residual, if given.

    Args:
        residual: of x's shape, added at the end.
        draws, drop_rate: (N,) uniform in [0, 1) and (): samples with a draw below the rate are dropped.
        gate: (N, C, 1, 1) factors.
    """
    from trials.kernels import triton_norm as kernels

    rows, channels = rows_of(x), x.shape[1]
    tiles = tiles_of(rows, channels)
    out = torch.empty_like(x)
    launch(
        kernels.apply, tiles.programs(rows),
        x, mean, variance, weight, bias,
        _or(residual, x), _or(draws, x), _or(drop_rate, x), _or(gate, x), out, epsilon,
        rows, pixels_of(x), rows_per_program=tiles.elementwise_rows,
        ACTIVATION=activation, RESIDUAL=residual is not None, DROP=draws is not None, GATE=gate is not None,
        **width(channels), **tile(tiles),
    )  # fmt: skip
    return out


@norm_apply.register_fake
def _(x: Tensor, *_: object) -> Tensor:
    return torch.empty_like(x)


@torch.library.custom_op("nas::norm_forward", mutates_args={"running_mean", "running_variance"})
def norm_forward(
    x: Tensor,
    running_mean: Tensor | None,
    running_variance: Tensor | None,
    momentum: float,
    weight: Tensor,
    bias: Tensor,
    residual: Tensor | None,
    draws: Tensor | None,
    drop_rate: Tensor | None,
    epsilon: float,
    activation: bool,
) -> tuple[Tensor, Tensor]:
    """The training pass: `norm_statistics`, then `norm_apply` with them; in one kernel where rows are few."""
    if not is_single(rows_of(x)):
        found = norm_statistics(x, running_mean, running_variance, momentum)
        out = norm_apply(
            x, found[0], found[1], weight, bias, residual, draws, drop_rate, None, epsilon, activation
        )
        return out, found
    found = torch.empty((2, x.shape[1]), dtype=torch.float32, device=x.device)
    out = torch.empty_like(x)
    running = {
        "running_mean": _or(running_mean, x),
        "running_variance": _or(running_variance, x),
        "RUNNING": running_mean is not None,
        "momentum": momentum,
    }
    applied = {
        "weight": weight, "bias": bias, "residual": _or(residual, x), "draws": _or(draws, x),
        "drop_rate": _or(drop_rate, x), "out": out, "epsilon": epsilon, "ACTIVATION": activation,
        "RESIDUAL": residual is not None, "DROP": draws is not None,
    }  # fmt: skip
    _whole_forward(x, found, running, applied)
    return out, found


@norm_forward.register_fake
def _(x: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), x.new_empty((2, x.shape[1]), dtype=torch.float32)


@torch.library.custom_op("nas::norm_backward", mutates_args=())
def norm_backward(
    gradient: Tensor,
    x: Tensor,
    statistics: Tensor,
    weight: Tensor,
    bias: Tensor,
    draws: Tensor | None,
    drop_rate: Tensor | None,
    epsilon: float,
    activation: bool,
) -> tuple[Tensor, Tensor]:
    """The gradients of x, and of bias and weight, (2, C)."""
    from trials.kernels import triton_norm_backward as kernels

    rows, channels = rows_of(x), x.shape[1]
    d_x, found = torch.empty_like(x), torch.empty_like(statistics)
    given = (gradient, x, statistics[0], statistics[1], weight, bias, _or(draws, x), _or(drop_rate, x))
    flags = {"ACTIVATION": activation, "DROP": draws is not None}
    if is_single(rows):
        high, wide = single_tile(rows)
        launch(
        kernels.whole_backward, over(channels, wide),
            *given, found[0], found[1], d_x, epsilon, rows, pixels_of(x), channels,
            **flags, ROWS=high, CHANNELS=wide, num_warps=WARPS,
        )  # fmt: skip
        return d_x, found
    tiles = tiles_of(rows, channels)
    partial = torch.empty((tiles.splits, 2, channels), dtype=torch.float32, device=x.device)
    launch(
        kernels.partial_sums, tiles.blocks * tiles.splits,
        *given, partial, epsilon, rows, pixels_of(x), tiles.rows_per_split,
        **flags, **width(channels), **tile(tiles),
    )  # fmt: skip
    launch(
        kernels.merged_sums, over(channels, MERGED_CHANNELS),
        partial, found[0], found[1], tiles.splits, channels, SPLITS=MERGED_SPLITS, CHANNELS=MERGED_CHANNELS,
    )  # fmt: skip
    launch_input_gradient(given, (x, x), found, d_x, epsilon, GATE=False, **flags)
    return d_x, found


@norm_backward.register_fake
def _(gradient: Tensor, x: Tensor, statistics: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(statistics)


def launch_input_gradient(
    given: tuple[Tensor, ...], gates: tuple[Tensor, Tensor], found: Tensor, d_x: Tensor, epsilon: float,
    **flags: bool,
) -> None:  # fmt: skip
    """Writes the gradient of x, given the sums (2, C); `gates`: these and the gradient of the means."""
    from trials.kernels import triton_norm_backward as kernels

    rows, channels = rows_of(d_x), d_x.shape[1]
    tiles = tiles_of(rows, channels)
    launch(
        kernels.input_gradient, tiles.programs(rows),
        *given, *gates, found[0], found[1], d_x, epsilon, rows, pixels_of(d_x),
        rows_per_program=tiles.elementwise_rows, **flags, **width(channels), **tile(tiles),
    )  # fmt: skip


def _or(given: Tensor | None, instead: Tensor) -> Tensor:
    """A pointer for the kernel, which does not read it where nothing was given."""
    return instead if given is None else given


# ---------------------------------------------------------------------- what they declare


def _partial_bytes(x: Tensor) -> int:
    """Bytes of the splits' sums, written and read again."""
    return 2 * 4 * 2 * tiles_of(rows_of(x), x.shape[1]).splits * x.shape[1]


def _cost_of_statistics(x: Tensor, *_: object) -> Cost:
    single = is_single(rows_of(x))
    return Cost(1 if single else 2, bytes_of(x) + 24 * x.shape[1] + (0 if single else _partial_bytes(x)))


def _cost_of_apply(x: Tensor, *given: object) -> Cost:
    return Cost(1, 2 * bytes_of(x) + bytes_of(*(each for each in given if isinstance(each, Tensor))))


def _cost_of_forward(x: Tensor, *given: object) -> Cost:
    others = bytes_of(*(each for each in given if isinstance(each, Tensor)))
    if is_single(rows_of(x)):
        return Cost(1, 2 * bytes_of(x) + others + 16 * x.shape[1])
    return Cost(3, 3 * bytes_of(x) + others + 24 * x.shape[1] + _partial_bytes(x))


def _cost_of_backward(gradient: Tensor, x: Tensor, *_: object) -> Cost:
    channels = 24 * x.shape[1]
    if is_single(rows_of(x)):
        return Cost(1, bytes_of(gradient) + 2 * bytes_of(x) + channels)
    return Cost(3, 2 * bytes_of(gradient) + 3 * bytes_of(x) + 2 * channels + _partial_bytes(x))


COSTS["norm_statistics"] = _cost_of_statistics
COSTS["norm_apply"] = _cost_of_apply
COSTS["norm_forward"] = _cost_of_forward
COSTS["norm_backward"] = _cost_of_backward
