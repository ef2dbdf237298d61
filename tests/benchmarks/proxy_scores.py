"""Proxies of accuracy without training, as their papers define them: one number each for a fresh network.

ZiCo (Li et al. 2023, arXiv 2301.11300), AZ-NAS (Lee and Ham 2024, arXiv 2403.19232), SWAP (Peng et al. 2024,
arXiv 2403.04161), MeCo (Jiang et al. 2023), NASWOT (Mellor et al. 2021, arXiv 2006.04647) and synflow (Tanaka
et al. 2020, arXiv 2006.05467, in the form of Abdelfattah et al. 2021, arXiv 2101.08134).

A network is given as its chain: the stem, its blocks one after the other, and the rest. Batch norm uses the
batch's statistics everywhere, as in the papers. Patterns of activation are of the signs before ReLU or SiLU.
"""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

ACTIVATIONS = (nn.ReLU, nn.SiLU)
SWAP_IMAGES = 16  # of the batch, as in the paper's code: more, and nearly every unit has its own pattern
ALMOST = 1e-8
NAMES = (
    "zico",
    "expressivity",
    "progressivity",
    "trainability",
    "swap",
    "meco",
    "naswot",
    "synflow",
)
LOGARITHMIC = ("swap", "meco")  # positive, and in proportion to a network's size: their logarithms are used


@dataclass(frozen=True)
class Chain:
    """A network as the sequence of its parts.

    Attributes:
        whole: images (N, C, H, W) to logits (N, K).
        blocks: stem and blocks in the order in which they compute, without those that do nothing.
    """

    whole: nn.Module
    blocks: Sequence[nn.Module]


def scores(chain: Chain, batches: Sequence[tuple[Tensor, Tensor]]) -> tuple[dict[str, float], float]:
    """All proxies by name, and their CPU seconds; `batches` are two or more of images and labels."""
    began = time.process_time()
    chain.whole.train()
    images = batches[0][0]
    signs, meco = signs_and_meco(chain.whole, images)
    found = {
        "zico": zico(gradients(chain.whole, batches)),
        **az_nas(chain.blocks, images),
        "swap": swap([layer[:SWAP_IMAGES] for layer in signs]),
        "meco": meco,
        "naswot": naswot(signs),
        "synflow": synflow(chain.whole, images[:1]),
    }
    for name in LOGARITHMIC:
        found[name] = math.log(max(found[name], ALMOST))
    return found, time.process_time() - began


# ---------------------------------------------------------------------- ZiCo


