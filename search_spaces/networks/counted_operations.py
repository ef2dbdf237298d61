"""Operations of a module on the meta device, counted without torch's compiler."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

aten = torch.ops.aten


class CountedOperations(TorchDispatchMode):
    """Counts within the block what torch's FlopCounterMode counts, by the same formulas.

    That one, and most operators on the meta device, load torch's compiler, a second of a process's start. The
    operators of `RESULTS` are therefore not run: their results have the shape that torch's would have. All
    others run, and so do these where they are called with keywords.

    Attributes:
        total: operations, two for a multiply-add.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch would load its compiler to keep it away from the method below

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs) if kwargs else RESULTS.get(func, func)(*args)
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            self.total += formula(*args, **kwargs, out_val=result)
        return result


def _same(features: Tensor, *settings: object) -> Tensor:
    return features.detach()


def _in_place(features: Tensor, *bounds: float) -> Tensor:
    return features


def _broadcast(first: Tensor, second: Tensor | float) -> Tensor:
    if not isinstance(second, Tensor) or first.shape == second.shape:
        return first.detach()
    return first.new_empty(torch.broadcast_tensors(first, second)[0].shape)


def _mean(features: Tensor, dims: Sequence[int], keepdim: bool = False) -> Tensor:
    if not dims:  # all of them
        return aten.mean.dim(features, dims, keepdim)
    gone = {each % features.dim() for each in dims}
    sides = [1 if dim in gone else side for dim, side in enumerate(features.shape)]
    return features.new_empty(sides if keepdim else [sides[d] for d in range(len(sides)) if d not in gone])


def _batch_norm(features: Tensor, *settings: object) -> tuple[Tensor, Tensor, Tensor]:
    """The normalised features, and the statistics of a batch, which there are none of in evaluation."""
    return features.detach(), features.new_empty(0), features.new_empty(0)


def _layer_norm(features: Tensor, *settings: object) -> tuple[Tensor, Tensor, Tensor]:
    """The normalised features, and their statistics, which nothing needs here."""
    return features.detach(), features.new_empty(0), features.new_empty(0)


def _convolution(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    *others: Any,
) -> Tensor:
    if transposed:
        return aten.convolution.default(
            features, weight, bias, stride, padding, dilation, transposed, *others
        )
    sides = (
        (side + 2 * pad - gap * (kernel - 1) - 1) // step + 1
        for side, kernel, step, pad, gap in zip(
            features.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True
        )
    )
    return features.new_empty((features.shape[0], weight.shape[0], *sides))


def _linear(bias: Tensor, features: Tensor, weight: Tensor) -> Tensor:
    return features.new_empty((features.shape[0], weight.shape[1]))


RESULTS: dict[Any, Callable[..., Any]] = {
    aten.convolution.default: _convolution,
    aten.native_batch_norm.default: _batch_norm,
    aten.native_layer_norm.default: _layer_norm,
    aten.silu.default: _same,
    aten.relu_.default: _in_place,
    aten.hardtanh_.default: _in_place,
    aten.hardswish.default: _same,
    aten.gelu.default: _same,
    aten.sigmoid.default: _same,
    aten.add.Tensor: _broadcast,
    aten.mul.Tensor: _broadcast,
    aten.mean.dim: _mean,
    aten.addmm.default: _linear,
}
