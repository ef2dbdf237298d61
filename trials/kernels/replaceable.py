"""The batch norms that own kernels compute; others stay torch's."""

from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

# All norms of torch; those of batches and instances are _NormBase's.
NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)


def can_replace(module: nn.Module) -> bool:
    """True for torch's batch norm as networks have it: weights, running statistics, a fixed momentum."""
    return (
        type(module) is nn.BatchNorm2d
        and module.affine
        and module.track_running_stats
        and module.momentum is not None
    )


@dataclass(frozen=True)
class NormCoverage:
    """Norms of a network, and those among them that own kernels compute."""

    own: int
    all: int


def norm_coverage(network: nn.Module, quick: type[nn.Module]) -> NormCoverage:
    """The norms of a network, and those of class `quick`, that of norms of own kernels."""
    norms = [module for module in network.modules() if isinstance(module, NORMS)]
    return NormCoverage(sum(isinstance(norm, quick) for norm in norms), len(norms))
