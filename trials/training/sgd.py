"""Stochastic gradient descent with Nesterov momentum, on flat vectors."""

import torch
from torch import Tensor

from trials.training.flat_parameters import FlatParameters
from trials.training.optimizer import Optimizer


class SGD(Optimizer):
    """SGD with Nesterov momentum (Sutskever et al. 2013), as torch.optim.SGD(nesterov=True).

        g = g + weight_decay * w                       (coupled L2, not for biases and norms)
        m = momentum * m + g                           (m starts at 0)
        w = w - lr * (g + momentum * m)

    Both parts of the flat vector take one pass over memory each, by torch's own fused kernel.
    """

    def __init__(
        self, parameters: FlatParameters, *, momentum: float = 0.9, weight_decay: float = 1e-4
    ) -> None:
        super().__init__(parameters)
        self.momentum, self.weight_decay = momentum, weight_decay
        self.velocity = torch.zeros_like(parameters.values)

    @torch.no_grad()
    def step(self, learning_rate: Tensor, *, skipped: Tensor | None = None) -> None:
        """As `Optimizer.step`."""
        flat = self.parameters
        for here, decay in flat.decay_ranges(self.weight_decay):
            torch._fused_sgd_(
                [flat.values[here]],
                [flat.grads[here]],
                [self.velocity[here]] if self.momentum else [],
                weight_decay=decay,
                momentum=self.momentum,
                lr=learning_rate,
                dampening=0.0,
                nesterov=self.momentum > 0,
                maximize=False,
                is_first_step=False,  # which would take the gradient: so does m = 0
                found_inf=skipped,
            )

    def state(self) -> dict[str, Tensor]:
        """As `Optimizer.state`."""
        return {"velocity": self.velocity}
