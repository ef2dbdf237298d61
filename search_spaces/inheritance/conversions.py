"""Conversions of a block's tensors from one layout to another, and of its squeeze-excite to constant gates.

Tensors are named by `kind.tensor`, as in `networks/parts.py`, of float64; `activation` is the block's.
Where an activation has to give way, it is replaced by its regression line: behind batch norm, channel j is
taken for normally distributed with the mean `bias[j]` and the standard deviation `weight[j]`.
"""

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import torch
from torch import Tensor

from search_spaces.inheritance.block_maps import Conversion
from search_spaces.networks.activations import ACTIVATIONS
from search_spaces.networks.network import BATCH_NORM_EPSILON
from search_spaces.networks.parts import NORM
from search_spaces.networks.stage_fields import Activation

Tensors = dict[str, Tensor]
NODES = 40  # of the Gauss-Hermite quadrature
SMALLEST_VARIANCE = 1e-6
SMALLEST_SHARE = 0.05  # of a variance that may be left after another is taken from it
RIDGE = 0.01  # of the mean square
SHIFTS = (-0.5, 4.0)  # of batch norm before SiLU; where most of it is below -1, its line is flat and no help
KERNELS = "kernels"  # of `Chosen`: spatial filters (width, k * k) that were found nearest

# Choices that depend on tensors, made once, so that a network and its average are converted alike.
Chosen = dict[str, Tensor]


@cache
def _quadrature() -> tuple[Tensor, Tensor]:
    """Nodes and weights, (n,), of the mean of a function of a standard normal variable."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    return torch.from_numpy(nodes), torch.from_numpy(weights / weights.sum())


def moments(mean: Tensor, deviation: Tensor, activation: Activation) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance of f(z), z normal with these (C,) moments, and the slope of its regression on z.

    f is the activation. The slope is the mean of its derivative (Stein's lemma).
    """
    nodes, weights = _quadrature()
    z = mean[:, None] + deviation.abs()[:, None] * nodes  # (C, n)
    with torch.enable_grad():
        z.requires_grad_()
        value = ACTIVATIONS[activation]()(z.clone())  # some compute in place
        (derivative,) = torch.autograd.grad(value.sum(), z)
    value = value.detach()
    average = value @ weights
    variance = ((value - average[:, None]) ** 2) @ weights
    return average, variance, derivative @ weights


def depthwise_to_fused(tensors: Tensors, chosen: Chosen, activation: Activation) -> Tensors:
    """Its filters on the diagonal of a full convolution. Exact."""
    filters = tensors["depthwise.0.weight"]  # (C, 1, k, k)
    width, kernel = len(filters), filters.shape[2]
    full = filters.new_zeros(width, width, kernel, kernel)
    full[range(width), range(width)] = filters[:, 0]
    found = _kept(tensors, "squeeze", "project") | _norm("fused", tensors, "depthwise")
    return found | {"fused.0.weight": full}


def convolution_to_fused(tensors: Tensors, chosen: Chosen, activation: Activation) -> Tensors:
    """The same convolution before a projection that is the identity. Exact in evaluation.

    The statistics of the new batch norm are those expected of the activation's output, and its scale and
    shift undo them, so that in training as well it does little.
    """
    mean, variance, _ = moments(tensors["fused.1.bias"], tensors["fused.1.weight"], activation)
    identity = torch.eye(len(mean), dtype=mean.dtype)[:, :, None, None]
    scale = (variance + BATCH_NORM_EPSILON).sqrt()
    norm = _named("project", scale, mean, mean, variance)
    return _kept(tensors, "fused") | norm | {"project.0.weight": identity}


