"""Batch norm's kernels, in Triton's interpreter, against torch's operators in double precision."""

from copy import deepcopy
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from triton_kernels import needs_triton

from search_spaces.networks.dropping import StochasticDepth
from trials.kernels.cuda_norm import KernelBatchNorm2d

pytestmark = [needs_triton, pytest.mark.usefixtures("interpreted", "small_tiles")]
FEW_ROWS = ((2, 16, 1, 1), (3, 5, 4, 4), (1, 33, 31, 33))  # one kernel computes them
MANY_ROWS = ((2, 24, 23, 23), (1, 300, 25, 41), (5, 3, 15, 16))  # two stages; tiles end within samples
# Of the largest value, or of 1: rounding of results, and for sums the order of additions.
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 5e-3, torch.float16: 6e-4}
Shape = tuple[int, int, int, int]


def norm_of(channels: int) -> nn.BatchNorm2d:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(channels, eps=1e-3, momentum=0.1)
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        assert tensor is not None
        nn.init.normal_(tensor)
    return norm


def features(shape: Shape, dtype: torch.dtype, *, scale: float = 3, shift: float = 2) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    drawn = torch.randn(shape, generator=generator) * scale + shift
    return drawn.to(dtype).to(memory_format=torch.channels_last)


def assert_equal(found: Tensor, wanted: Tensor, dtype: torch.dtype, *, factor: float = 1) -> None:
    assert found.shape == wanted.shape
    bound = factor * TOLERANCE[dtype] * max(float(wanted.detach().abs().max()), 1)
    assert float((found.double() - wanted).detach().abs().max()) <= bound


def check(
    shape: Shape, dtype: torch.dtype, *, activation: bool = True, has_residual: bool = False,
    drop_rate: float | None = None, scale: float = 3, shift: float = 2, factor: float = 1,
) -> None:  # fmt: skip
    """Output, running statistics and all gradients of a training pass, against those in double precision."""
    plain = norm_of(shape[1])
    wide = deepcopy(plain).double()
    norm = KernelBatchNorm2d(plain, activation=activation)
    x = features(shape, dtype, scale=scale, shift=shift).requires_grad_()
    exact = x.detach().double().requires_grad_()
    residual = features(shape, dtype, scale=1).requires_grad_() if has_residual else None
    drop = None
    if drop_rate is not None:
        drop = StochasticDepth()
        drop.drop_rate.fill_(drop_rate)
    torch.manual_seed(0)  # drops the first sample at 0.5, and not the second
    out = norm(x, residual, drop)
    assert out.dtype == dtype
    assert out.is_contiguous(memory_format=torch.channels_last)
    wanted = wide(exact)
    wanted = functional.silu(wanted) if activation else wanted
    if drop is not None:
        torch.manual_seed(0)  # drops the first sample at 0.5, and not the second
        wanted = drop(wanted)
    if residual is not None:
        wanted = wanted + residual.detach().double()
    gradient = features(shape, dtype, scale=1, shift=0.1)
    out.backward(gradient)
    wanted.backward(gradient.double())
    assert_equal(out, wanted, dtype, factor=factor)
    assert_equal(x.grad, exact.grad, dtype, factor=4 * factor)
    # Of weight and bias in float32 whatever the features are; sums of n rows lose more digits.
    for own, other in ((norm.weight, wide.weight), (norm.bias, wide.bias)):
        assert_equal(own.grad, other.grad, torch.float32, factor=20 * factor)
    assert_equal(norm.running_mean, wide.running_mean, torch.float32, factor=factor)
    assert_equal(norm.running_var, wide.running_var, torch.float32, factor=factor)
    if residual is not None:
        assert torch.equal(residual.grad, gradient)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        *product(FEW_ROWS[:2], TOLERANCE),
        *product(MANY_ROWS[::2], TOLERANCE),
        (FEW_ROWS[2], torch.float32),
        (MANY_ROWS[1], torch.bfloat16),
    ],
)
def test_batch_norm_and_silu_agree_with_double_precision(shape: Shape, dtype: torch.dtype) -> None:
    check(shape, dtype)


