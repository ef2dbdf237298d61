"""RMSProp as TensorFlow defines it, weight averaging and learning rates, on flat vectors.

All parameters of a network lie in one vector, and so do their gradients. A step is then a dozen operations on
long vectors instead of several per parameter, and devices exchange gradients in one reduction.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trials.recipe import Recipe

STAIRCASE_FACTOR, STAIRCASE_EPOCHS = 0.97, 2.4  # EfficientNetV2, section 5.1
CPU_PIECE = 1 << 15  # entries updated at once on a CPU; five vectors of them take 640 KiB of the L2 cache


class FlatParameters:
    """A network's trainable parameters as one vector; the network's own tensors become views of it.

    Attributes:
        values, grads: (n,) float32.
        decayed: the number of entries, from the first, that weight decay applies to: those of all parameters
            with more than one dimension, that is, without biases and the affine part of norms.
        statistics: (m,) float32, the floating-point buffers that a state dict holds: batch-norm means and
            variances.
        grads_and_statistics: (n + m,), both in one vector, so that devices exchange them in one reduction.
    """

    def __init__(self, network: nn.Module) -> None:
        # Step 1: copy all values into one vector, those with weight decay first (the sort is stable).
        trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
        ordered = sorted(trainable, key=lambda parameter: parameter.dim() <= 1)
        self.decayed = sum(parameter.numel() for parameter in ordered if parameter.dim() > 1)
        self.values = _flattened(ordered)
        # Step 2: one vector for gradients and statistics; buffers outside the state dict (drop rates) stay.
        kept = set(network.state_dict())
        buffers = [b for name, b in network.named_buffers() if name in kept and b.is_floating_point()]
        count, others = self.values.numel(), sum(buffer.numel() for buffer in buffers)
        self.grads_and_statistics = torch.zeros(count + others, device=self.values.device)
        self.grads = self.grads_and_statistics[:count]
        self.statistics = self.grads_and_statistics[count:]
        # Step 3: make parameters, gradients and buffers views of these vectors, with the strides that they
        # had, so that a channels_last weight stays channels_last.
        offset = 0
        for parameter in ordered:
            size, stride = parameter.size(), parameter.stride()
            parameter.data = self.values.as_strided(size, stride, offset)
            parameter.grad = self.grads.as_strided(size, stride, offset)
            offset += parameter.numel()
        if buffers:
            self.statistics.copy_(_flattened(buffers))
        offset = count
        for buffer in buffers:
            buffer.data = self.grads_and_statistics.as_strided(buffer.size(), buffer.stride(), offset)
            offset += buffer.numel()

    def zero_grad(self) -> None:
        """Zeroes all gradients in place; they stay views of `grads`."""
        self.grads.zero_()


def _flattened(tensors: list[Tensor] | list[nn.Parameter]) -> Tensor:
    """One float32 vector of all tensors' elements, each tensor's in the order that they have in memory."""
    flat = torch.empty(
        sum(tensor.numel() for tensor in tensors), dtype=torch.float32, device=tensors[0].device
    )
    offset = 0
    for tensor in tensors:
        source = tensor.detach()
        if not (source.is_contiguous() or source.is_contiguous(memory_format=torch.channels_last)):
            raise ValueError("parameters must be contiguous or channels_last")
        flat.as_strided(source.size(), source.stride(), offset).copy_(source)
        offset += source.numel()
    return flat


@dataclass(frozen=True)
class _Part:
    """Views of the same range of entries of every vector of the optimizer."""

    values: Tensor
    grads: Tensor
    mean_square: Tensor
    velocity: Tensor
    scratch: Tensor
    weight_decay: float


class RMSProp:
    """RMSProp as in TensorFlow, which the paper's learning rates assume.

        g = g + weight_decay * w                       (coupled L2, not for biases and norms)
        s = decay * s + (1 - decay) * g^2              (s starts at 1)
        m = momentum * m + lr * g / sqrt(s + epsilon)
        w = w - m

    torch's RMSprop differs in three points: s starts at 0, epsilon is added after the square root, and the
    learning rate multiplies m instead of g, so that a new rate applies to old gradients at once.
    """

    def __init__(
        self,
        parameters: FlatParameters,
        *,
        decay: float = 0.9,
        momentum: float = 0.9,
        epsilon: float = 1e-3,
        weight_decay: float = 1e-5,
    ) -> None:
        self.parameters = parameters
        self.decay, self.momentum = decay, momentum
        self.epsilon, self.weight_decay = epsilon, weight_decay
        self.mean_square = torch.ones_like(parameters.values)
        self.velocity = torch.zeros_like(parameters.values)
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
    def step(self, learning_rate: Tensor) -> None:
        """One update in place; the learning rate is a 0-dim tensor on the device. Changes the gradients."""
        for part in self._parts:
            if part.weight_decay:
                part.grads.add_(part.values, alpha=part.weight_decay)
            part.mean_square.mul_(self.decay).addcmul_(part.grads, part.grads, value=1 - self.decay)
            torch.add(part.mean_square, self.epsilon, out=part.scratch)
            part.scratch.rsqrt_().mul_(part.grads).mul_(learning_rate)
            part.velocity.mul_(self.momentum).add_(part.scratch)
            part.values.sub_(part.velocity)

    def state(self) -> dict[str, Tensor]:
        """The tensors that a step changes, by name."""
        return {"mean_square": self.mean_square, "velocity": self.velocity}

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Copies a state into place."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])


class WeightAverage:
    """Exponential moving average (EMA) of weights and batch-norm statistics, with TensorFlow's ramp.

    average = d * average + (1 - d) * value. The decay d of update t (from 0) is min(decay, (1 + t) / (10 +
    t)): with a constant decay of 0.9999 a short training would hardly leave its initial weights.
    """

    def __init__(self, parameters: FlatParameters, *, decay: float) -> None:
        self.parameters = parameters
        self.decay = decay
        self.values = parameters.values.detach().clone()
        self.statistics = parameters.statistics.detach().clone()
        self.updates = torch.zeros((), device=parameters.values.device)

    @torch.no_grad()
    def update(self) -> None:
        """Adds the network's present weights to the average. Does not wait for the device."""
        decay = ((1 + self.updates) / (10 + self.updates)).clamp(max=self.decay)
        self.values.lerp_(self.parameters.values, 1 - decay)
        self.statistics.lerp_(self.parameters.statistics, 1 - decay)
        self.updates += 1

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Gives the network the averaged weights and statistics within the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        pairs = (
            (self.values, self.parameters.values),
            (self.statistics, self.parameters.statistics),
        )
        for averaged, live in pairs:
            kept = live.clone()
            live.copy_(averaged)
            averaged.copy_(kept)

    def state(self) -> dict[str, Tensor]:
        """The tensors that an update changes, by name."""
        return {"values": self.values, "statistics": self.statistics, "updates": self.updates}

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Copies a state into place."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])


def learning_rate_at(step: int, *, recipe: Recipe, steps_per_epoch: int, total_steps: int) -> float:
    """The learning rate of a step (counted from 0), as in the official code.

    During warm-up the rate rises linearly from 0 to the peak. The schedule counts from step 0, not from the
    end of warm-up: the staircase may have taken steps down by then. The cosine ends at 0.
    """
    peak = recipe.peak_learning_rate()
    warm_up = recipe.warmup_epochs * steps_per_epoch
    if step < warm_up:
        return peak * step / warm_up
    if recipe.schedule == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * step / total_steps))
    if recipe.schedule == "exponential_staircase":
        return peak * STAIRCASE_FACTOR ** (step // (STAIRCASE_EPOCHS * steps_per_epoch))
    return peak
