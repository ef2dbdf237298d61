"""RMSProp as TensorFlow defines it, on flat vectors."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from trials.kernels.cpu_ops import rmsprop
from trials.training.flat_parameters import FlatParameters
from trials.training.optimizer import Optimizer

CPU_PIECE = 1 << 15  # entries updated at once on a CPU; five vectors of them take 640 KiB of the L2 cache


@dataclass(frozen=True)
class _Part:
    """Views of the same range of entries of every vector of the optimizer."""

    values: Tensor
    grads: Tensor
    mean_square: Tensor
    velocity: Tensor
    scratch: Tensor
    weight_decay: float


class RMSProp(Optimizer):
    """RMSProp as in TensorFlow, which the paper's learning rates assume.

        g = g + weight_decay * w                       (coupled L2, not for biases and norms)
        s = decay * s + (1 - decay) * g^2              (s starts at 1)
        m = momentum * m + lr * g / sqrt(s + epsilon)
        w = w - m

    torch's RMSprop differs in three points: s starts at 0, epsilon is added after the square root, and the
    learning rate multiplies m instead of g, so that a new rate applies to old gradients at once.

    Args:
        fused: on a CPU, in one pass over memory by the kernels of trials/kernels.
    """

    def __init__(
        self,
        parameters: FlatParameters,
        *,
        decay: float = 0.9,
        momentum: float = 0.9,
        epsilon: float = 1e-3,
        weight_decay: float = 1e-5,
        fused: bool = False,
    ) -> None:
        super().__init__(parameters)
        self.decay, self.momentum = decay, momentum
        self.epsilon, self.weight_decay = epsilon, weight_decay
        self.mean_square = torch.ones_like(parameters.values)
        self.velocity = torch.zeros_like(parameters.values)
        self._fused = fused and parameters.values.device.type == "cpu"
        self._parts = list(self._parts_of_vectors())

    def _parts_of_vectors(self) -> Iterator[_Part]:
        """Ranges that are updated one after the other: one or two on CUDA, many small ones on a CPU.

        On a CPU, a range is small enough to stay in the core's cache during its dozen operations.
        """
        flat = self.parameters
        total = flat.values.numel()
        piece = CPU_PIECE if flat.values.device.type == "cpu" else total
        scratch = torch.empty(min(piece, total), device=flat.values.device)
        for start, end, decay in ((0, flat.decayed, self.weight_decay), (flat.decayed, total, 0.0)):
            for at in range(start, end, max(piece, 1)):
                here = slice(at, min(at + piece, end))
                yield _Part(
                    values=flat.values[here],
                    grads=flat.grads[here],
                    mean_square=self.mean_square[here],
                    velocity=self.velocity[here],
                    scratch=scratch[: here.stop - here.start],
                    weight_decay=decay,
                )

    @torch.no_grad()
    def step(self, learning_rate: Tensor, *, skipped: Tensor | None = None) -> None:
        """As `Optimizer.step`."""
        if self._fused and skipped is None:
            self._step_in_one_pass(float(learning_rate))
            return
        for part in self._parts:
            changing = (part.values, part.mean_square, part.velocity)
            before = [] if skipped is None else [tensor.clone() for tensor in changing]
            if part.weight_decay:
                part.grads.add_(part.values, alpha=part.weight_decay)
            part.mean_square.mul_(self.decay).addcmul_(part.grads, part.grads, value=1 - self.decay)
            torch.add(part.mean_square, self.epsilon, out=part.scratch)
            part.scratch.rsqrt_().mul_(part.grads).mul_(learning_rate)
            part.velocity.mul_(self.momentum).add_(part.scratch)
            part.values.sub_(part.velocity)
            if skipped is not None:
                for tensor, old in zip(changing, before, strict=True):
                    tensor.copy_(torch.where(skipped != 0, old, tensor))  # of inf and NaN nothing remains

    def _step_in_one_pass(self, learning_rate: float) -> None:
        flat = self.parameters
        for here, decay in flat.decay_ranges(self.weight_decay):
            rmsprop(
                flat.values[here], flat.grads[here], self.mean_square[here], self.velocity[here],
                weight_decay=decay, decay=self.decay, momentum=self.momentum, epsilon=self.epsilon,
                rate=learning_rate,
            )  # fmt: skip

    def state(self) -> dict[str, Tensor]:
        """As `Optimizer.state`."""
        return {"mean_square": self.mean_square, "velocity": self.velocity}