@pytest.mark.parametrize(("shape", "activation"), list(product((FEW_ROWS[1], MANY_ROWS[2]), (True, False))))
def test_the_residual_and_stochastic_depth_are_applied_in_the_same_pass(
    shape: Shape, activation: bool
) -> None:
    check(shape, torch.float32, activation=activation, has_residual=True)
    check(shape, torch.float32, activation=activation, has_residual=True, drop_rate=0.5)


@pytest.mark.parametrize("shape", [FEW_ROWS[1], MANY_ROWS[2]])
def test_a_dropped_sample_leaves_the_residual_alone_and_gets_no_gradient_but_by_statistics(
    shape: Shape,
) -> None:
    norm = KernelBatchNorm2d(norm_of(shape[1]), activation=True)
    drop = StochasticDepth()
    drop.drop_rate.fill_(0.999)
    residual = features(shape, torch.bfloat16)
    x = features(shape, torch.bfloat16, scale=1).requires_grad_()
    out = norm(x, residual, drop)
    assert torch.equal(out, residual)
    out.backward(features(shape, torch.bfloat16))
    assert not x.grad.any()
    assert not norm.weight.grad.any()


@pytest.mark.parametrize("shape", [FEW_ROWS[1], MANY_ROWS[2]])
def test_statistics_lose_no_digits_where_the_mean_is_far_from_zero(shape: Shape) -> None:
    """A sum of squares would: 1000^2 leaves float32 no digit for a variance of 1."""
    check(shape, torch.float32, scale=1, shift=1000, factor=100)


@pytest.mark.parametrize("shape", [FEW_ROWS[1], MANY_ROWS[2]])
def test_values_beyond_half_precisions_square_stay_finite(shape: Shape) -> None:
    check(shape, torch.float16, scale=15000, shift=0)


@pytest.mark.parametrize("activation", [True, False])
def test_evaluation_uses_running_statistics_and_changes_nothing(activation: bool) -> None:
    plain = norm_of(24)
    wide = deepcopy(plain).double().eval()
    norm = KernelBatchNorm2d(plain, activation=activation).eval()
    before = deepcopy(norm.state_dict())
    x = features(MANY_ROWS[0], torch.bfloat16)
    with torch.no_grad():
        found, wanted = norm(x), wide(x.double())
    assert_equal(found, functional.silu(wanted) if activation else wanted, torch.bfloat16)
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())


def test_gradients_in_evaluation_mode_are_torchs() -> None:
    plain = norm_of(5)
    wide = deepcopy(plain).eval()
    norm = KernelBatchNorm2d(plain, activation=True).eval()
    x = features(FEW_ROWS[1], torch.float32).requires_grad_()
    twin = x.detach().clone().requires_grad_()
    norm(x).sum().backward()
    functional.silu(wide(twin)).sum().backward()
    torch.testing.assert_close(x.grad, twin.grad)
    torch.testing.assert_close(norm.weight.grad, wide.weight.grad)


def test_one_row_has_no_statistics() -> None:
    norm = KernelBatchNorm2d(norm_of(5), activation=True)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        norm(features((1, 5, 1, 1), torch.float32))


def test_sums_are_the_same_every_time() -> None:
    gradients = []
    for _ in range(2):
        norm = KernelBatchNorm2d(norm_of(24), activation=True)
        x = features(MANY_ROWS[0], torch.bfloat16).requires_grad_()
        norm(x).backward(features(MANY_ROWS[0], torch.bfloat16, scale=1))
        gradients.append((x.grad, norm.weight.grad, norm.bias.grad))
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_features_in_another_layout_give_the_same() -> None:
    norms = [KernelBatchNorm2d(norm_of(5), activation=True) for _ in range(2)]
    x = features(FEW_ROWS[1], torch.float32)
    gradient = torch.ones((), dtype=torch.float32).expand(x.shape)
    outputs = []
    for norm, given in zip(norms, (x, x.contiguous()), strict=True):
        given = given.detach().requires_grad_()
        norm(given).backward(gradient)
        outputs.append(given.grad)
    torch.testing.assert_close(*outputs)
