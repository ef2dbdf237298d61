"""A network's parameters, gradients and statistics as flat vectors.

All parameters of a network lie in one vector, and so do their gradients. A step is then a dozen operations on
long vectors instead of several per parameter, and devices exchange gradients in one reduction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

# On CUDA each tensor begins at a multiple of so many entries: kernels load 16 bytes at once (4 entries of
# float32, 8 of half precision) where the address allows it, and are slower where it does not.
CUDA_ALIGNMENT = 8


@dataclass(frozen=True)
class Layout:
    """The places of tensors in a flat vector; between two of them there may be a gap, which holds zeros."""

    ranges: tuple[tuple[int, int], ...]  # of entries: begin and end of each tensor
    size: int  # of the vector

    @classmethod
    def of(cls, tensors: Sequence[Tensor], *, alignment: int) -> "Layout":
        """Each tensor in its turn, at the next multiple of `alignment` entries; so ends the vector, too."""
        ranges, at = [], 0
        for tensor in tensors:
            ranges.append((at, at + tensor.numel()))
            at += -(-tensor.numel() // alignment) * alignment
        return cls(tuple(ranges), at)

    @property
    def has_gaps(self) -> bool:
        """True if vectors of this layout are longer than their tensors together."""
        return bool(self.ranges) and sum(end - begin for begin, end in self.ranges) < self.size

    def begin(self, index: int) -> int:
        """The first entry of a tensor; of the one behind the last, the vector's size."""
        return self.ranges[index][0] if index < len(self.ranges) else self.size

    def after(self, index: int) -> "Layout":
        """The layout of a vector that begins with the tensor of this index."""
        at = self.begin(index)
        return Layout(tuple((begin - at, end - at) for begin, end in self.ranges[index:]), self.size - at)

    def packed(self, vector: Tensor) -> Tensor:
        """A copy of a vector of this layout without the gaps: the same on every kind of device."""
        if not self.has_gaps:
            return vector.detach().clone()
        return torch.cat(self._views(vector.detach()))

    def shaped(self, vector: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Views of a vector of this layout, each with size and strides of its tensor."""
        at = vector.storage_offset()
        return [
            vector.as_strided(tensor.size(), tensor.stride(), at + begin)
            for tensor, (begin, _) in zip(tensors, self.ranges, strict=True)
        ]

    @torch.no_grad()
    def unpack(self, packed: Tensor, vector: Tensor) -> None:
        """Copies a vector without gaps into one of this layout."""
        if not self.has_gaps:
            vector.copy_(packed)
            return
        parts = packed.to(vector.device).split([end - begin for begin, end in self.ranges])
        torch._foreach_copy_(self._views(vector), list(parts))  # a copy each would be a launch each

    def _views(self, vector: Tensor) -> list[Tensor]:
        """The tensors in a vector of this layout, without the gaps between them."""
        bounds = [bound for each in self.ranges for bound in each]
        sizes = [after - before for before, after in pairwise([0, *bounds, self.size])]
        return list(vector.split(sizes))[1::2]


SINGLE = Layout((), 0)  # of tensors that are copied as they are


class FlatParameters:
    """A network's trainable parameters as one vector; the network's own tensors become views of it.

    Gradients are collected: autograd gives each parameter its own, without adding, and `collect` brings all
    of them into the vector at once. Added in place, each would take a kernel of its own.

    Attributes:
        parameters: those of the network, in the vector's order.
        values, grads: (n,) float32.
        decayed: the number of entries, from the first, that weight decay applies to: those of all parameters
            with more than one dimension, that is, without biases and the affine part of norms.
        buffers: the floating-point buffers that a state dict holds: batch-norm means and variances.
        statistics: (m,) float32, all of them.
        grads_and_statistics: (n + m,), both in one vector, so that devices exchange them in one reduction.
        values_layout, statistics_layout: where each tensor lies. There are gaps on CUDA only.

    Args:
        alignment: entries, to a multiple of which each tensor begins; default: CUDA_ALIGNMENT there, else 1.
        first: parameters of more than one dimension that lie before all others, in this order.
    """

    def __init__(
        self, network: nn.Module, *, alignment: int | None = None, first: Sequence[nn.Parameter] = ()
    ) -> None:
        # Step 1: copy all values into one vector, those with weight decay first (the sort is stable).
        rank = {parameter: i for i, parameter in enumerate(first)}
        trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
        ordered = self.parameters = sorted(
            trainable, key=lambda parameter: (rank.get(parameter, len(rank)), parameter.dim() <= 1)
        )
        if alignment is None:
            alignment = CUDA_ALIGNMENT if ordered[0].device.type == "cuda" else 1
        layout = self.values_layout = Layout.of(ordered, alignment=alignment)
        self.decayed = layout.begin(sum(parameter.dim() > 1 for parameter in ordered))
        self.values = _flattened(ordered, layout)
        # Step 2: one vector for gradients and statistics; buffers outside the state dict (drop rates) stay.
        kept = set(network.state_dict())
        named = network.named_buffers()
        buffers = self.buffers = [b for name, b in named if name in kept and b.is_floating_point()]
        others = self.statistics_layout = Layout.of(buffers, alignment=alignment)
        self.grads_and_statistics = torch.zeros(layout.size + others.size, device=self.values.device)
        self.grads = self.grads_and_statistics[: layout.size]
        self.statistics = self.grads_and_statistics[layout.size :]
        # Step 3: make parameters and buffers views of these vectors, with the strides that they had, so that
        # a channels_last weight stays channels_last; and views of the gradients' vector alike.
        self._grads_of = []
        for parameter, (begin, _) in zip(ordered, layout.ranges, strict=True):
            size, stride = parameter.size(), parameter.stride()
            parameter.data = self.values.as_strided(size, stride, begin)
            parameter.grad = None
            self._grads_of.append(self.grads.as_strided(size, stride, begin))
        if buffers:
            self.statistics.copy_(_flattened(buffers, others))
        for buffer, (begin, _) in zip(buffers, others.ranges, strict=True):
            offset = layout.size + begin
            buffer.data = self.grads_and_statistics.as_strided(buffer.size(), buffer.stride(), offset)

    def decay_ranges(self, weight_decay: float) -> tuple[tuple[slice, float], ...]:
        """The ranges of the vector with weight decay and without, and the weight decay of each."""
        return (slice(0, self.decayed), weight_decay), (slice(self.decayed, None), 0.0)

    def zero_grad(self) -> None:
        """Zeroes the vector of gradients."""
        self.grads.zero_()

    @torch.no_grad()
    def collect(self, leaves: Sequence[Tensor] | None = None, *, adds: bool = False) -> None:
        """Takes the gradients from the tensors that have them into `grads`.

        Args:
            leaves: for each parameter the tensor that it has been computed with, of any floating type;
                default: the parameter itself.
            adds: to what `grads` holds already.
        """
        by_type: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
        for leaf, target in zip(leaves or self.parameters, self._grads_of, strict=True):
            source, leaf.grad = leaf.grad, None
            if source is None:
                if not adds:
                    target.zero_()
                continue
            # As vectors, where both lie alike in memory: torch then copies many of them in one kernel.
            if _lie_alike(source, target):
                source, target = (t.as_strided((t.numel(),), (1,)) for t in (source, target))
            targets, sources = by_type.setdefault(source.dtype, ([], []))
            targets.append(target)
            sources.append(source)
        for targets, sources in by_type.values():
            (torch._foreach_add_ if adds else torch._foreach_copy_)(targets, sources)


def _lie_alike(first: Tensor, second: Tensor) -> bool:
    """True if the elements of two dense tensors have the same order in memory."""
    strides = zip(first.shape, first.stride(), second.stride(), strict=True)
    return all(size == 1 or own == other for size, own, other in strides)


def _flattened(tensors: Sequence[Tensor], layout: Layout) -> Tensor:
    """One float32 vector of all tensors' elements, each tensor's in the order that they have in memory."""
    flat = torch.zeros(layout.size, dtype=torch.float32, device=tensors[0].device)
    for tensor, (begin, _) in zip(tensors, layout.ranges, strict=True):
        source = tensor.detach()
        if not (source.is_contiguous() or source.is_contiguous(memory_format=torch.channels_last)):
            raise ValueError("parameters must be contiguous or channels_last")
        flat.as_strided(source.size(), source.stride(), begin).copy_(source)
    return flat
