"""Muon on the kernels of hidden convolutions, AdamW on everything else."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import cast

import torch
from torch import Tensor, nn

from trials.training import adamw
from trials.training.flat_parameters import FlatParameters, Layout
from trials.training.optimizer import Optimizer

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic, steepest at 0 (Jordan 2024)
ITERATIONS = 5
SMALLEST_NORM = 1e-7
RMS = 0.2  # of an update's entries at learning rate 1, about that of AdamW's (Liu et al. 2025)


@dataclass(frozen=True)
class _Group:
    """Views of all matrices of one shape, (N, rows, columns)."""

    values: Tensor
    grads: Tensor

    @property
    def scale(self) -> float:
        """The factor of an orthogonal matrix's entries that gives them the root mean square RMS."""
        return RMS * float(max(self.values.shape[1:])) ** 0.5


class Muon(Optimizer):
    """Momentum orthogonalised by Newton and Schulz (Jordan et al. 2024), as torch.optim.Muon.

        m = momentum * m + (1 - momentum) * g          (m starts at 0)
        u = (1 - momentum) * g + momentum * m          (Nesterov)
        w = w - lr * weight_decay * w
        w = w - lr * 0.2 * sqrt(max(rows, columns)) * orthogonal(u)

    The factor of the last line (torch's `match_rms_adamw`; Liu et al. 2025) gives an update the root mean
    square of AdamW's, so that one learning rate and one weight decay serve both.

    A convolution's kernel is a matrix of its output channels and all the rest. Those of `hidden_matrices`
    must lie before all other parameters, equal shapes together, so that each shape's matrices are
    orthogonalised as one batch. Stem, classifier, depthwise convolutions, biases and norms have AdamW.

    Args:
        matrices: number of these kernels, the first of the parameters.
        dtype: in which matrices are orthogonalised: bfloat16 as torch's, or float32 where that is no faster.
    """

    def __init__(
        self,
        parameters: FlatParameters,
        *,
        matrices: int,
        momentum: float = 0.95,
        decay: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.05,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        super().__init__(parameters)
        self.momentum, self.decay = momentum, decay
        self.epsilon, self.weight_decay, self.dtype = epsilon, weight_decay, dtype
        self._matrices, self._end = matrices, parameters.values_layout.begin(matrices)
        self.mean = torch.zeros_like(parameters.values)  # of the gradients of all parameters
        others = parameters.values[self._end :]
        self.moments = adamw.Moments(
            self.mean[self._end :], torch.zeros_like(others), torch.zeros((), device=others.device)
        )
        self._groups = list(self._groups_of_equal_shape())

    def _groups_of_equal_shape(self) -> Iterator[_Group]:
        flat = self.parameters
        shapes = [matrix_shape(parameter) for parameter in flat.parameters[: self._matrices]]
        for (rows, columns), group in groupby(range(self._matrices), key=shapes.__getitem__):
            first, *others = group
            begin = flat.values_layout.begin(first)
            size, apart = (1 + len(others), rows, columns), flat.values_layout.begin(first + 1) - begin
            yield _Group(*(v.as_strided(size, (apart, columns, 1), v.storage_offset() + begin)
                           for v in (flat.values, flat.grads)))  # fmt: skip

    @torch.no_grad()
    def step(self, learning_rate: Tensor, *, skipped: Tensor | None = None) -> None:
        """As `Optimizer.step`."""
        flat, end = self.parameters, self._end
        # Step 1: AdamW on the parameters behind the matrices.
        ranges = ((slice(0, flat.decayed - end), self.weight_decay), (slice(flat.decayed - end, None), 0.0))
        adamw.update(
            flat.values[end:], flat.grads[end:], self.moments, ranges, learning_rate,
            momentum=self.momentum, decay=self.decay, epsilon=self.epsilon, skipped=skipped,
        )  # fmt: skip
        # Step 2: the momentum of all matrices, and weight decay.
        values, grads, mean = flat.values[:end], flat.grads[:end], self.mean[:end]
        before = [] if skipped is None else [values.clone(), mean.clone()]
        mean.lerp_(grads, 1 - self.momentum)
        grads.lerp_(mean, self.momentum)
        values.mul_(1 - learning_rate * self.weight_decay)
        # Step 3: their orthogonalised updates, one batch for each shape.
        for group in self._groups:
            update = orthogonalised(group.grads, self.dtype)
            group.values.addcmul_(update.to(values.dtype), learning_rate, value=-group.scale)
        if skipped is not None:
            for tensor, old in zip((values, mean), before, strict=True):
                tensor.copy_(torch.where(skipped != 0, old, tensor))  # of inf and NaN nothing remains

    def state(self) -> dict[str, Tensor]:
        """As `Optimizer.state`."""
        return {"mean": self.mean, "mean_square": self.moments.mean_square, "steps": self.moments.steps}

    def layout(self, name: str) -> Layout:
        """As `Optimizer.layout`."""
        if name == "mean_square":
            return self.parameters.values_layout.after(self._matrices)
        return super().layout(name)


def hidden_matrices(network: nn.Module) -> list[nn.Parameter]:
    """The kernels that Muon updates, equal shapes together.

    Those of full and 1x1 convolutions behind the stem, squeeze-and-excitation's among them. Not depthwise and
    grouped convolutions, of which each group has a little matrix of its own.
    """
    stem = getattr(network, "stem", nn.Identity())
    found: dict[nn.Parameter, None] = {}  # in the network's order, and a shared kernel once
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.groups == 1 and module.weight.requires_grad:
            found[cast(nn.Parameter, module.weight)] = None
    first = set(stem.parameters())
    return sorted((weight for weight in found if weight not in first), key=matrix_shape)


def matrix_shape(kernel: Tensor) -> tuple[int, int]:
    """Rows and columns of a kernel as a matrix: its output channels, and all the rest."""
    return len(kernel), kernel.numel() // len(kernel)


def orthogonalised(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    """Five iterations of Newton and Schulz on (N, rows, columns), towards the nearest orthogonal matrices.

    Singular values come to lie between about 0.7 and 1.2. The result is of type `dtype`.
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if tall else matrices).to(dtype)
    # Step 1: no singular value above 1.
    x = x / torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True).clamp(min=SMALLEST_NORM)
    # Step 2: x <- a x + (b xx' + c (xx')^2) x, a quintic in each singular value.
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
