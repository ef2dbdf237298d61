"""Loss and accuracy of networks that begin from another's weights, by what was changed, on digits.

    python tests/benchmarks/inherited_loss.py [--parents 8] [--epochs 8] [--further 2] [-o inherited_loss.csv]

Each parent is a network of the space `tiny`, drawn by its seed and trained for `--epochs` epochs with the
recipe `proxy_digits`. For each kind of change a child differs from it in one stage, drawn among those that
have something to change. Evaluated on minival with averaged weights: the parent; the child as it begins, with
statistics as inherited and as estimated on 8 batches; the child after `--further` epochs of training at a
rate that falls from the recipe's, and the same network from fresh weights after as many.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from search_spaces.choices.space import SearchSpace
from search_spaces.inheritance.weight_maps import weight_map
from search_spaces.networks.architecture import Architecture, Stage
from search_spaces.settings.yaml_files import read_yaml
from trials.images.config import DataConfig
from trials.images.device_images import ResidentImages
from trials.images.packed import open_images
from trials.recipe import Recipe
from trials.training.batch_norm_statistics import add_batch_statistics, take_mean_statistics
from trials.training.inherited_weights import inherit
from trials.training.seeds import WEIGHTS, derived_seed
from trials.training.step import TrainingStep, build_step, evaluate
from trials.training.train import train

CPU = torch.device("cpu")
BATCHES = 8  # on which statistics are estimated

ChangeStage = Callable[[Stage], Stage | None]  # None: there is nothing to change in it
SE = 0.25


def _op(stage: Stage, old: str, new: str, *, old_ratio: int, ratio: int) -> Stage | None:
    """Another op, with squeeze-excite as in the shipped spaces."""
    if (stage.op, stage.expansion_ratio) != (old, old_ratio):
        return None
    return replace(stage, op=new, expansion_ratio=ratio, se_ratio=SE if new == "mbconv" else 0.0)


def _kernel(stage: Stage, old: int, new: int) -> Stage | None:
    return replace(stage, kernel_size=new) if stage.kernel_size == old else None


def _layers(stage: Stage, more: int) -> Stage | None:
    return replace(stage, layers=stage.layers + more) if stage.layers + more > 0 else None


def _channels(stage: Stage, factor: float) -> Stage | None:
    return replace(stage, channels=max(8, round(stage.channels * factor / 8) * 8))


def _squeeze(stage: Stage, ratio: float) -> Stage | None:
    return replace(stage, se_ratio=ratio) if bool(stage.se_ratio) != bool(ratio) else None


def _kinds() -> dict[str, ChangeStage]:
    """Changes of one stage by their names."""
    kinds: dict[str, ChangeStage] = {
        "one layer more": lambda stage: _layers(stage, 1),
        "kernel 3 → 5": lambda stage: _kernel(stage, 3, 5),
        "channels × 1.5": lambda stage: _channels(stage, 1.5),
        "squeeze-excite added": lambda stage: _squeeze(stage, SE),
        "one layer less": lambda stage: _layers(stage, -1),
        "kernel 5 → 3": lambda stage: _kernel(stage, 5, 3),
        "channels / 1.5": lambda stage: _channels(stage, 1 / 1.5),
        "squeeze-excite removed": lambda stage: _squeeze(stage, 0.0),
    }
    names = {"mbconv": "MBConv", "fused_mbconv": "Fused"}
    ratios = {"mbconv": (1, 4, 6), "fused_mbconv": (1, 4, 6)}
    for old, old_ratios in ratios.items():
        for new, new_ratios in ratios.items():
            for before in old_ratios[:2]:
                for ratio in new_ratios:
                    if (old, before) == (new, ratio) or (ratio == 6 and (old != new or before == 1)):
                        continue
                    name = f"{names[old]} {before} → {names[new]} {ratio}"
                    kinds[name] = lambda stage, a=old, b=new, r=before, s=ratio: _op(  # type: ignore[misc]
                        stage, a, b, old_ratio=r, ratio=s
                    )
    return kinds


class Bench:
    """Images, recipe and evaluation."""

    def __init__(self, epochs: int) -> None:
        self.recipe: Recipe = replace(read_yaml(Recipe, "proxy_digits"), epochs=epochs)
        data = DataConfig(source="digits", minival=0.25)
        self.images = ResidentImages(open_images(data, resolution=32), CPU)

    def step(self, architecture: Architecture, *, seed: int) -> TrainingStep:
        """A new network's."""
        torch.manual_seed(derived_seed(seed, WEIGHTS))
        return build_step(
            architecture, self.recipe, num_classes=10, device=CPU, precision="fp32", cuda_graphs=False
        )

    def train(self, step: TrainingStep, epochs: int, *, seed: int) -> None:
        """Trains for so many epochs, at the end of which the rate is zero."""
        recipe = replace(self.recipe, epochs=epochs, warmup_epochs=min(self.recipe.warmup_epochs, epochs / 4))
        for _ in train(
            step, recipe, images_at=lambda side: self.images, epochs=epochs, seed=seed,
            is_evaluated=lambda epoch: False,
        ):  # fmt: skip
            pass

    def evaluated(self, step: TrainingStep, *, estimated: bool = False) -> tuple[float, float]:
        """Loss and accuracy of the averaged weights on minival; leaves the step as it was."""
        state = step.state()
        assert step.average is not None, "the recipe averages weights"
        with step.average.swapped():
            if estimated:
                sums = torch.zeros_like(step.parameters.statistics)
                size = self.recipe.batch_size
                for i in range(BATCHES):
                    chosen = self.images.train[i * size : (i + 1) * size]
                    pixels = self.images.pixels[chosen]
                    add_batch_statistics(step, sums, self.recipe.batch_norm_momentum, pixels)
                take_mean_statistics(step, sums, batches=BATCHES)
            minival = self.images.minival
            sums = torch.zeros(3)
            for part in minival.split(256):
                sums += evaluate(
                    step.network, self.images.pixels[part], self.images.labels[part], device=CPU,
                    precision="fp32",
                )[:3]  # fmt: skip
        step.load(state)
        loss, correct, _ = (sums / len(minival)).tolist()
        return loss, correct


