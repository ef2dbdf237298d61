"""The optimizers of a recipe: what a step costs with each, and whether each one trains.

    python tests/benchmarks/optimizers.py time [--architecture FILE] [--repeats 7] [--batch-size 128]
    python tests/benchmarks/optimizers.py accuracy SOURCE [--images 5000] [--network tiny|small] [--seeds 3]

*time*: the step of one network with each optimizer beside its step with RMSProp, as a trial measures it
(alternating, CPU time of one thread), the optimizers in turn; median ratio of the repeats, least and most.
*accuracy*: a quarter of the images is minival; at each optimizer's usual learning rate, a third and three
times of it. Mean accuracy of the averaged weights after the last epoch, and standard deviation over seeds.
It shows that each optimizer trains, and is no comparison: nothing else is tuned for any of them.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import get_args

import torch
from equal_accuracy import NETWORK

from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import read_yaml
from trials.images.config import DataConfig
from trials.images.device_images import ResidentImages
from trials.images.packed import open_images
from trials.recipe import Ramp, Recipe
from trials.recipe_optimizer import USUAL, OptimizerName
from trials.timing.precision import choose_precision
from trials.timing.step_time import TimedStep, measure_step_time
from trials.training.step import TrainingStep, build_step
from trials.training.synthetic_batch import SyntheticBatch
from trials.training.train import EpochEnd, train

CPU = torch.device("cpu")
NAMES = get_args(OptimizerName)
RATE = 0.016  # of RMSProp
CLASSES = 10


def recipe_of(name: OptimizerName, arguments: argparse.Namespace, *, factor: float = 1.0) -> Recipe:
    """Warm-up, cosine, averaging, label smoothing; the optimizer's usual settings."""
    side = float(arguments.resolution)
    rate = USUAL[name].get("learning_rate", RATE) * factor
    return Recipe(
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        resolution=Ramp(side, side),
        optimizer=name,
        learning_rate=rate,
        averaging_decay=0.99,
        flip=arguments.source != "digits",  # of which a mirrored one is another one
    )


def time_steps(arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Ratios to RMSProp's step of each optimizer's, RMSProp itself among them."""
    architecture = read_yaml(SearchSpace, arguments.architecture).reference
    side = arguments.resolution
    precision = choose_precision("auto", CPU, reference=architecture, resolution=side).precision
    batch = SyntheticBatch.random(
        batch_size=arguments.batch_size, resolution=side, num_classes=CLASSES, device=CPU
    )

    def step(name: OptimizerName) -> TrainingStep:
        torch.manual_seed(0)
        recipe = recipe_of(name, arguments)
        return build_step(architecture, recipe, num_classes=CLASSES, device=CPU, precision=precision)

    reference = TimedStep(step("rmsprop"), batch)
    steps = {name: TimedStep(step(name), batch) for name in NAMES}
    params = reference.step.parameters.values.numel()
    print(
        f"{arguments.architecture}: {params:,} parameters, {precision}, batch {len(batch.labels)}, {side} px"
    )
    found: dict[str, list[float]] = {name: [] for name in NAMES}
    for _ in range(arguments.repeats):
        for name, timed in steps.items():
            measured = measure_step_time(timed, reference, batch, max_seconds=arguments.seconds)
            found[name].append(measured.step_time_ratio)
    for name, ratios in found.items():
        low, high = min(ratios), max(ratios)
        print(f"{name:8s} {statistics.median(ratios):.3f}  {low:.3f} to {high:.3f}, n = {len(ratios)}")
    print(f"RMSProp's step: {1000 * (measured.reference_step_seconds or 0):.1f} ms")
    return found


def accuracies(arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Accuracies of each optimizer at each of its rates, by seed."""
    side = arguments.resolution
    total = len(open_images(DataConfig(source=arguments.source), resolution=side).labels)
    data = DataConfig(source=arguments.source, fraction=min(1.0, arguments.images / total), minival=0.25)
    images = ResidentImages(open_images(data, resolution=side), CPU)
    network: Architecture = NETWORK
    if arguments.network != "small":
        network = read_yaml(SearchSpace, arguments.network).reference
    precision = choose_precision("auto", CPU, reference=network, resolution=side).precision
    found: dict[str, list[float]] = {}
    for factor in (1.0, 1 / 3, 3.0):
        for name in NAMES:
            recipe = recipe_of(name, arguments, factor=factor)
            row = found[f"{name} {recipe.learning_rate:.3g}"] = []
            for seed in range(arguments.seeds):
                torch.manual_seed(seed)
                step = build_step(network, recipe, num_classes=CLASSES, device=CPU, precision=precision)
                events = train(step, recipe, images_at=lambda _: images, epochs=recipe.epochs, seed=seed)
                row.append([event for event in events if isinstance(event, EpochEnd)][-1].minival_accuracy)
            mean, spread = statistics.mean(row), statistics.stdev(row) if len(row) > 1 else 0.0
            print(
                f"{name:8s} {recipe.learning_rate:<8.3g} {mean:.3f} +- {spread:.3f}, n = {len(row)}",
                flush=True,
            )
    return found


def main() -> None:
    """Times steps or trains, prints a row for each optimizer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("part", choices=["time", "accuracy"])
    parser.add_argument("source", nargs="?", default="digits")
    parser.add_argument("--architecture", default="cifar", help="a space, whose reference network is timed")
    parser.add_argument("--network", default="small", help="small, or a space, whose reference is trained")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each timing")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = time_steps(arguments) if arguments.part == "time" else accuracies(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
