"""Networks that timm and torchvision themselves build from what we write for them, where they are installed.

They are no dependency of ours; where one is missing, or does not load beside this torch, that is said.
"""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import torch
from torch import nn

from search_spaces.interchange.timm_strings import to_timm
from search_spaces.interchange.torchvision_settings import to_torchvision
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.network import BATCH_NORM_EPSILON, Network, build_network
from trials.training.foreign_weights import foreign_state

N = TypeVar("N", bound=nn.Module)
TOLERANCE = 1e-4  # of the largest output, at least of 1; rounding in a hundred blocks stays below
CLASSES = 10


def library_check(format_name: str, architecture: Architecture) -> str:
    """Comparison of the library's network with ours, in words; empty for a project without a library.

    Raises:
        AssertionError: it builds another network; that is a bug of ours.
    """
    if format_name not in BUILDERS:
        return ""
    try:
        other = library_network(format_name, architecture, num_classes=CLASSES)
    except ModuleNotFoundError as error:
        return f"{error.name} is not installed, so {format_name}'s network was not compared"
    except (ImportError, RuntimeError):  # of a wheel for another torch
        return f"{format_name} does not load beside this torch, so its own network was not compared"
    ours = build_network(architecture, num_classes=CLASSES)
    with_random_norms(ours, side=2 * architecture.total_stride)
    difference = largest_difference(format_name, architecture, ours, other)
    assert difference <= TOLERANCE, f"{format_name}: outputs differ by {difference:.1e}"
    return f"{format_name}'s own network has as many, and outputs within {difference:.0e}"


def library_network(format_name: str, architecture: Architecture, *, num_classes: int) -> nn.Module:
    """The network that the library builds of what we write for it.

    Raises:
        ImportError: the library is not installed; RuntimeError: it does not load beside this torch.
        ConfigError: it cannot express the network.
    """
    return BUILDERS[format_name](architecture, num_classes, BATCH_NORM_EPSILON)


@torch.no_grad()
def largest_difference(library: str, architecture: Architecture, ours: Network, other: nn.Module) -> float:
    """Between outputs from the same weights, over the largest output; images of two sizes, even and odd.

    Raises:
        AssertionError: they have other parameters.
    """
    tensors = foreign_state(ours, architecture, library)
    counts = [sum(p.numel() for p in network.parameters()) for network in (ours, other)]
    assert counts[0] == counts[1], f"{library}: {counts[1]} parameters, ours {counts[0]}"
    left = other.load_state_dict(tensors, strict=False)
    assert not left.unexpected_keys, f"{library} has no {left.unexpected_keys[0]}"
    assert all(name.endswith("num_batches_tracked") for name in left.missing_keys), left.missing_keys[:3]
    ours.eval(), other.eval()
    differences = []
    for side in (2 * architecture.total_stride, 2 * architecture.total_stride + 1):
        images = torch.randn(2, 3, side, side)
        outputs = ours(images)
        differences.append(difference_of(other(images), outputs))
    return max(differences)


def difference_of(found: torch.Tensor, ours: torch.Tensor) -> float:
    """The largest difference of outputs, over our largest output, at least 1; TOLERANCE bounds it."""
    return float((found - ours).abs().max() / ours.abs().max().clamp(min=1))


@torch.no_grad()
def with_random_norms(network: N, *, side: int = 64) -> N:
    """Batch norms near the statistics of what they see, as in a trained network, with weights of their own.

    Statistics drawn from nowhere let deep networks grow without bound, and rounding errors with them.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.weight.uniform_(0.7, 1.3)
        norm.bias.uniform_(-0.2, 0.2)
        norm.train().momentum = 1.0
    network(torch.randn(8, 3, side, side))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.eval().momentum = momentum
        assert norm.running_var is not None
        assert norm.running_mean is not None
        norm.running_mean += 0.1 * norm.running_var.sqrt() * torch.randn_like(norm.running_mean)
        norm.running_var.clamp_(min=norm.running_var.mean())  # of channels that hardly moved
        norm.running_var *= torch.empty_like(norm.running_var).uniform_(1, 1.5)
    return network


def _timm(architecture: Architecture, num_classes: int, epsilon: float) -> nn.Module:
    from timm.layers import get_act_layer
    from timm.models._efficientnet_builder import decode_arch_def
    from timm.models.efficientnet import EfficientNet

    network = to_timm(architecture, epsilon=epsilon)
    return EfficientNet(
        block_args=decode_arch_def([list(strings) for strings in network.arch_def]),
        num_classes=num_classes,
        num_features=network.num_features,
        stem_size=network.stem_size,
        fix_stem=True,
        pad_type=network.pad_type,
        act_layer=get_act_layer(network.act_layer),
        norm_layer=partial(nn.BatchNorm2d, eps=network.bn_eps),
    )


def _torchvision(architecture: Architecture, num_classes: int, epsilon: float) -> nn.Module:
    from torchvision.models import efficientnet

    network = to_torchvision(architecture, epsilon=epsilon)
    settings: list[Any] = []
    for setting in network.inverted_residual_setting:
        arguments = copy.copy(vars(setting))
        settings.append(getattr(efficientnet, arguments.pop("config"))(**arguments))
    return efficientnet.EfficientNet(
        settings,
        dropout=0.0,
        num_classes=num_classes,
        last_channel=network.last_channel,
        norm_layer=partial(nn.BatchNorm2d, eps=network.norm_eps),
    )


BUILDERS: dict[str, Callable[[Architecture, int, float], nn.Module]] = {
    "timm": _timm,
    "torchvision": _torchvision,
}
