"""The batch norms that own kernels compute; others stay torch's."""

from torch import nn


def can_replace(module: nn.Module) -> bool:
    """True for torch's batch norm as networks have it: weights, running statistics, a fixed momentum."""
    return (
        type(module) is nn.BatchNorm2d
        and module.affine
        and module.track_running_stats
        and module.momentum is not None
    )
