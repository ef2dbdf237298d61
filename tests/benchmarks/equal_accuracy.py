"""Whether the fast way of training reaches the accuracy of the plain one: the same recipe twice, ten seeds.

    python tests/benchmarks/equal_accuracy.py SOURCE.parquet [--seeds 10] [--images 8000] [--epochs 6]

*fast* is a trial as the engine runs it: packed images, batched augmentation, channels_last, flat RMSProp and
averaging, the precision that the probe chooses. *plain* is the recipe written down once more, image by image
and parameter by parameter, in float32: Pillow's crop and mirror, RMSProp and moving average as the paper's
formulas, torch's own convolutions. Means of minival accuracy, the difference, and its standard error.
"""

import argparse
import json
import math
import os
import statistics
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from plain_trials import as_plain
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.networks.architecture import Architecture, Stage
from search_spaces.networks.network import build_network
from trials.devices.device import keep_freed_memory
from trials.images.config import DataConfig
from trials.images.device_images import ResidentImages
from trials.images.packed import open_images
from trials.recipe import Ramp, Recipe
from trials.timing.precision import choose_precision
from trials.training.step import TrainingStep
from trials.training.train import EpochEnd, train

SIDE, BATCH = 32, 64
NETWORK = Architecture(
    stem_channels=16,
    stages=(
        Stage(op="fused_mbconv", stride=1, expansion_ratio=1, channels=16, layers=1),
        Stage(op="fused_mbconv", stride=2, expansion_ratio=4, channels=24, layers=1),
        Stage(op="mbconv", kernel_size=5, stride=2, expansion_ratio=4, channels=48, layers=2, se_ratio=0.25),
    ),
    head_channels=192,
)


def recipe_of(epochs: int) -> Recipe:
    """Warm-up, cosine, averaging, label smoothing, crop and mirror."""
    return Recipe(
        epochs=epochs, batch_size=BATCH, resolution=Ramp(SIDE, SIDE), learning_rate=0.032,
        averaging_decay=0.99, warmup_epochs=1.0,
    )  # fmt: skip


def data_of(source: str, images: int) -> DataConfig:
    """A quarter of the images is minival; the same images for both."""
    total = len(open_images(DataConfig(source=source), resolution=SIDE).labels)
    return DataConfig(source=source, fraction=min(1.0, images / total), minival=0.25)


def fast(source: str, images: int, epochs: int, seed: int) -> float:
    """Accuracy at the end, as a trial reports it."""
    device, recipe = torch.device("cpu"), recipe_of(epochs)
    packed = open_images(data_of(source, images), resolution=SIDE)
    precision = choose_precision(recipe.precision, device, reference=NETWORK, resolution=SIDE).precision
    torch.manual_seed(seed)
    step = TrainingStep(build_network(NETWORK, num_classes=10), recipe, device=device, precision=precision)
    resident = ResidentImages(packed, device)
    ends = [
        event
        for event in train(step, recipe, images_at=lambda _: resident, epochs=epochs, seed=seed)
        if isinstance(event, EpochEnd)
    ]
    return ends[-1].minival_accuracy


