"""Batch norm modules that run the kernels, with what follows batch norm folded in, and their gradients."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from search_spaces.networks.dropping import StochasticDepth
from search_spaces.networks.squeeze_excite import SqueezeExcite
from trials.kernels.gate_ops import activated_means, gate_sums, gated_backward
from trials.kernels.launching import runs_on
from trials.kernels.norm_ops import norm_apply, norm_backward, norm_forward, norm_statistics, rows_of


class KernelBatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose kernels also apply SiLU, stochastic depth and the residual.

    In training autograd keeps its input and 2 numbers a channel; neither the normalised features nor SiLU's
    sigmoid. Where the kernels do not run (other types, other devices, gradients in evaluation mode) it
    computes the same by torch's operators. It counts no batches, as nothing reads their number.
    """

    def __init__(self, plain: nn.BatchNorm2d, *, activation: bool) -> None:
        super().__init__(plain.num_features, eps=plain.eps, momentum=plain.momentum, device="meta")
        self.weight, self.bias = plain.weight, plain.bias
        for name, buffer in plain.named_buffers():
            setattr(self, name, buffer)
        self.activation = activation
        self.train(plain.training)

    def forward(
        self, input: Tensor, residual: Tensor | None = None, drop: StochasticDepth | None = None
    ) -> Tensor:
        """(N, C, H, W) to the same shape: residual + drop(silu(batch norm)), each where it is asked for."""
        draws = rate = None
        if drop is not None and drop.training:
            draws, rate = torch.rand(input.shape[0], device=input.device), drop.drop_rate
        fits = residual is None or (residual.shape, residual.dtype) == (input.shape, input.dtype)
        if not fits or not self._runs(input):
            return self._plain(input, residual, draws, rate)
        if not self.training:
            mean, variance = self.running_mean, self.running_var
            assert mean is not None
            assert variance is not None
            return norm_apply(
                _channels_last(input), mean, variance, self.weight, self.bias, _channels_last(residual),
                draws, rate, None, self.eps, self.activation,
            )  # fmt: skip
        return _Normalised.apply(
            input, self.weight, self.bias, residual, draws, rate, self.running_mean, self.running_var,
            self.momentum, self.eps, self.activation,
        )  # fmt: skip

    def gated(self, input: Tensor, squeeze_excite: SqueezeExcite) -> Tensor:
        """Squeeze-excite of silu(batch norm(input)), which is never written as a whole."""
        if not self._runs(input):
            return squeeze_excite(self._plain(input, None, None, None))
        if not self.training:
            mean, variance = self.running_mean, self.running_var
            assert mean is not None
            assert variance is not None
            input = _channels_last(input)
            means = activated_means(input, mean, variance, self.weight, self.bias, self.eps)
            gate = squeeze_excite.gates(means)
            return norm_apply(
                input, mean, variance, self.weight, self.bias, None, None, None, gate, self.eps, True
            )
        passed = _Passed()
        same, means, statistics = _Means.apply(
            input, self.weight, self.bias, self.running_mean, self.running_var, self.momentum, self.eps,
            passed,
        )  # fmt: skip
        gate = squeeze_excite.gates(means)
        return _Gated.apply(same, statistics, self.weight, self.bias, gate, self.eps, passed)

    def _runs(self, input: Tensor) -> bool:
        """True if the kernels compute it: in evaluation mode they have no gradients."""
        wanted = input.requires_grad or self.weight.requires_grad
        if wanted and torch.is_grad_enabled() and not self.training:
            return False
        return runs_on(input) and rows_of(input) > 1

    def _plain(
        self, input: Tensor, residual: Tensor | None, draws: Tensor | None, rate: Tensor | None
    ) -> Tensor:
        branch = functional.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, self.training,
            0.0 if self.momentum is None else self.momentum, self.eps,
        )  # fmt: skip
        if self.activation:
            branch = functional.silu(branch)
        if draws is not None and rate is not None:
            branch = branch * ((draws >= rate) / (1 - rate)).to(branch.dtype).view(-1, 1, 1, 1)
        return branch if residual is None else residual + branch


class _Normalised(torch.autograd.Function):
    """Training pass of batch norm with what follows it."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, draws: Tensor | None,
        rate: Tensor | None, running_mean: Tensor, running_variance: Tensor, momentum: float, epsilon: float,
        activation: bool,
    ) -> Tensor:  # fmt: skip
        x = _channels_last(x)
        out, statistics = norm_forward(
            x, running_mean, running_variance, momentum, weight, bias, _channels_last(residual), draws, rate,
            epsilon, activation,
        )  # fmt: skip
        ctx.save_for_backward(x, statistics, weight, bias, draws, rate)
        ctx.settings = epsilon, activation
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, statistics, weight, bias, draws, rate = ctx.saved_tensors
        gradient = _channels_last(gradients[0])
        d_x, sums = norm_backward(gradient, x, statistics, weight, bias, draws, rate, *ctx.settings)
        d_residual = gradients[0] if ctx.needs_input_grad[3] else None
        return d_x, sums[1], sums[0], d_residual, *[None] * 7


class _Passed:
    """Between the two halves of a gated batch norm: the gates, and from the backward pass their sums."""

    gate: Tensor | None = None
    sums: Tensor | None = None


class _Means(torch.autograd.Function):
    """First half of a gated batch norm: x as it is, the means over pixels of its activation, and statistics.

    The backward pass is that of both halves. What arrives as the gradient of `x as it is` is the gradient of
    the second half's output, and its sums are in `passed`: so x is read twice in all.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, running_mean: Tensor, running_variance: Tensor,
        momentum: float, epsilon: float, passed: _Passed,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        x = _channels_last(x)
        statistics = norm_statistics(x, running_mean, running_variance, momentum)
        means = activated_means(x, statistics[0], statistics[1], weight, bias, epsilon)
        ctx.save_for_backward(x, statistics, weight, bias)
        ctx.epsilon, ctx.passed = epsilon, passed
        ctx.mark_non_differentiable(statistics)
        ctx.set_materialize_grads(False)  # zeros for the statistics' gradient would be a kernel
        return x.view_as(x), means, statistics

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, statistics, weight, bias = ctx.saved_tensors
        gate, sums = ctx.passed.gate, ctx.passed.sums
        ctx.passed.gate = ctx.passed.sums = None
        d_means = torch.zeros_like(gate) if gradients[1] is None else gradients[1].contiguous()
        d_x, found = gated_backward(
            _channels_last(gradients[0]), x, statistics, weight, bias, gate, d_means, sums,
            ctx.epsilon,
        )  # fmt: skip
        return d_x, found[1], found[0], *[None] * 5


class _Gated(torch.autograd.Function):
    """Second half of a gated batch norm: the activation times the gates."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, statistics: Tensor, weight: Tensor, bias: Tensor, gate: Tensor, epsilon: float,
        passed: _Passed,
    ) -> Tensor:  # fmt: skip
        gate = gate.contiguous()
        ctx.save_for_backward(x, statistics, weight, bias, gate)
        ctx.epsilon, ctx.passed = epsilon, passed
        return norm_apply(
            x, statistics[0], statistics[1], weight, bias, None, None, None, gate, epsilon, True
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, statistics, weight, bias, gate = ctx.saved_tensors
        gradient = _channels_last(gradients[0])
        d_gate, sums = gate_sums(gradient, x, statistics, weight, bias, gate, ctx.epsilon)
        ctx.passed.gate, ctx.passed.sums = gate, sums
        return gradient, None, None, None, d_gate, None, None


def _channels_last(x: Any) -> Any:
    return None if x is None else x.contiguous(memory_format=torch.channels_last)
