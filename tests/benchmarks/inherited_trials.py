"""Rankings by trials that inherit weights against rankings by trials from scratch.

    python tests/benchmarks/inherited_trials.py SOURCE -o trials.jsonl [--space tiny] [--recipe proxy_cifar]
        [--fraction 0.1] [--minival 0.4] [--own 4] [--parents 6] [--children 30] [--changes 3] [--seed 0]

Random parents train from scratch. Each child differs from one of them by 1 to CHANGES random decisions, and
trains from scratch with two seeds; with its parent's weights of OWN epochs before the end, for these last
epochs of the schedule; and, with --restart, for as long by a schedule of its own, from these weights and
from the parent's last ones. What is in the file is not trained again. Prints Kendall's tau of accuracies
with those from scratch (the mean over both seeds), that of the two seeds, and that of the parents' own
accuracies.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.intervals import resampled
from analysis.rank_correlation import kendall_tau
from search_spaces.choices.choice_space import Choices
from search_spaces.choices.space import SearchSpace
from search_spaces.inheritance.weight_maps import weight_map
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import read_yaml
from trials.devices.device import claim
from trials.images.config import DataConfig
from trials.images.recipe_images import DeviceImages
from trials.recipe import Recipe
from trials.training.inherited_weights import inherit
from trials.training.seeds import WEIGHTS, derived_seed
from trials.training.step import TrainingStep, build_step
from trials.training.train import EpochEnd, train
from trials.trial import Slot
from trials.worker_setup import WorkerSetup

FROM_SCRATCH, PARENTS, INHERITED = 7_000, 1_000, 9_000  # seeds begin here


class Bench:
    """Trains networks of one space on one set of images."""

    def __init__(self, space: SearchSpace, recipe: Recipe, data: DataConfig) -> None:
        self.recipe = recipe
        setup = WorkerSetup(
            data=data, reference=space.reference, recipe=recipe, resolutions=recipe.image_sizes
        )
        self.device = claim(Slot(index=0))
        self.images = DeviceImages(recipe, self.device, trained=setup.images_at, evaluated=setup.evaluated_at)
        self.images.open_evaluated()
        self.classes = len(self.images.trained_at(recipe.image_sizes[-1]).classes)

    def fresh(self, architecture: Architecture, seed: int) -> TrainingStep:
        """A new network with the weights of a seed."""
        torch.manual_seed(derived_seed(seed, WEIGHTS))
        return build_step(
            architecture, self.recipe, num_classes=self.classes, device=self.device, precision="fp32"
        )

    def trained(
        self,
        step: TrainingStep,
        seed: int,
        *,
        recipe: Recipe | None = None,
        first: int = 0,
        keep: Sequence[int] = (),
    ) -> tuple[float, dict[int, dict[str, Tensor]]]:
        """Trains to the recipe's end; the accuracy on minival, and the states after some epochs."""
        recipe, accuracy, kept = recipe or self.recipe, 0.0, {}
        for event in train(
            step,
            recipe,
            images_at=self.images.trained_at,
            evaluated_at=self.images.evaluated_at,
            epochs=recipe.epochs,
            seed=seed,
            first_epoch=first,
            is_evaluated=lambda epoch: epoch == recipe.epochs or epoch in keep,
        ):
            if isinstance(event, EpochEnd):
                accuracy = event.minival_accuracy
                if event.epoch in keep:
                    kept[event.epoch] = step.state()
        return accuracy, kept