def augmented(pixels: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """One picture, padded by an eighth with grey, cropped and mirrored by Pillow."""
    picture, padding = Image.fromarray(pixels), SIDE // 8
    picture = ImageOps.expand(picture, padding, (128, 128, 128))
    left, top = rng.integers(0, 2 * padding + 1, 2)
    picture = picture.crop((left, top, left + SIDE, top + SIDE))
    return ImageOps.mirror(picture) if rng.random() < 0.5 else picture


def batch_of(pictures: list[Any]) -> Tensor:
    """(B, 3, H, W) in -1 to 1."""
    stacked = np.stack([np.asarray(picture, dtype=np.float32) for picture in pictures])
    return torch.from_numpy((stacked - 128) / 128).permute(0, 3, 1, 2).contiguous()


class PlainOptimizer:
    """TensorFlow's RMSProp and moving averages, one tensor at a time."""

    def __init__(self, network: nn.Module, recipe: Recipe) -> None:
        self.recipe, self.network, self.updates = recipe, network, 0
        self.state = {p: (torch.ones_like(p), torch.zeros_like(p)) for p in network.parameters()}
        self.averages = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One update of all parameters, then of the averages."""
        recipe = self.recipe
        for parameter, (square, velocity) in self.state.items():
            assert parameter.grad is not None
            gradient = parameter.grad
            if parameter.dim() > 1:
                gradient = gradient + recipe.weight_decay * parameter
            square.copy_(recipe.rms_decay * square + (1 - recipe.rms_decay) * gradient**2)
            velocity.copy_(recipe.momentum * velocity + rate * gradient / (square + recipe.epsilon).sqrt())
            parameter -= velocity
        decay = min(recipe.averaging_decay, (1 + self.updates) / (10 + self.updates))
        for name, tensor in self.network.state_dict().items():
            if tensor.is_floating_point():
                self.averages[name].copy_(decay * self.averages[name] + (1 - decay) * tensor)
        self.updates += 1


def rate_at(step: int, steps: int, recipe: Recipe) -> float:
    """Linear warm-up over the first epochs, else a cosine from step 0."""
    peak = recipe.learning_rate * recipe.batch_size / 256
    warm_up = recipe.warmup_epochs * steps
    if step < warm_up:
        return peak * step / warm_up
    return peak * (1 + math.cos(math.pi * step / (steps * recipe.epochs))) / 2


def plain(source: str, images: int, epochs: int, seed: int) -> float:
    """The same training, as a textbook would write it."""
    recipe, rng = recipe_of(epochs), np.random.default_rng(seed)
    packed = open_images(data_of(source, images), resolution=SIDE)
    torch.manual_seed(seed + 1_000_000)  # weights of its own: the runs are independent
    network = as_plain(build_network(NETWORK, num_classes=10))
    optimizer = PlainOptimizer(network, recipe)
    labels = torch.from_numpy(np.asarray(packed.labels)).long()
    steps = len(packed.train) // BATCH
    for epoch in range(epochs):
        network.train()
        order = rng.permutation(packed.train)
        for i in range(steps):
            chosen = order[i * BATCH : (i + 1) * BATCH]
            inputs = batch_of([augmented(np.asarray(packed.images[j]), rng) for j in chosen])
            network.zero_grad()
            loss = functional.cross_entropy(
                network(inputs), labels[chosen], label_smoothing=recipe.label_smoothing
            )
            loss.backward()
            optimizer.step(rate_at(epoch * steps + i, steps, recipe))
    network.load_state_dict(optimizer.averages)
    network.eval()
    correct = 0
    with torch.no_grad():
        for chosen in np.array_split(packed.minival, max(1, len(packed.minival) // 256)):
            predicted = network(batch_of([packed.images[j] for j in chosen])).argmax(1)
            correct += int((predicted == labels[chosen]).sum())
    return correct / len(packed.minival)


SIDES = {"fast": fast, "plain": plain}


def run(request: tuple[str, str, int, int, int]) -> tuple[str, float]:
    """One training, in a process of one thread."""
    torch.set_num_threads(1)
    keep_freed_memory()
    side, *arguments = request
    return side, SIDES[side](*arguments)


def requests(arguments: argparse.Namespace) -> Iterator[tuple[str, str, int, int, int]]:
    """Both sides in turn."""
    for seed in range(arguments.seeds):
        for side in SIDES:
            yield side, arguments.source, arguments.images, arguments.epochs, seed


def main() -> None:
    """Prints each accuracy, the means and their difference in standard errors; exits 1 beyond two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--images", type=int, default=8000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    open_images(data_of(arguments.source, arguments.images), resolution=SIDE)  # packed once
    accuracies: dict[str, list[float]] = {side: [] for side in SIDES}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for side, accuracy in pool.map(run, requests(arguments)):
            accuracies[side].append(accuracy)
            print(f"{side:<6} {accuracy:.4f}", flush=True)
    means = {side: statistics.mean(values) for side, values in accuracies.items()}
    errors = {side: statistics.stdev(v) / math.sqrt(len(v)) for side, v in accuracies.items()}
    difference, error = means["fast"] - means["plain"], math.hypot(*errors.values())
    for side in SIDES:
        print(f"{side:<6} mean {means[side]:.4f} (s.e. {errors[side]:.4f}), n = {len(accuracies[side])}")
    print(f"difference {difference:+.4f}, {abs(difference) / error:.1f} standard errors of {error:.4f}")
    if arguments.json:
        facts = {**vars(arguments), "accuracies": accuracies, "torch": torch.__version__}
        arguments.json.write_text(json.dumps(facts, indent=1, default=str))
    sys.exit(int(abs(difference) > 2 * error))


if __name__ == "__main__":
    main()
