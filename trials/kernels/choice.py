"""The choice of own kernels: on a CPU where they compile, on CUDA where a probe says so."""

import torch
from torch import nn

from trials.kernels.cpu_blocks import QuickBatchNorm2d, use_cpu_kernels
from trials.kernels.cpu_library import why_not
from trials.kernels.cuda_blocks import use_cuda_kernels
from trials.kernels.cuda_norm import KernelBatchNorm2d
from trials.kernels.cuda_probe import Record, kernels_verdict
from trials.kernels.launching import is_interpreted
from trials.kernels.replaceable import NormCoverage, norm_coverage
from trials.trial import Kernels

_used = True


def use_fused(used: bool) -> None:
    """Sets whether this process uses own kernels where it can; it does by default."""
    global _used
    _used = used


def kernels_on(device: torch.device, precision: str, *, record: Record | None) -> Kernels:
    """The kernels with which this process trains networks on a device from now on.

    Args:
        record: captures work, as steps are captured; None: steps are launched kernel by kernel.
    """
    if not _used:
        return "torch"
    if uses_triton(device):
        return "fused" if kernels_verdict(device, precision, record).used else "torch"
    return "fused" if device.type == "cpu" and why_not() is None else "torch"


def fuse(network: nn.Module, device: torch.device, precision: str, *, record: Record | None) -> Kernels:
    """Makes a network compute with own kernels if this process does; its tensors and their names stay."""
    kernels = kernels_on(device, precision, record=record)
    if kernels == "fused" and uses_triton(device):
        use_cuda_kernels(network)
    elif kernels == "fused":
        use_cpu_kernels(network)
    return kernels


def coverage(network: nn.Module, device: torch.device) -> NormCoverage:
    """The norms of a network that `fuse` was given, and how many of them own kernels compute."""
    return norm_coverage(network, KernelBatchNorm2d if uses_triton(device) else QuickBatchNorm2d)


def uses_triton(device: torch.device) -> bool:
    """True if a device's own kernels are those of Triton."""
    return device.type == "cuda" or is_interpreted()
