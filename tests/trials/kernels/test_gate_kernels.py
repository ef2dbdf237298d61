"""Squeeze-excite in batch norm's kernels, in Triton's interpreter, against torch in double precision."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn import functional
from triton_kernels import needs_triton

from search_spaces.networks.squeeze_excite import SqueezeExcite
from trials.kernels.cuda_norm import KernelBatchNorm2d

pytestmark = [needs_triton, pytest.mark.usefixtures("interpreted", "small_tiles")]
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 1e-2, torch.float16: 2e-3}  # of the largest value, or of 1
Shape = tuple[int, int, int, int]


def layers(channels: int) -> tuple[nn.BatchNorm2d, SqueezeExcite]:
    torch.manual_seed(0)
    norm, excite = nn.BatchNorm2d(channels, eps=1e-3), SqueezeExcite(channels, squeeze_channels=4)
    for parameter in (*norm.parameters(), excite.reduce.bias, excite.expand.bias):
        nn.init.normal_(parameter)
    return norm, excite


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((3, 5, 4, 4), torch.float32),
        ((2, 72, 1, 1), torch.float32),
        ((1, 24, 33, 33), torch.float32),
        ((70, 16, 4, 4), torch.bfloat16),
        ((2, 300, 3, 3), torch.float16),
    ],
)
def test_gated_batch_norm_agrees_with_double_precision(shape: Shape, dtype: torch.dtype) -> None:
    plain, excite = layers(shape[1])
    wide, wide_excite = deepcopy(plain).double(), deepcopy(excite).double()
    norm = KernelBatchNorm2d(plain, activation=True)
    generator = torch.Generator().manual_seed(1)
    x, gradient = (
        torch.randn(shape, generator=generator).to(dtype).to(memory_format=torch.channels_last)
        for _ in range(2)
    )
    x.requires_grad_()
    exact = x.detach().double().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=False):
        out = norm.gated(x, excite.to(dtype))
        wanted = wide_excite(functional.silu(wide(exact)))
    out.backward(gradient)
    wanted.backward(gradient.double())
    assert out.dtype == dtype
    pairs = [(out, wanted, 1), (x.grad, exact.grad, 1)]
    pairs += [(a, b, 1) for a, b in zip(norm.buffers(), wide.buffers(), strict=True) if a.is_floating_point()]
    parameters = zip(
        (*norm.parameters(), *excite.parameters()),
        (*wide.parameters(), *wide_excite.parameters()),
        strict=True,
    )
    pairs += [(a.grad, b.grad, 10) for a, b in parameters]  # sums over images and pixels
    for found, right, factor in pairs:
        largest = max(float(right.detach().abs().max()), 1)
        assert float((found.double() - right).detach().abs().max()) <= factor * TOLERANCE[dtype] * largest


def test_evaluation_uses_running_statistics() -> None:
    plain, excite = layers(24)
    wide = deepcopy(plain).eval()
    norm = KernelBatchNorm2d(plain, activation=True).eval()
    x = torch.randn(2, 24, 5, 5).to(memory_format=torch.channels_last)
    with torch.no_grad():
        torch.testing.assert_close(norm.gated(x, excite), excite(functional.silu(wide(x))))


def test_gates_without_a_gradient_leave_that_of_the_features_right() -> None:
    """As where the small layers are frozen: nothing comes back from the means."""
    plain, excite = layers(5)
    wide = deepcopy(plain)
    norm = KernelBatchNorm2d(plain, activation=True)
    excite.gates = lambda means: torch.full_like(means.detach(), 0.5)  # type: ignore[method-assign]
    x = torch.randn(3, 5, 4, 4).to(memory_format=torch.channels_last).requires_grad_()
    twin = x.detach().clone().requires_grad_()
    norm.gated(x, excite).square().sum().backward()
    (0.5 * functional.silu(wide(twin))).square().sum().backward()
    torch.testing.assert_close(x.grad, twin.grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(norm.weight.grad, wide.weight.grad, rtol=1e-4, atol=1e-6)