def drawn(
    space: SearchSpace, rng: np.random.Generator, *, parents: int, children: int, changes: int
) -> tuple[list[Choices], list[tuple[int, Choices]]]:
    """Random parents, and children as (their parent's place, choices)."""
    found = [tuple(int(i) for i in rng.integers(0, space.num_options)) for _ in range(parents)]
    kids = []
    for child in range(children):
        parent, count = child % parents, 1 + (child // parents) % changes
        choices = list(found[parent])
        for place in rng.choice(len(choices), count, replace=False):
            options = space.num_options[place]
            choices[place] = int((choices[place] + rng.integers(1, options)) % options)
        kids.append((parent, tuple(choices)))
    return found, kids


def summary(rows: list[dict[str, Any]]) -> list[str]:
    """A line for each way to train a child: its tau, and how far it is off."""
    first, second = (np.array([row[name] for row in rows]) for name in ("first", "second"))

    def tau(values: np.ndarray, i: np.ndarray) -> float:
        pairs = (kendall_tau(values[i].tolist(), other[i].tolist()) for other in (first, second))
        return sum(pairs) / 2

    seeds = resampled(lambda i: kendall_tau(first[i].tolist(), second[i].tolist()), len(rows))
    lines = [f"{'two seeds from scratch':<28} tau {seeds.value:.2f} [{seeds.low:.2f}, {seeds.high:.2f}]"]
    names = [name for name in rows[0] if name not in ("child", "first", "second", "distance")]
    for name in names:
        values = np.array([row[name] for row in rows])
        found = resampled(lambda i, values=values: tau(values, i), len(rows))  # type: ignore[misc]
        bias = float((values - (first + second) / 2).mean())
        lines.append(
            f"{name:<28} tau {found.value:.2f} [{found.low:.2f}, {found.high:.2f}]  bias {bias:+.4f}"
        )
    return [*lines, f"n = {len(rows)}"]


def main() -> None:
    """Trains what is not in the file yet, and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--space", default="tiny")
    parser.add_argument("--recipe", default="proxy_cifar")
    parser.add_argument("--fraction", type=float, default=1.0)
    parser.add_argument("--minival", type=float, default=0.2)
    parser.add_argument("--own", type=int, default=4)
    parser.add_argument("--parents", type=int, default=6)
    parser.add_argument("--children", type=int, default=30)
    parser.add_argument("--changes", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--restart", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    space, recipe = read_yaml(SearchSpace, given.space), read_yaml(Recipe, given.recipe)
    bench = Bench(
        space, recipe, DataConfig(source=given.source, minival=given.minival, fraction=given.fraction)
    )
    parents, children = drawn(
        space,
        np.random.default_rng(given.seed),
        parents=given.parents,
        children=given.children,
        changes=given.changes,
    )
    rows = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    own = replace(recipe, epochs=given.own, warmup_epochs=0)
    age, states, accuracies = recipe.epochs - given.own, {}, {}
    for child in range(len(rows), len(children)):
        parent, choices = children[child]
        old, new = space.decode(parents[parent]), space.decode(choices)
        if parent not in states:
            step = bench.fresh(old, PARENTS + parent)
            accuracies[parent], states[parent] = bench.trained(
                step, PARENTS + parent, keep=(age, recipe.epochs)
            )
        changes = weight_map(old, new, num_classes=bench.classes)
        row: dict[str, Any] = {
            "child": child,
            "distance": changes.distance,
            "the parent, from scratch": accuracies[parent],
        }
        for name, seed in (("first", FROM_SCRATCH + child), ("second", 2 * FROM_SCRATCH + child)):
            row[name], _ = bench.trained(bench.fresh(new, seed), seed)
        step, seed = bench.fresh(new, INHERITED + child), INHERITED + child
        inherit(step, changes, states[parent][age], recipe)
        row["inherited"], _ = bench.trained(step, seed, first=age)
        for kept in (age, recipe.epochs) if given.restart else ():
            step = bench.fresh(new, seed)
            inherit(step, changes, states[parent][kept], recipe)
            row[f"restarted after {kept} epochs"], _ = bench.trained(step, seed, recipe=own)
        rows.append(row)
        with given.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(
            f"child {child}: " + ", ".join(f"{k} {v:.4f}" for k, v in row.items() if k != "child"), flush=True
        )
    print("\n".join(summary(rows)))


if __name__ == "__main__":
    main()
