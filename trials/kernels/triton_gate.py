"""Triton kernels of squeeze-excite behind batch norm and SiLU; only the convolution's output is kept.

z = silu(h) is never written: its means over the pixels go to the two small layers, and what leaves is z times
the gates that these compute. Each program has all pixels of one sample in some channels.
"""

import triton
import triton.language as tl

from trials.kernels.launching import SIZES
from trials.kernels.triton_norm import norm_tensors, sigmoid


@triton.jit(do_not_specialize=SIZES)
def pixel_means(
    x: tl.tensor, mean: tl.tensor, variance: tl.tensor, weight: tl.tensor, bias: tl.tensor,
    means: tl.tensor, epsilon: tl.tensor, pixels: tl.tensor, channels_by: tl.tensor, blocks: tl.tensor,
    FACTOR: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
) -> None:  # fmt: skip
    """Means over the pixels of z: (N, C)."""
    channels = channels_by * FACTOR
    sample = tl.program_id(0) // blocks
    c = (tl.program_id(0) % blocks) * CHANNELS + tl.arange(0, CHANNELS)
    known = c < channels
    centre, scale, slope, shift = norm_tensors(mean, variance, weight, bias, epsilon, c, known)
    scale = scale * slope
    row = tl.arange(0, ROWS)
    start = x + sample.to(tl.int64) * pixels * channels
    sums = tl.zeros((ROWS, CHANNELS), tl.float32)
    for first in range(0, pixels, ROWS):
        here = (first + row < pixels)[:, None] & known[None, :]
        at = (first + row)[:, None] * channels + c[None, :]
        h = (tl.load(start + at, mask=here, other=0.0).to(tl.float32) - centre) * scale + shift
        sums += tl.where(here, h * sigmoid(h), 0.0)
    found = tl.sum(sums, 0) / pixels
    tl.store(means + sample * channels + c, found.to(means.dtype.element_ty), mask=known)


@triton.jit(do_not_specialize=SIZES)
def gate_sums(
    gradient: tl.tensor, x: tl.tensor, mean: tl.tensor, variance: tl.tensor, weight: tl.tensor,
    bias: tl.tensor, d_gate: tl.tensor, sums: tl.tensor, epsilon: tl.tensor, samples: tl.tensor,
    pixels: tl.tensor, channels_by: tl.tensor, blocks: tl.tensor, FACTOR: tl.constexpr, ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:  # fmt: skip
    """Sums over a sample's pixels: of G * z, the gradient of the gates (N, C), and four more (4, N, C).

    The gradient of h is g = (G * gate + d_means / pixels) * s, s the derivative of SiLU. While the gates'
    gradient is on its way through the two small layers, d_means is not known; but gates and d_means are the
    same at all pixels of a sample, so that the sums of G s, G s x^, s and s x^ are all that is needed later.
    """
    channels = channels_by * FACTOR
    sample = tl.program_id(0) // blocks
    c = (tl.program_id(0) % blocks) * CHANNELS + tl.arange(0, CHANNELS)
    known = c < channels
    centre, scale, slope, shift = norm_tensors(mean, variance, weight, bias, epsilon, c, known)
    row = tl.arange(0, ROWS)
    start = sample.to(tl.int64) * pixels * channels
    gates = tl.zeros((ROWS, CHANNELS), tl.float32)
    through, through_normal = gates, gates
    slopes, slopes_normal = gates, gates
    for first in range(0, pixels, ROWS):
        here = (first + row < pixels)[:, None] & known[None, :]
        at = start + (first + row)[:, None] * channels + c[None, :]
        g = tl.load(gradient + at, mask=here, other=0.0).to(tl.float32)
        normal = (tl.load(x + at, mask=here, other=0.0).to(tl.float32) - centre) * scale
        h = normal * slope + shift
        share = sigmoid(h)
        s = tl.where(here, share * (1 + h * (1 - share)), 0.0)
        gates += g * h * share
        through += g * s
        through_normal += g * s * normal
        slopes += s
        slopes_normal += s * normal
    at_sample = sample * channels + c
    size = samples * channels
    tl.store(d_gate + at_sample, tl.sum(gates, 0).to(d_gate.dtype.element_ty), mask=known)
    tl.store(sums + at_sample, tl.sum(through, 0), mask=known)
    tl.store(sums + size + at_sample, tl.sum(through_normal, 0), mask=known)
    tl.store(sums + 2 * size + at_sample, tl.sum(slopes, 0), mask=known)
    tl.store(sums + 3 * size + at_sample, tl.sum(slopes_normal, 0), mask=known)


@triton.jit(do_not_specialize=SIZES)
def merged_gate_sums(
    sums: tl.tensor, gate: tl.tensor, d_means: tl.tensor, d_bias: tl.tensor, d_weight: tl.tensor,
    samples: tl.tensor, pixels: tl.tensor, channels: tl.tensor, SAMPLES: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:  # fmt: skip
    """The gradients of bias and weight (C,), from the sums of all samples in their order."""
    c = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    index = tl.arange(0, SAMPLES)
    size = samples * channels
    total = tl.zeros((CHANNELS,), tl.float32)
    products = tl.zeros((CHANNELS,), tl.float32)
    for first in range(0, samples, SAMPLES):
        n = first + index
        here = (n < samples)[:, None] & (c < channels)[None, :]
        at = n[:, None] * channels + c[None, :]
        gates = tl.load(gate + at, mask=here, other=0.0).to(tl.float32)
        means = tl.load(d_means + at, mask=here, other=0.0).to(tl.float32) / pixels
        total += tl.sum(
            gates * tl.load(sums + at, mask=here, other=0.0)
            + means * tl.load(sums + 2 * size + at, mask=here, other=0.0),
            0,
        )
        products += tl.sum(
            gates * tl.load(sums + size + at, mask=here, other=0.0)
            + means * tl.load(sums + 3 * size + at, mask=here, other=0.0),
            0,
        )
    tl.store(d_bias + c, total, mask=c < channels)
    tl.store(d_weight + c, products, mask=c < channels)
