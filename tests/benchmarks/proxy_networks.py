"""Networks whose accuracy is known, and images for them: what proxies of accuracy are measured on."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from proxy_scores import Chain
from torch import Tensor, nn

from search_spaces.choices.space import SearchSpace
from search_spaces.networks.counting import count, count_module
from search_spaces.networks.network import build_network
from search_spaces.settings.yaml_files import read_yaml
from trials.images.sources import open_source

CLASSES = 10
MACRO_STAGES, MACRO_CHANNELS, MACRO_HEAD = (2, 3, 3), 32, 1280


@dataclass(frozen=True)
class Counted:
    """Known of a network without computing anything with it."""

    params: int
    macs: int
    activations: int
    depth: int  # blocks


@dataclass(frozen=True)
class Networks:
    """Networks of one table.

    Attributes:
        choices: (networks, decisions).
        accuracy: (networks), 0-1; NaN where it is not known yet.
        build: a fresh network of choices.
        counted: its counts.
        side: of its images, in pixels.
    """

    choices: np.ndarray
    accuracy: np.ndarray
    build: Callable[[Sequence[int]], Chain]
    counted: Callable[[Sequence[int]], Counted]
    side: int


def of_space(space: str, table: Path | None, *, side: int) -> Networks:
    """All networks of a small space of ours; accuracies are those of the table's column `accuracy`."""
    found = read_yaml(SearchSpace, space)
    if table is None:
        rows = list(np.ndindex(*found.num_options))
        accuracy = np.full(len(rows), np.nan)
    else:
        frame = pd.read_parquet(table)
        rows = [tuple(int(i) for i in choices) for choices in frame["choices"]]
        accuracy = frame["accuracy"].to_numpy(dtype=float)

    def build(choices: Sequence[int]) -> Chain:
        network = build_network(found.decode(choices), num_classes=CLASSES)
        return Chain(network, [network.stem, *network.blocks()])

    def counted(choices: Sequence[int]) -> Counted:
        architecture = found.decode(choices)
        counts = count(architecture, num_classes=CLASSES, resolution=side)
        return Counted(counts.params, counts.macs, counts.activations, len(list(architecture.blocks())))

    return Networks(np.array(rows), accuracy, build, counted, side)


def of_macro(table: Path, *, networks: int, seed: int = 0) -> Networks:
    """Random networks of NAS-Bench-Macro; the accuracy is the mean of their three trainings."""
    frame = pd.read_parquet(table)
    some = np.sort(np.random.default_rng(seed).choice(len(frame), networks, replace=False))
    frame = frame.iloc[some]
    choices = frame[[f"layer{i}" for i in range(sum(MACRO_STAGES))]].to_numpy(dtype=int)

    def counted(choices: Sequence[int]) -> Counted:
        with torch.device("meta"):
            chain = macro_network(choices)
        figures = count_module(chain.whole, 1, 3, 32, 32)
        return Counted(figures.params, figures.macs, figures.activations, len(chain.blocks) - 1)

    return Networks(choices, frame["mean_acc"].to_numpy(dtype=float) / 100, macro_network, counted, 32)


def macro_network(choices: Sequence[int]) -> Chain:
    """A network of NAS-Bench-Macro (Su et al. 2021, arXiv 2103.11922): 0 identity, 1 k3 e3, 2 k5 e6."""
    channels = MACRO_CHANNELS
    stem = nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
    )
    blocks: list[nn.Module] = []
    each = iter(choices)
    for layers in MACRO_STAGES:
        for layer in range(layers):
            stride, out = (2, 2 * channels) if layer == 0 else (1, channels)
            match int(next(each)):
                case 0 if layer > 0:
                    pass
                case 0:  # where the shape changes, an identity is a projection
                    blocks.append(
                        nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
                    )
                case option:
                    blocks.append(_Inverted(channels, out, stride, *((3, 3) if option == 1 else (5, 6))))
            channels = out
    head = nn.Sequential(
        nn.Conv2d(channels, MACRO_HEAD, 1, bias=False),
        nn.BatchNorm2d(MACRO_HEAD),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(MACRO_HEAD, CLASSES),
    )
    return Chain(nn.Sequential(stem, *blocks, head), [stem, *blocks])


class _Inverted(nn.Module):
    """MobileNetV2's block with ReLU and without squeeze-excite."""

    def __init__(self, channels: int, out: int, stride: int, kernel: int, expansion: int) -> None:
        super().__init__()
        width = channels * expansion
        self.branch = nn.Sequential(
            nn.Conv2d(channels, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, kernel, stride, kernel // 2, groups=width, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.has_residual = stride == 1

    def forward(self, features: Tensor) -> Tensor:
        branch: Tensor = self.branch(features)
        return features + branch if self.has_residual else branch


# ---------------------------------------------------------------------- images


def batches_of(
    source: str | None, *, side: int, size: int, count: int, seed: int
) -> list[tuple[Tensor, Tensor]]:
    """Batches of standardised images (size, 3, side, side) and labels; without a source, of noise."""
    rng = np.random.default_rng([seed, 28])
    if source is None:
        images = rng.standard_normal((count * size, 3, side, side), dtype=np.float32)
        labels = rng.integers(CLASSES, size=count * size)
    else:
        opened = open_source(source)
        positions = np.sort(rng.choice(len(opened.labels), count * size, replace=False))
        images = np.stack([_pixels(encoded, side) for _, encoded in opened.read(positions)])
        mixed = rng.permutation(count * size)
        images, labels = images[mixed], opened.labels[positions][mixed]
        images = images - images.mean((0, 2, 3), keepdims=True)
        images = images / images.std((0, 2, 3), keepdims=True)
    pairs = zip(np.split(images, count), np.split(np.asarray(labels), count), strict=True)
    return [(torch.from_numpy(i), torch.from_numpy(k.astype(np.int64))) for i, k in pairs]


def _pixels(encoded: object, side: int) -> np.ndarray:
    """An encoded image as (3, side, side)."""
    if isinstance(encoded, bytes):
        picture = Image.open(io.BytesIO(encoded))
    else:
        picture = Image.fromarray(np.asarray(encoded))
    resized = picture.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.float32).transpose(2, 0, 1) / 255
