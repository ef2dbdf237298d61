"""Parameters, multiply-adds and activations of any module, counted while it computes an image."""

import re
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from search_spaces.settings.sentences import first_line

aten = torch.ops.aten

# Products that torch's own counter leaves out, in operations: two for a multiply-add.
FORMULAS: dict[Any, Callable[..., int]] = {
    aten.mv: lambda matrix, vector: 2 * matrix.numel(),
    aten.addmv: lambda bias, matrix, vector, **_: 2 * matrix.numel(),
    aten.dot: lambda first, second: 2 * first.numel(),
    aten.vdot: lambda first, second: 2 * first.numel(),
}
# Operations whose results are the activations: of convolutions and linear layers, also called as functions.
LAYERS = (aten.convolution, aten._convolution, aten.mm, aten.addmm)
# Torch's operations that multiply and add, and have no formula here.
UNKNOWN = re.compile(
    r"_?cdist|_trilinear|_?fft|linalg_|_?sparse|_?mkldnn_rnn|_?cudnn_rnn|_?miopen_rnn|_?thnn_|lstm|gru|rnn_|"
    r"_native_multi_head|_transformer|_int_mm|_weight_int|_grouped_mm|quantized|ormqr|cholesky|lu_|svd|geqrf"
)
OURS = ("aten", "prim", "prims", "profiler")  # namespaces of torch's operations


@dataclass(frozen=True)
class ModuleCounts:
    """Trainable parameters of a module, and per image its MACs and activations.

    MACs are those of convolutions and matrix products (of attention, too), as a module or as a function.
    Activations are the outputs of convolutions and linear layers. Both are None where the module cannot be
    counted.

    Attributes:
        frozen_params: parameters without gradients, which `params` does not hold.
        uncounted: operations of which it is not known how much they compute, with their number; or the
            reason why nothing could be counted.
    """

    params: int
    frozen_params: int
    macs: int | None
    activations: int | None
    uncounted: tuple[str, ...] = ()


def count_any(network: nn.Module, image: Tensor) -> ModuleCounts:
    """Counts a module on the device that it lies on, in evaluation mode; its mode is restored.

    Args:
        image: (1, C, H, W), one image.
    """
    sizes = dict.fromkeys((True, False), 0)
    for parameter in network.parameters():
        sizes[parameter.requires_grad] += parameter.numel()
    modes = {module: module.training for module in network.modules()}
    counter = _Operations()
    try:
        network.eval()
        with ExitStack() as stack:
            # Attention as the matrix products that it consists of; a fused kernel computes the same.
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            stack.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
            torch.backends.mha.set_fastpath_enabled(False)
            stack.enter_context(counter)
            network(image)
    except Exception as error:  # a module may compute with what no mode of torch can watch
        reason = f"not counted ({type(error).__name__}: {first_line(error)})"
        return ModuleCounts(sizes[True], sizes[False], None, None, (reason,))
    finally:
        for module, training in modes.items():
            module.training = training
    uncounted = tuple(f"{name} ({calls}x)" for name, calls in sorted(counter.uncounted.items()))
    return ModuleCounts(sizes[True], sizes[False], counter.total // 2, counter.activations, uncounted)


class _Operations(TorchDispatchMode):
    """Runs operations, and counts what they compute.

    Attributes:
        total: operations, two for a multiply-add.
        activations: outputs of LAYERS.
        uncounted: operations without a formula, by name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = self.activations = 0
        self.uncounted: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        packet = func.overloadpacket
        if packet in flop_registry:
            self.total += flop_registry[packet](*args, **kwargs, out_val=result)
        elif packet in FORMULAS:
            self.total += FORMULAS[packet](*args, **kwargs)
        elif func.namespace not in OURS or UNKNOWN.match(packet.__name__):
            self.uncounted[str(packet)] += 1
        if packet in LAYERS:
            self.activations += result.numel()
        return result
