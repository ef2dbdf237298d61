"""The batch norms that own kernels compute, and where with what follows them; all else stays torch's."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from search_spaces.networks.blocks import FusedMBConv, MBConv
from search_spaces.networks.network import Network
from search_spaces.networks.plain_convolution import PlainConvolution
from search_spaces.networks.uib import UniversalInvertedBottleneck

# Blocks whose sequences are called as a whole.
CALLERS = (MBConv, FusedMBConv, UniversalInvertedBottleneck, PlainConvolution)
# All norms of torch; those of batches and instances are _NormBase's.
NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)


def can_replace(module: nn.Module) -> bool:
    """True for torch's batch norm as networks have it: weights, running statistics, momentum, no hooks."""
    return (
        type(module) is nn.BatchNorm2d
        and module.affine
        and module.track_running_stats
        and module.momentum is not None
        and not has_hooks(module)
    )


def has_hooks(module: nn.Module) -> bool:
    """True if a call of a module or of a part of it does more than its class says."""
    return any(
        part._forward_pre_hooks
        or part._forward_hooks
        or part._backward_pre_hooks
        or part._backward_hooks
        or "forward" in vars(part)
        for part in module.modules()
    )


def foldable_sequences(network: nn.Module) -> Iterator[nn.Sequential]:
    """The sequences in a network whose layers may be computed as one: those of our blocks, stems and heads.

    These are called as a whole. Whoever owns another sequence may call its layers one by one, or a slice.
    """
    for module in network.modules():
        callers = [module] if type(module) in CALLERS else []
        if type(module) is Network:
            callers = [module.stem, module.head]
        for caller in callers:
            if not has_hooks(caller):
                yield from (part for part in caller.modules() if type(part) is nn.Sequential)


@dataclass(frozen=True)
class NormCoverage:
    """Norms of a network, and those among them that own kernels compute."""

    own: int
    all: int


def norm_coverage(network: nn.Module, quick: type[nn.Module]) -> NormCoverage:
    """The norms of a network, and those of class `quick`, that of norms of own kernels."""
    norms = [module for module in network.modules() if isinstance(module, NORMS)]
    return NormCoverage(sum(isinstance(norm, quick) for norm in norms), len(norms))