def inverted_to_fused(tensors: Tensors, chosen: Chosen, activation: Activation) -> Tensors:
    """Expansion and depthwise convolution composed, without the activation between them. Nearly."""
    scale, shift, noise = _linear("expand", tensors, activation)
    filters = tensors["depthwise.0.weight"]  # (W, 1, k, k)
    full = filters * (scale[:, None] * tensors["expand.0.weight"][:, :, 0, 0])[:, :, None, None]
    found = _kept(tensors, "squeeze", "project") | _norm("fused", tensors, "depthwise")
    found["fused.1.running_mean"] = found["fused.1.running_mean"] - shift * filters.sum((1, 2, 3))
    found["fused.1.running_var"] = found["fused.1.running_var"] * (1 - noise)
    return found | {"fused.0.weight": full}


def fused_to_inverted(tensors: Tensors, chosen: Chosen, activation: Activation) -> Tensors:
    """Each filter (C, k, k) as its nearest product of weights (C) and a kernel (k, k). Nearly.

    The activation between them gets channels of variance 1, and no shift, so that padding stays zero.
    """
    full = tensors["fused.0.weight"]  # (W, C, k, k)
    expand, kernels, share = _nearest_products(full.flatten(2), chosen)  # (W, C), (W, k * k), (W,)
    mean, variance = _input_moments(tensors)
    norm, gain, rest = _linear_norm(expand @ mean, (expand**2) @ variance, activation)
    found = _kept(tensors, "squeeze", "project") | _norm("depthwise", tensors, "fused")
    found |= {f"expand.1.{name}": tensor for name, tensor in norm.items()}
    found["expand.0.weight"] = expand[:, :, None, None]
    found["depthwise.0.weight"] = (kernels * gain[:, None]).view(len(full), 1, *full.shape[2:])
    shift, noise = rest
    sums = (kernels * gain[:, None]).sum(1)
    found["depthwise.1.running_mean"] = found["depthwise.1.running_mean"] + shift * sums
    found["depthwise.1.running_var"] = found["depthwise.1.running_var"] * share / (1 - noise)
    return found


def fused_to_convolution(tensors: Tensors, chosen: Chosen, activation: Activation) -> Tensors:
    """Convolution and projection composed; the activation between them comes to stand behind them. Nearly."""
    full, norm = _composed(tensors, activation)
    return {"fused.0.weight": full, **{f"fused.1.{name}": tensor for name, tensor in norm.items()}}


def fused_to_depthwise(tensors: Tensors, chosen: Chosen, activation: Activation) -> Tensors:
    """Convolution and projection composed, then each input's filters as the nearest product. Nearly."""
    full, norm = _composed(tensors, activation)  # (O, C, k, k)
    by_input = full.flatten(2).transpose(0, 1)  # (C, O, k * k)
    project, kernels, _ = _nearest_products(by_input, chosen)  # (C, O), (C, k * k)
    mean, variance = _input_moments(tensors)
    own, gain, (shift, _) = _linear_norm(kernels.sum(1) * mean, (kernels**2).sum(1) * variance, activation)
    found = {f"depthwise.1.{name}": tensor for name, tensor in own.items()}
    found["depthwise.0.weight"] = kernels.view(-1, 1, *full.shape[2:])
    found["project.0.weight"] = (project * gain[:, None]).t()[:, :, None, None]
    norm["running_mean"] = norm["running_mean"] + (project * gain[:, None]).t() @ shift
    return found | {f"project.1.{name}": tensor for name, tensor in norm.items()}


CONVERSIONS: Mapping[Conversion, Callable[[Tensors, Chosen, Activation], Tensors]] = {
    ("depthwise", "fused"): depthwise_to_fused,
    ("convolution", "fused"): convolution_to_fused,
    ("inverted", "fused"): inverted_to_fused,
    ("fused", "inverted"): fused_to_inverted,
    ("fused", "convolution"): fused_to_convolution,
    ("fused", "depthwise"): fused_to_depthwise,
}

# ---------------------------------------------------------------------- squeeze-excite


