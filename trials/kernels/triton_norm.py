"""Triton kernels of batch norm forward: statistics in two stages, normalising with all that follows it.

All matrices are (rows, channels), contiguous; all arithmetic is in float32. `channels_by` x FACTOR is the
number of channels: by a product the compiler knows that rows begin at addresses of 16 bytes, where they do.
"""

import triton
import triton.language as tl

from trials.kernels.launching import SIZES


@triton.jit
def sigmoid(
    x: tl.tensor,
) -> tl.tensor:  # fmt: skip
    """1 / (1 + e^-x); of very negative x it is 0."""
    return 1 / (1 + tl.exp(-x))


@triton.jit(do_not_specialize=SIZES)
def partial_statistics(
    x: tl.tensor, partial: tl.tensor, rows: tl.tensor, rows_per_split: tl.tensor, channels_by: tl.tensor,
    blocks: tl.tensor, FACTOR: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
) -> None:  # fmt: skip
    """Mean and sum of squared deviations of each channel over one split of the rows: partial (S, 2, C)."""
    channels = channels_by * FACTOR
    split = tl.program_id(0) // blocks
    c = (tl.program_id(0) % blocks) * CHANNELS + tl.arange(0, CHANNELS)
    row = tl.arange(0, ROWS)
    begin = split * rows_per_split
    end = tl.minimum(begin + rows_per_split, rows)
    # Step 1: Welford's recurrence in every entry of the tile; each has its own rows, ROWS apart.
    mean = tl.zeros((ROWS, CHANNELS), tl.float32)
    squares = tl.zeros((ROWS, CHANNELS), tl.float32)
    seen = 0.0
    for first in range(begin, end, ROWS):
        here = (row[:, None] < end - first) & (c[None, :] < channels)
        tile = x + tl.cast(first, tl.int64) * channels
        value = tl.load(tile + row[:, None] * channels + c[None, :], mask=here, other=0.0).to(tl.float32)
        seen += 1.0
        away = value - mean
        moved = mean + away / seen
        squares = tl.where(here, squares + away * (value - moved), squares)
        mean = tl.where(here, moved, mean)
    # Step 2: the tile's entries as one. Deviations between their means count by the rows behind each.
    count = tl.maximum((end - begin - row + ROWS - 1) // ROWS, 0).to(tl.float32)[:, None]
    total = tl.sum(mean * count, 0) / (end - begin)
    between = mean - total[None, :]
    spread = tl.sum(squares + count * between * between, 0)
    at = partial + split.to(tl.int64) * 2 * channels + c
    tl.store(at, total, mask=c < channels)
    tl.store(at + channels, spread, mask=c < channels)


@triton.jit(do_not_specialize=SIZES)
def merged_statistics(
    partial: tl.tensor, mean_out: tl.tensor, variance_out: tl.tensor, running_mean: tl.tensor,
    running_variance: tl.tensor, momentum: tl.tensor, rows: tl.tensor, rows_per_split: tl.tensor,
    splits: tl.tensor, channels: tl.tensor, RUNNING: tl.constexpr, SPLITS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:  # fmt: skip
    """Mean and biased variance (C,) from those of the splits; moves the running ones as torch does."""
    c = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    known = c < channels
    index = tl.arange(0, SPLITS)
    # Step 1: the mean of all rows.
    total = tl.zeros((CHANNELS,), tl.float32)
    for first in range(0, splits, SPLITS):
        s = first + index
        count = tl.minimum(tl.maximum(rows - s * rows_per_split, 0), rows_per_split).to(tl.float32)
        here = (s[:, None] < splits) & known[None, :]
        means = tl.load(partial + s[:, None] * 2 * channels + c[None, :], mask=here, other=0.0)
        total += tl.sum(means * count[:, None], 0)
    number = rows * 1.0
    mean = total / number
    # Step 2: deviations within the splits and between them.
    squares = tl.zeros((CHANNELS,), tl.float32)
    for first in range(0, splits, SPLITS):
        s = first + index
        count = tl.minimum(tl.maximum(rows - s * rows_per_split, 0), rows_per_split).to(tl.float32)
        here = (s[:, None] < splits) & known[None, :]
        at = partial + s[:, None] * 2 * channels + c[None, :]
        between = tl.where(here, tl.load(at, mask=here, other=0.0) - mean[None, :], 0.0)
        squares += tl.sum(
            tl.load(at + channels, mask=here, other=0.0) + count[:, None] * between * between, 0
        )
    _keep_statistics(
        mean, squares, number, mean_out + c, variance_out + c, running_mean + c, running_variance + c,
        momentum, known, RUNNING,
    )  # fmt: skip


@triton.jit
def _keep_statistics(
    mean: tl.tensor, squares: tl.tensor, number: tl.tensor, mean_out: tl.tensor, variance_out: tl.tensor,
    running_mean: tl.tensor, running_variance: tl.tensor, momentum: tl.tensor, known: tl.tensor,
    RUNNING: tl.constexpr,
) -> None:  # fmt: skip
    tl.store(mean_out, mean, mask=known)
    tl.store(variance_out, squares / number, mask=known)
    if RUNNING:
        # torch's running variance is the unbiased one.
        unbiased = squares / tl.maximum(number - 1, 1)
        old_mean = tl.load(running_mean, mask=known)
        old_variance = tl.load(running_variance, mask=known)
        tl.store(running_mean, old_mean + momentum * (mean - old_mean), mask=known)
        tl.store(running_variance, old_variance + momentum * (unbiased - old_variance), mask=known)


@triton.jit
def kept_share(
    draws: tl.tensor, drop_rate: tl.tensor, sample: tl.tensor, mask: tl.tensor,
) -> tl.tensor:  # fmt: skip
    """Factors of stochastic depth for a sample's branch: 0, or 1 over its probability of being kept."""
    rate = tl.load(drop_rate)
    return tl.where(tl.load(draws + sample, mask=mask, other=0.0) >= rate, 1 / (1 - rate), 0.0)


@triton.jit
def norm_tensors(
    mean: tl.tensor, variance: tl.tensor, weight: tl.tensor, bias: tl.tensor, epsilon: tl.tensor,
    c: tl.tensor, known: tl.tensor,
) -> tl.tensor:  # fmt: skip
    """Mean, 1 / sqrt(variance + eps), weight and bias of the channels c, each (1, C)."""
    centre = tl.load(mean + c, mask=known, other=0.0)[None, :]
    scale = tl.rsqrt(tl.load(variance + c, mask=known, other=1.0) + epsilon)[None, :]
    slope = tl.load(weight + c, mask=known, other=0.0)[None, :]
    shift = tl.load(bias + c, mask=known, other=0.0)[None, :]
    return centre, scale, slope, shift


@triton.jit(do_not_specialize=SIZES)
def apply(
    x: tl.tensor, mean: tl.tensor, variance: tl.tensor, weight: tl.tensor, bias: tl.tensor,
    residual: tl.tensor, draws: tl.tensor, drop_rate: tl.tensor, gate: tl.tensor, out: tl.tensor,
    epsilon: tl.tensor, rows: tl.tensor, pixels: tl.tensor, channels_by: tl.tensor, blocks: tl.tensor,
    rows_per_program: tl.tensor, FACTOR: tl.constexpr, ACTIVATION: tl.constexpr, RESIDUAL: tl.constexpr,
    DROP: tl.constexpr, GATE: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
) -> None:  # fmt: skip
    """out = residual + kept * gate * silu(batch norm), each but the batch norm where it is asked for."""
    channels = channels_by * FACTOR
    c = (tl.program_id(0) % blocks) * CHANNELS + tl.arange(0, CHANNELS)
    known = c < channels
    centre, scale, slope, shift = norm_tensors(mean, variance, weight, bias, epsilon, c, known)
    scale = scale * slope
    row = tl.arange(0, ROWS)
    begin = (tl.program_id(0) // blocks) * rows_per_program
    for first in range(begin, tl.minimum(begin + rows_per_program, rows), ROWS):
        here = (first + row < rows)[:, None] & known[None, :]
        tile = tl.cast(first, tl.int64) * channels
        at = row[:, None] * channels + c[None, :]
        value = tl.load(x + tile + at, mask=here, other=0.0).to(tl.float32)
        value = (value - centre) * scale + shift
        if ACTIVATION:
            value = value * sigmoid(value)
        sample = (first + row) // pixels
        if GATE:
            gates = tl.load(gate + sample[:, None] * channels + c[None, :], mask=here, other=0.0)
            value = value * gates.to(tl.float32)
        if DROP:
            value = value * kept_share(draws, drop_rate, sample, first + row < rows)[:, None]
        if RESIDUAL:
            value += tl.load(residual + tile + at, mask=here, other=0.0).to(tl.float32)
        tl.store(out + tile + at, value.to(out.dtype.element_ty), mask=here)


@triton.jit(do_not_specialize=SIZES)
def whole_forward(
    x: tl.tensor, mean_out: tl.tensor, variance_out: tl.tensor, running_mean: tl.tensor,
    running_variance: tl.tensor, weight: tl.tensor, bias: tl.tensor, residual: tl.tensor, draws: tl.tensor,
    drop_rate: tl.tensor, out: tl.tensor, momentum: tl.tensor, epsilon: tl.tensor, rows: tl.tensor,
    pixels: tl.tensor, channels: tl.tensor, RUNNING: tl.constexpr, ACTIVATION: tl.constexpr,
    RESIDUAL: tl.constexpr, DROP: tl.constexpr, APPLIES: tl.constexpr, ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:  # fmt: skip
    """Statistics of all rows, which one tile holds, and with APPLIES what `apply` computes, in one kernel."""
    c = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    known = c < channels
    row = tl.arange(0, ROWS)
    here = (row < rows)[:, None] & known[None, :]
    at = row[:, None] * channels + c[None, :]
    value = tl.load(x + at, mask=here, other=0.0).to(tl.float32)
    number = rows * 1.0
    mean = tl.sum(value, 0) / number
    away = tl.where(here, value - mean[None, :], 0.0)
    squares = tl.sum(away * away, 0)
    _keep_statistics(
        mean, squares, number, mean_out + c, variance_out + c, running_mean + c, running_variance + c,
        momentum, known, RUNNING,
    )  # fmt: skip
    if APPLIES:
        scale = tl.rsqrt(squares / number + epsilon) * tl.load(weight + c, mask=known, other=0.0)
        value = away * scale[None, :] + tl.load(bias + c, mask=known, other=0.0)[None, :]
        if ACTIVATION:
            value = value * sigmoid(value)
        if DROP:
            value = value * kept_share(draws, drop_rate, row // pixels, row < rows)[:, None]
        if RESIDUAL:
            value += tl.load(residual + at, mask=here, other=0.0).to(tl.float32)
        tl.store(out + at, value.to(out.dtype.element_ty), mask=here)
