"""Triton kernels of batch norm backward: sums in two stages, and the gradient of the input.

With x^ the normalised input, h = x^ * weight + bias and G the output's gradient, g is the gradient of h: G
times the kept share of a dropped branch, or times the derivative of SiLU, which is computed anew from x. Then

    d bias = sum(g)    d weight = sum(g * x^)    d x = weight / sqrt(variance + eps) * (g - mean(g) - x^ * mean(g * x^))
"""  # noqa: E501

import triton
import triton.language as tl

from trials.kernels.launching import SIZES
from trials.kernels.triton_norm import kept_share, norm_tensors, sigmoid


@triton.jit
def silu_slope(
    h: tl.tensor,
) -> tl.tensor:  # fmt: skip
    """The derivative of h * sigmoid(h)."""
    share = sigmoid(h)
    return share * (1 + h * (1 - share))


@triton.jit(do_not_specialize=SIZES)
def partial_sums(
    gradient: tl.tensor, x: tl.tensor, mean: tl.tensor, variance: tl.tensor, weight: tl.tensor,
    bias: tl.tensor, draws: tl.tensor, drop_rate: tl.tensor, partial: tl.tensor, epsilon: tl.tensor,
    rows: tl.tensor, pixels: tl.tensor, rows_per_split: tl.tensor, channels_by: tl.tensor,
    blocks: tl.tensor, FACTOR: tl.constexpr, ACTIVATION: tl.constexpr, DROP: tl.constexpr,
    ROWS: tl.constexpr, CHANNELS: tl.constexpr,
) -> None:  # fmt: skip
    """Sums of g and of g * x^ of each channel over one split of the rows: partial (S, 2, C)."""
    channels = channels_by * FACTOR
    split = tl.program_id(0) // blocks
    c = (tl.program_id(0) % blocks) * CHANNELS + tl.arange(0, CHANNELS)
    known = c < channels
    centre, scale, slope, shift = norm_tensors(mean, variance, weight, bias, epsilon, c, known)
    row = tl.arange(0, ROWS)
    begin = split * rows_per_split
    end = tl.minimum(begin + rows_per_split, rows)
    sums = tl.zeros((ROWS, CHANNELS), tl.float32)
    products = tl.zeros((ROWS, CHANNELS), tl.float32)
    for first in range(begin, end, ROWS):
        here = (row < end - first)[:, None] & known[None, :]
        tile = tl.cast(first, tl.int64) * channels
        at = row[:, None] * channels + c[None, :]
        g = tl.load(gradient + tile + at, mask=here, other=0.0).to(tl.float32)
        normal = (tl.load(x + tile + at, mask=here, other=0.0).to(tl.float32) - centre) * scale
        if ACTIVATION:
            g = g * silu_slope(normal * slope + shift)
        if DROP:
            g = g * kept_share(draws, drop_rate, (first + row) // pixels, first + row < rows)[:, None]
        sums += g
        products += g * normal
    at_split = partial + split.to(tl.int64) * 2 * channels + c
    tl.store(at_split, tl.sum(sums, 0), mask=known)
    tl.store(at_split + channels, tl.sum(products, 0), mask=known)


@triton.jit(do_not_specialize=SIZES)
def merged_sums(
    partial: tl.tensor, d_bias: tl.tensor, d_weight: tl.tensor, splits: tl.tensor, channels: tl.tensor,
    SPLITS: tl.constexpr, CHANNELS: tl.constexpr,
) -> None:  # fmt: skip
    """The sums of all splits, always added in the same order."""
    c = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    index = tl.arange(0, SPLITS)
    sums = tl.zeros((CHANNELS,), tl.float32)
    products = tl.zeros((CHANNELS,), tl.float32)
    for first in range(0, splits, SPLITS):
        s = first + index
        here = (s < splits)[:, None] & (c < channels)[None, :]
        at = partial + s[:, None] * 2 * channels + c[None, :]
        sums += tl.sum(tl.load(at, mask=here, other=0.0), 0)
        products += tl.sum(tl.load(at + channels, mask=here, other=0.0), 0)
    tl.store(d_bias + c, sums, mask=c < channels)
    tl.store(d_weight + c, products, mask=c < channels)


@triton.jit(do_not_specialize=SIZES)
def input_gradient(
    gradient: tl.tensor, x: tl.tensor, mean: tl.tensor, variance: tl.tensor, weight: tl.tensor,
    bias: tl.tensor, draws: tl.tensor, drop_rate: tl.tensor, gate: tl.tensor, d_means: tl.tensor,
    d_bias: tl.tensor, d_weight: tl.tensor, d_x: tl.tensor, epsilon: tl.tensor, rows: tl.tensor,
    pixels: tl.tensor, channels_by: tl.tensor, blocks: tl.tensor, rows_per_program: tl.tensor,
    FACTOR: tl.constexpr, ACTIVATION: tl.constexpr, DROP: tl.constexpr, GATE: tl.constexpr,
    ROWS: tl.constexpr, CHANNELS: tl.constexpr,
) -> None:  # fmt: skip
    """The gradient of x. With GATE, silu(h) was multiplied by gates, and its means over pixels were used."""
    channels = channels_by * FACTOR
    c = (tl.program_id(0) % blocks) * CHANNELS + tl.arange(0, CHANNELS)
    known = c < channels
    centre, scale, slope, shift = norm_tensors(mean, variance, weight, bias, epsilon, c, known)
    number = rows * 1.0
    mean_g = (tl.load(d_bias + c, mask=known, other=0.0) / number)[None, :]
    mean_product = (tl.load(d_weight + c, mask=known, other=0.0) / number)[None, :]
    row = tl.arange(0, ROWS)
    begin = (tl.program_id(0) // blocks) * rows_per_program
    for first in range(begin, tl.minimum(begin + rows_per_program, rows), ROWS):
        here = (first + row < rows)[:, None] & known[None, :]
        tile = tl.cast(first, tl.int64) * channels
        at = row[:, None] * channels + c[None, :]
        g = tl.load(gradient + tile + at, mask=here, other=0.0).to(tl.float32)
        normal = (tl.load(x + tile + at, mask=here, other=0.0).to(tl.float32) - centre) * scale
        sample = (first + row) // pixels
        if GATE:
            at_sample = sample[:, None] * channels + c[None, :]
            g = g * tl.load(gate + at_sample, mask=here, other=0.0).to(tl.float32)
            g += tl.load(d_means + at_sample, mask=here, other=0.0).to(tl.float32) / pixels
        if ACTIVATION:
            g = g * silu_slope(normal * slope + shift)
        if DROP:
            g = g * kept_share(draws, drop_rate, sample, first + row < rows)[:, None]
        found = slope * scale * (g - mean_g - normal * mean_product)
        tl.store(d_x + tile + at, found.to(d_x.dtype.element_ty), mask=here)


@triton.jit(do_not_specialize=SIZES)
def whole_backward(
    gradient: tl.tensor, x: tl.tensor, mean: tl.tensor, variance: tl.tensor, weight: tl.tensor,
    bias: tl.tensor, draws: tl.tensor, drop_rate: tl.tensor, d_bias: tl.tensor, d_weight: tl.tensor,
    d_x: tl.tensor, epsilon: tl.tensor, rows: tl.tensor, pixels: tl.tensor, channels: tl.tensor,
    ACTIVATION: tl.constexpr, DROP: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
) -> None:  # fmt: skip
    """All three gradients in one kernel, whose tile holds all rows."""
    c = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    known = c < channels
    centre, scale, slope, shift = norm_tensors(mean, variance, weight, bias, epsilon, c, known)
    row = tl.arange(0, ROWS)
    here = (row < rows)[:, None] & known[None, :]
    at = row[:, None] * channels + c[None, :]
    g = tl.load(gradient + at, mask=here, other=0.0).to(tl.float32)
    normal = (tl.load(x + at, mask=here, other=0.0).to(tl.float32) - centre) * scale
    if ACTIVATION:
        g = g * silu_slope(normal * slope + shift)
    if DROP:
        g = g * kept_share(draws, drop_rate, row // pixels, row < rows)[:, None]
    sums, products = tl.sum(g, 0), tl.sum(g * normal, 0)
    tl.store(d_bias + c, sums, mask=known)
    tl.store(d_weight + c, products, mask=known)
    number = rows * 1.0
    found = slope * scale * (g - (sums / number)[None, :] - normal * (products / number)[None, :])
    tl.store(d_x + at, found.to(d_x.dtype.element_ty), mask=here)