def without_gate(tensors: Tensors, next_kind: str, activation: Activation) -> Tensors:
    """Squeeze-excite replaced by its gates at the channels' expected means, multiplied into `next_kind`."""
    reduce, expand = tensors["squeeze.reduce.weight"], tensors["squeeze.expand.weight"]
    means = reduce.new_zeros(reduce.shape[1])  # of a convolution's input nothing is known
    for kind in ("depthwise", "fused"):
        if kind != next_kind and f"{kind}.1.bias" in tensors:
            means = moments(tensors[f"{kind}.1.bias"], tensors[f"{kind}.1.weight"], activation)[0]
    squeezed = reduce[:, :, 0, 0] @ means + tensors["squeeze.reduce.bias"]
    gates = torch.sigmoid(
        expand[:, :, 0, 0] @ ACTIVATIONS[activation]()(squeezed) + tensors["squeeze.expand.bias"]
    )
    name = f"{next_kind}.0.weight"
    kept = {key: tensor for key, tensor in tensors.items() if not key.startswith("squeeze.")}
    return kept | {name: tensors[name] * gates[None, :, None, None]}


def with_half_gate(tensors: Tensors, next_kind: str) -> Tensors:
    """Weights of the next convolution twice as large, for gates of exactly 1/2 before it."""
    name = f"{next_kind}.0.weight"
    return tensors | {name: tensors[name] * 2}


# ---------------------------------------------------------------------- channels


def by_importance(tensors: Tensors, activation: Activation, *, outputs: int) -> Tensor:
    """Hidden channels (W,), those first that add most to the first `outputs` channels of the output.

    The measure is a channel's expected size times the norm of its outgoing weights.
    """
    kind = "depthwise" if "depthwise.1.weight" in tensors else "fused"
    mean, variance, _ = moments(tensors[f"{kind}.1.bias"], tensors[f"{kind}.1.weight"], activation)
    outgoing = tensors["project.0.weight"][:outputs, :, 0, 0].norm(dim=0)
    return (outgoing * (mean**2 + variance).sqrt()).argsort(descending=True, stable=True)


def reordered(tensors: Tensors, order: Tensor) -> Tensors:
    """The same block with its hidden channels in another order."""
    inner = ("project.0.weight", "squeeze.reduce.weight")  # have the hidden channels as inputs
    outer = ("project.", "squeeze.reduce.")  # have others, or none
    found = {}
    for name, tensor in tensors.items():
        if name in inner:
            tensor = tensor[:, order]
        elif not name.startswith(outer):
            tensor = tensor[order]
        found[name] = tensor
    return found


# ---------------------------------------------------------------------- parts of conversions


def _kept(tensors: Tensors, *kinds: str) -> Tensors:
    return {key: tensor for key, tensor in tensors.items() if key.partition(".")[0] in kinds}


def _norm(kind: str, tensors: Tensors, source: str) -> Tensors:
    return {f"{kind}.1.{name}": tensors[f"{source}.1.{name}"] for name in NORM}


