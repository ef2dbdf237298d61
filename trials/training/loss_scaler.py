"""The scale of the loss with which small gradients survive float16."""

from collections.abc import Mapping

import torch
from torch import Tensor

FIRST_SCALE = 2.0**16
GROWTH, BACKOFF = 2.0, 0.5
GROWTH_STEPS = 2000  # without an overflow, after which the scale grows


class LossScaler:
    """Dynamic loss scaling as torch.amp.GradScaler's, in tensors on the device.

    GradScaler reads back whether gradients have overflowed, to decide whether to take the step. Here nothing
    is read back, so that the host can run ahead and a CUDA graph can hold the step: the optimizer gets the
    answer as a tensor.
    """

    def __init__(self, device: torch.device) -> None:
        self.scale = torch.full((), FIRST_SCALE, device=device)
        self.steps = torch.zeros((), dtype=torch.int32, device=device)  # since the scale has last changed
        self.overflow = torch.zeros((), device=device)  # of the last step: 1 if a gradient was not finite

    @torch.no_grad()
    def unscale(self, grads: Tensor) -> Tensor:
        """Divides gradients by the scale, in place; returns `overflow`, which is 1 if one was not finite."""
        self.overflow.zero_()
        # Torch's own kernels, as GradScaler calls them; neither waits for the device.
        inverse = self.scale.double().reciprocal().float()
        torch._amp_foreach_non_finite_check_and_unscale_([grads], self.overflow, inverse)
        return self.overflow

    @torch.no_grad()
    def update(self) -> None:
        """Lowers the scale after an overflow, and raises it after GROWTH_STEPS steps without one."""
        torch._amp_update_scale_(self.scale, self.steps, self.overflow, GROWTH, BACKOFF, GROWTH_STEPS)

    def state(self) -> dict[str, Tensor]:
        """The tensors that later steps depend on, by name."""
        return {"scale": self.scale, "steps": self.steps}

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Copies a state into place."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
