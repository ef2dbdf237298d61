"""A network's parameters, gradients and statistics as flat vectors.

All parameters of a network lie in one vector, and so do their gradients. A step is then a dozen operations on
long vectors instead of several per parameter, and devices exchange gradients in one reduction.
"""

import torch
from torch import Tensor, nn


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
