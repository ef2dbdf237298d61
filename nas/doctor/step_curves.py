"""Curves of training steps taken as a CUDA graph and eagerly, from the same seed on the same batches."""

from dataclasses import dataclass

import torch
from torch import Tensor

from search_spaces.networks.architecture import Architecture
from trials.measurement import Mode
from trials.recipe import Ramp, Recipe
from trials.training.step import build_step
from trials.training.synthetic_batch import SyntheticBatch

CLASSES, SIDE = 10, 32
RATE = 0.008


@dataclass(frozen=True)
class Curve:
    """Mean loss of each step, the weights after the last one, and how steps were launched."""

    losses: tuple[float, ...]
    weights: Tensor  # on the CPU
    mode: Mode


def curve(
    architecture: Architecture,
    device: torch.device,
    *,
    precision: str,
    graphs: bool,
    steps: int,
    batch_size: int,
) -> Curve:
    """Trains with dropout and averaging on one batch, moved by a pixel from step to step."""
    recipe = Recipe(
        epochs=1,
        batch_size=batch_size,
        resolution=Ramp(SIDE, SIDE),
        averaging_decay=0.99,
        dropout=Ramp(0.2, 0.2),
    )
    torch.manual_seed(0)
    step = build_step(
        architecture, recipe, num_classes=CLASSES, device=device, precision=precision, cuda_graphs=graphs
    )
    step.network.set_strengths(dropout=recipe.dropout.end, stochastic_depth=0.0)
    calls = step.graphed(step)
    batch = SyntheticBatch.random(batch_size=batch_size, resolution=SIDE, num_classes=CLASSES, device=device)
    step.learning_rate.fill_(RATE)
    torch.manual_seed(1)
    losses = []
    for i in range(steps):
        calls(batch.images.roll(i, dims=2), batch.labels)
        losses.append(step.read_totals()[0])
    return Curve(tuple(losses), step.parameters.values.detach().cpu().clone(), step.mode)


def differences(one: Curve, other: Curve) -> tuple[float, float]:
    """The largest difference of the losses; and of the weights, over the largest weight."""
    loss = max(abs(a - b) for a, b in zip(one.losses, other.losses, strict=True))
    weights = (one.weights - other.weights).abs().max() / other.weights.abs().max()
    return loss, float(weights)
