"""AdamW on flat vectors."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from trials.training.flat_parameters import FlatParameters
from trials.training.optimizer import Optimizer


@dataclass(frozen=True)
class Moments:
    """The state of AdamW for a flat vector: means of gradients and of their squares, and steps so far."""

    mean: Tensor
    mean_square: Tensor
    steps: Tensor  # ()

    @classmethod
    def of(cls, vector: Tensor) -> "Moments":
        """The moments before the first step: zeros."""
        steps = torch.zeros((), device=vector.device)
        return cls(torch.zeros_like(vector), torch.zeros_like(vector), steps)


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), as torch.optim.AdamW.

        w = w - lr * weight_decay * w                  (not for biases and norms)
        m = momentum * m + (1 - momentum) * g          (m and s start at 0)
        s = decay * s + (1 - decay) * g^2
        w = w - lr * m / (1 - momentum^t) / (sqrt(s / (1 - decay^t)) + epsilon)        (in step t, from 1)

    Both parts of the flat vector take one pass over memory each, by torch's own fused kernel.
    """

    def __init__(
        self,
        parameters: FlatParameters,
        *,
        momentum: float = 0.9,
        decay: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.05,
    ) -> None:
        super().__init__(parameters)
        self.momentum, self.decay = momentum, decay
        self.epsilon, self.weight_decay = epsilon, weight_decay
        self.moments = Moments.of(parameters.values)

    @torch.no_grad()
    def step(self, learning_rate: Tensor, *, skipped: Tensor | None = None) -> None:
        """As `Optimizer.step`."""
        flat = self.parameters
        update(
            flat.values, flat.grads, self.moments, flat.decay_ranges(self.weight_decay), learning_rate,
            momentum=self.momentum, decay=self.decay, epsilon=self.epsilon, skipped=skipped,
        )  # fmt: skip

    def state(self) -> dict[str, Tensor]:
        """As `Optimizer.state`."""
        return dict(vars(self.moments))


def update(
    values: Tensor,
    grads: Tensor,
    moments: Moments,
    decays: Iterable[tuple[slice, float]],
    learning_rate: Tensor,
    *,
    momentum: float,
    decay: float,
    epsilon: float,
    skipped: Tensor | None,
) -> None:
    """One step of AdamW on vectors (n,), in place; `decays` are their ranges with the weight decay of each.

    Where `skipped` is 1, nothing changes.
    """
    moments.steps.add_(1)
    for here, weight_decay in decays:
        torch._fused_adamw_(
            [values[here]],
            [grads[here]],
            [moments.mean[here]],
            [moments.mean_square[here]],
            [],
            [moments.steps],
            lr=learning_rate,
            beta1=momentum,
            beta2=decay,
            weight_decay=weight_decay,
            eps=epsilon,
            amsgrad=False,
            maximize=False,
            found_inf=skipped,
        )
    if skipped is not None:
        moments.steps.sub_(skipped)