def changed(parent: Architecture, change: ChangeStage, rng: np.random.Generator) -> Architecture | None:
    """The parent with the change in one of the stages that have something to change."""
    found = [(i, new) for i, stage in enumerate(parent.stages) if (new := change(stage)) not in (None, stage)]
    if not found:
        return None
    i, new = found[rng.integers(len(found))]
    stages = (*parent.stages[:i], new, *parent.stages[i + 1 :])
    return replace(parent, stages=stages)  # type: ignore[arg-type]


def rows_of_parent(seed: int, arguments: argparse.Namespace, bench: Bench) -> list[dict[str, Any]]:
    """Trains one parent, and measures a child of each kind that it has."""
    rng = np.random.default_rng([seed, 29])
    space = read_yaml(SearchSpace, "tiny")
    choices = space.choice_space(num_classes=10, resolution=32).sample(rng)
    parent = space.decode(choices)
    step = bench.step(parent, seed=seed)
    bench.train(step, arguments.epochs, seed=seed)
    state: dict[str, Tensor] = step.state()
    loss, accuracy = bench.evaluated(step)
    rows = []
    for name, change in _kinds().items():
        child = changed(parent, change, rng)  # drawn also where it is left out, so that others stay the same
        if child is None or (arguments.only and not any(text in name for text in arguments.only)):
            continue
        weights = weight_map(parent, child, num_classes=10)
        own = bench.step(child, seed=seed + 1000)
        fresh_loss, _ = bench.evaluated(own)
        inherit(own, weights, state, bench.recipe)
        begun, begun_accuracy = bench.evaluated(own)
        estimated, estimated_accuracy = bench.evaluated(own, estimated=True)
        row = {
            "seed": seed, "change": name, "exact": weights.is_exact, "distance": weights.distance,
            "parent": loss, "parent_accuracy": accuracy, "begun": begun, "begun_accuracy": begun_accuracy,
            "estimated": estimated, "estimated_accuracy": estimated_accuracy, "untrained": fresh_loss,
        }  # fmt: skip
        if arguments.further:
            bench.train(own, arguments.further, seed=seed + 1)
            row["after"], row["after_accuracy"] = bench.evaluated(own)
            other = bench.step(child, seed=seed + 1000)
            bench.train(other, arguments.further, seed=seed + 1)
            row["scratch"], row["scratch_accuracy"] = bench.evaluated(other)
        rows.append(row)
    return rows


def main() -> None:
    """Prints a line for each kind of change: means over parents."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parents", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=8, help="of each parent")
    parser.add_argument("--further", type=int, default=2, help="epochs of each child; 0: none")
    parser.add_argument("--only", nargs="+", help="kinds with one of these texts in their name")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(arguments.epochs)
    rows: list[dict[str, Any]] = []
    for seed in range(arguments.parents):
        started = time.perf_counter()
        rows += rows_of_parent(seed, arguments, bench)
        print(f"parent {seed + 1}: {time.perf_counter() - started:.0f} s", flush=True)
    table = pd.DataFrame(rows)
    if arguments.output is not None:
        table.to_csv(arguments.output, index=False)
    groups = table.groupby("change", sort=False)
    means = groups.mean(numeric_only=True).drop(columns=["seed"])
    means.insert(0, "n", groups.size())
    with pd.option_context("display.width", 250, "display.max_columns", 30):
        print(means.round(3).to_string())


if __name__ == "__main__":
    main()