def gradients(network: nn.Module, batches: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """Gradients of the cross entropy by each layer's weights, (batches, weights) for every layer."""
    layers = [part for part in network.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    by_batch = []
    for images, labels in batches:
        network.zero_grad()
        functional.cross_entropy(network(images), labels).backward()
        by_batch.append([layer.weight.grad.flatten() for layer in layers if layer.weight.grad is not None])
    network.zero_grad()
    return [torch.stack(of_layer) for of_layer in zip(*by_batch, strict=True)]


def zico(layers: Sequence[Tensor]) -> float:
    """The sum over layers of log(sum over weights of mean |g| / standard deviation of g over batches)."""
    total = 0.0
    for gradient in layers:
        deviation = gradient.std(0, correction=0)
        there = deviation > 0
        ratio = float((gradient.abs().mean(0)[there] / deviation[there]).sum())
        total += math.log(ratio) if ratio > 0 else 0.0
    return total


# ---------------------------------------------------------------------- AZ-NAS


def az_nas(blocks: Sequence[nn.Module], images: Tensor) -> dict[str, float]:
    """Expressivity, progressivity and trainability of a chain of blocks."""
    entropies, train = [], []
    features = images
    for i, block in enumerate(blocks):
        features = features.detach().requires_grad_(i > 0)
        after = block(features)
        entropies.append(entropy(after.detach()))
        if i > 0:
            sent = torch.randint(0, 2, after.shape).to(after) * 2 - 1  # Hutchinson's, +1 or -1
            (returned,) = torch.autograd.grad(after, features, sent)
            train.append(trainability(sent, returned))
        features = after
    return {
        "expressivity": sum(entropies),
        "progressivity": min((b - a for a, b in pairwise(entropies)), default=0.0),
        "trainability": sum(train) / max(len(train), 1),
    }


def entropy(features: Tensor) -> float:
    """Entropy of the shares of variance along the principal axes of the channels, (N, C, H, W)."""
    pixels = features.permute(0, 2, 3, 1).flatten(0, 2)  # (N * H * W, C)
    pixels = pixels - pixels.mean(0)
    values = torch.linalg.eigvalsh(pixels.T @ pixels / len(pixels)).clamp(min=0)
    shares = values / values.sum()
    return float(-(shares * torch.log(shares + ALMOST)).sum())


def trainability(sent: Tensor, returned: Tensor) -> float:
    """2 - s - 1 / s, s the spectral norm of the block's estimated Jacobian: 0 at most, where s is 1.

    Args:
        sent: the gradient given to the block's output, (N, O, h, w).
        returned: the gradient at its input, (N, I, H, W).
    """
    stride = math.ceil(returned.shape[2] / sent.shape[2])
    if stride > 1:
        missing = [stride * sent.shape[i] - returned.shape[i] for i in (2, 3)]
        returned = functional.pixel_unshuffle(
            functional.pad(returned, [0, missing[1], 0, missing[0]]), stride
        )
    given, got = (each.permute(0, 2, 3, 1).flatten(0, 2) for each in (sent, returned))
    norm = float(torch.linalg.matrix_norm(got.T @ given / len(given), 2))
    return 2 - norm - 1 / (norm + 1e-6)


# ---------------------------------------------------------------------- patterns of activation, feature maps


@torch.no_grad()
def signs_and_meco(network: nn.Module, images: Tensor) -> tuple[list[Tensor], float]:
    """Signs before each activation function, (N, units) of every layer, and MeCo of the first image."""
    signs: list[Tensor] = []
    least: list[float] = []

    def before_activation(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        signs.append((inputs[0] > 0).flatten(1))
        least.append(least_eigenvalue(output[0]))

    def after_convolution(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        least.append(least_eigenvalue(output[0]))

    handles = []
    for part in network.modules():
        if isinstance(part, ACTIVATIONS):
            handles.append(part.register_forward_hook(before_activation))
        elif isinstance(part, nn.Conv2d):
            handles.append(part.register_forward_hook(after_convolution))
    try:
        network(images)
    finally:
        for handle in handles:
            handle.remove()
    return signs, sum(least)


def least_eigenvalue(features: Tensor) -> float:
    """The least eigenvalue of the correlations between channels over pixels, of one image (C, H, W)."""
    rows = features.flatten(1)
    if len(rows) >= rows.shape[1] or len(rows) < 2:
        return 0.0  # more channels than pixels: the matrix has not full rank (and one has no correlation)
    correlations = torch.corrcoef(rows).nan_to_num(0.0, 0.0, 0.0)
    return max(float(torch.linalg.eigvalsh(correlations)[0]), 0.0)


def swap(signs: Sequence[Tensor]) -> float:
    """The number of different patterns over images among all units; `signs` are (N, units) of each layer."""
    places = 2 ** torch.arange(len(signs[0]))
    seen = torch.zeros(2 ** len(signs[0]), dtype=torch.bool)
    for layer in signs:
        seen[(layer * places[:, None]).sum(0)] = True
    return float(seen.sum())


def naswot(signs: Sequence[Tensor]) -> float:
    """log |K|, K the number of units on which the patterns of two images agree, (N, N)."""
    kernel = torch.zeros(len(signs[0]), len(signs[0]), dtype=torch.float64)
    for layer in signs:
        plus = layer.float()
        kernel += plus @ plus.T + (1 - plus) @ (1 - plus).T
    return float(torch.linalg.slogdet(kernel)[1])


# ---------------------------------------------------------------------- synflow


def synflow(network: nn.Module, image: Tensor) -> float:
    """log of the sum of |weight * gradient| at an image of ones: positive weights, no batch norm."""
    kept = {name: value.detach().clone() for name, value in network.state_dict().items()}
    try:
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.abs_()
        network.zero_grad()
        with without_batch_norm(network):
            network(torch.ones_like(image)).sum().backward()
        total = sum(
            float((part.weight.detach() * part.weight.grad).abs().sum())
            for part in network.modules()
            if isinstance(part, nn.Conv2d | nn.Linear) and part.weight.grad is not None
        )
    finally:
        network.load_state_dict(kept)
        network.zero_grad()
    return math.log(total)


@contextmanager
def without_batch_norm(network: nn.Module) -> Iterator[None]:
    """Batch norms that return their input."""

    def unchanged(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        given: Tensor = inputs[0]
        return given

    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    handles = [part.register_forward_hook(unchanged) for part in norms]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