def _named(kind: str, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Tensors:
    values = zip(NORM, (weight, bias, mean, variance), strict=True)
    return {f"{kind}.1.{name}": tensor for name, tensor in values}


def _linear(kind: str, tensors: Tensors, activation: Activation) -> tuple[Tensor, Tensor, Tensor]:
    """Batch norm and activation behind a convolution's output y as `scale * y + shift`, each (W,).

    The third: the share of the variance of the activation's output that this line leaves out.
    """
    weight, bias, mean, variance = (tensors[f"{kind}.1.{name}"] for name in NORM)
    average, spread, slope = moments(bias, weight, activation)
    factor = weight / (variance + BATCH_NORM_EPSILON).sqrt()
    scale = slope * factor
    noise = 1 - slope**2 * weight**2 / spread.clamp(min=SMALLEST_VARIANCE)
    return scale, average - scale * mean, noise.clamp(0, 1 - SMALLEST_SHARE)


def _linear_norm(
    mean: Tensor, variance: Tensor, activation: Activation
) -> tuple[Tensors, Tensor, tuple[Tensor, Tensor]]:
    """A batch norm before an activation, of channels of these moments, (W,); it keeps zero at zero if it can.

    Returns:
        Its tensors; the factor of what follows, with which the line through the activation has the slope 1;
        that line's value at 0, and the share of the activation's variance that it leaves out.
    """
    variance = variance.clamp(min=SMALLEST_VARIANCE)
    deviation = (variance + BATCH_NORM_EPSILON).sqrt()
    weight, bias = torch.ones_like(mean), (mean / deviation).clamp(*SHIFTS)
    average, spread, slope = moments(bias, weight, activation)
    norm = dict(zip(NORM, (weight, bias, mean, variance), strict=True))
    noise = (1 - slope**2 / spread.clamp(min=SMALLEST_VARIANCE)).clamp(0, 1 - SMALLEST_SHARE)
    return norm, deviation / slope, (average - slope * mean / deviation, noise)


def _input_moments(tensors: Tensors) -> tuple[Tensor, Tensor]:
    """Means (C,) of a fused block's input, and one variance for all channels, (C,).

    The running means are the sums of each filter times these (ridge regression, since sums may be near zero);
    the running variances are about the squares of the filters times that.
    """
    filters = tensors["fused.0.weight"].flatten(2)  # (W, C, k * k)
    means = tensors["fused.1.running_mean"]
    sums = filters.sum(2)  # (W, C)
    gram = sums.mT @ sums
    ridge = (RIDGE * gram.diagonal().mean()).clamp(min=SMALLEST_VARIANCE)
    mean = torch.linalg.solve(gram + ridge * torch.eye(len(gram), dtype=gram.dtype), sums.mT @ means)
    squares = (filters**2).sum((1, 2)).clamp(min=SMALLEST_VARIANCE)
    variance = (tensors["fused.1.running_var"] / squares).median()
    return mean, variance.expand(filters.shape[1])


def _nearest_products(filters: Tensor, chosen: Chosen) -> tuple[Tensor, Tensor, Tensor]:
    """Each matrix (M, k * k) of (W, M, k * k) as a product of (M,) and a kernel (k * k,) of norm 1.

    The kernel is the first right singular vector, its sum not negative.

    Returns:
        (W, M), (W, k * k), and the share of the squares that the products have, (W,).
    """
    if KERNELS not in chosen:
        kernels = torch.linalg.eigh(filters.mT @ filters).eigenvectors[:, :, -1]  # (W, k * k)
        chosen[KERNELS] = kernels * torch.where(kernels.sum(1) < 0, -1.0, 1.0)[:, None]
    kernels = chosen[KERNELS]
    outer = (filters @ kernels[:, :, None])[:, :, 0]  # (W, M)
    squares = (filters**2).sum((1, 2)).clamp(min=SMALLEST_VARIANCE)
    return outer, kernels, ((outer**2).sum(1) / squares).clamp(SMALLEST_SHARE, 1)


def _composed(tensors: Tensors, activation: Activation) -> tuple[Tensor, Tensors]:
    """Convolution and projection as one convolution (O, C, k, k), and the batch norm behind it."""
    scale, shift, noise = _linear("fused", tensors, activation)
    project = tensors["project.0.weight"][:, :, 0, 0]  # (O, W)
    full = torch.einsum("ow,wckl->ockl", project * scale, tensors["fused.0.weight"])
    norm = {name: tensors[f"project.1.{name}"] for name in NORM}
    norm["running_mean"] = norm["running_mean"] - project @ shift
    spread = moments(tensors["fused.1.bias"], tensors["fused.1.weight"], activation)[1]
    variance = norm["running_var"]
    left = variance - (project**2) @ (spread * noise)
    norm["running_var"] = torch.maximum(left, SMALLEST_SHARE * variance)
    return full, norm
