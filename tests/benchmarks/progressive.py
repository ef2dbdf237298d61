"""Progressive against constant image size: the same network, epochs and images; time, accuracy, estimate.

    python tests/benchmarks/progressive.py SOURCE [--test TEST] [--arms progressive constant ...] [--seeds 4]
        [--first-seed 0] [--epochs 8] [--stages 3] [--final-share 0.375] [--resolution 32] [--images 11000]
        [--architecture FILE] [--jsonl FILE] [--png FILE]

*progressive* trains at half to the whole size as `--final-share` says, *constant* at the whole size; all else
is the same, also the plateau of the learning rate and the strengths of regularisation of every epoch.
*constant_shorter* is constant in as many whole epochs as progressive's time allows (`--equal-time`, rounded
up), *constant_cosine* has a cosine over all steps, *equal_stages* is Algorithm 1's: equal stages, and that
cosine. Arms take turns, each seed once. Seconds are those of training steps, without evaluation; accuracy is
that of the test images or, without them, of minival after the last epoch. Differences are by seed, with 95 %
intervals.
"""

import argparse
import json
import shutil
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import nas.training.estimate
from analysis.seed_curves import interval
from nas.training.config import TrainingConfig
from nas.training.train import train_fully
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import read_yaml
from trials.images.config import DataConfig
from trials.images.packed import open_images
from trials.recipe import Ramp, Recipe

ARMS = ("progressive", "constant", "constant_shorter", "constant_cosine", "equal_stages")
STRENGTHS = ("dropout", "randaugment", "mixup", "cutmix")


def recipes(arguments: argparse.Namespace) -> dict[str, Recipe]:
    """The recipes of all arms."""
    whole, share = float(arguments.resolution), arguments.final_share
    strengths = {name: Ramp(0, 0) for name in STRENGTHS} | {"stochastic_depth": 0.0, "cutout": 0.0}
    progressive = replace(
        read_yaml(Recipe, "cifar10"),
        **({} if arguments.regularized else strengths),
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        warmup_epochs=1,
        averaging_decay=arguments.averaging_decay,
        crop_padding=arguments.crop_padding,
        flip=arguments.source != "digits",  # a mirrored digit is another digit
        resolution=Ramp(whole / 2, whole),
        num_training_stages=arguments.stages,
        final_share=share,
        decay_share=share,
        batch_norm_batches=arguments.batch_norm_batches,
        precision=arguments.precision,
    )
    constant = replace(progressive, resolution_schedule="constant")
    return {
        "progressive": progressive,
        "constant": constant,
        "constant_shorter": replace(constant, epochs=-(-arguments.epochs * arguments.equal_time // 100)),
        "constant_cosine": replace(constant, decay_share=1.0),
        "equal_stages": replace(progressive, final_share=0.0, decay_share=1.0),
    }


def train_once(
    recipe: Recipe, arguments: argparse.Namespace, data: DataConfig, *, seed: int
) -> dict[str, Any]:
    """Figures of one training, whose files are removed."""
    architecture = read_yaml(Architecture, arguments.architecture).without_provenance()
    if arguments.stem_stride:
        architecture = replace(architecture, stem_stride=arguments.stem_stride)
    config = TrainingConfig(
        architecture=architecture, data=data, recipe=recipe, seed=seed, test=arguments.test
    )
    folder = Path(tempfile.mkdtemp())
    try:
        result = train_fully(config, folder / "run")
    finally:
        shutil.rmtree(folder)
    metrics = result.metrics
    return {
        "seconds": sum(epoch.train_seconds for epoch in metrics),
        "accuracy": metrics[-1].minival_accuracy if result.test is None else result.test.accuracy,
        "estimate_off": result.seconds / result.estimated_seconds - 1 if arguments.estimate else None,
        "curve": [(epoch.resolution, epoch.minival_accuracy, epoch.train_seconds) for epoch in metrics],
    }


def changes_of_size(curve: list[Any]) -> list[float]:
    """The gain of accuracy on minival from the epoch before each change of size to the one after it."""
    return [after[1] - before[1] for before, after in pairwise(curve) if after[0] != before[0]]


def report(found: dict[str, list[dict[str, Any]]], arguments: argparse.Namespace) -> None:
    """Prints each arm's figures, and progressive's differences to the others."""
    for name, runs in found.items():
        seconds, accuracy = (np.array([run[key] for run in runs]) for key in ("seconds", "accuracy"))
        print(f"{name:16s} {seconds.mean():6.1f} s  accuracy {accuracy.mean():.4f}  n = {len(runs)}")
    for name in [name for name in found if name != "progressive"]:
        pairs = list(zip(found["progressive"], found[name], strict=True))
        time = np.array([ours["seconds"] / other["seconds"] - 1 for ours, other in pairs])
        accuracy = np.array([ours["accuracy"] - other["accuracy"] for ours, other in pairs])
        for label, values in (("time", time), ("accuracy", accuracy)):
            mean, half = interval(100 * values)
            figures = f"{mean:+.2f} +- {half or 0:.2f} {'%' if label == 'time' else 'points'}"
            print(f"{label}: progressive - {name} {figures} (95 %, n = {len(pairs)})")
    gains = 100 * np.array([changes_of_size(run["curve"]) for run in found["progressive"]])
    print(f"an epoch after a change of size: {gains.mean(axis=0).round(1)} points, worst {gains.min():+.1f}")
    if arguments.estimate:
        off = np.array([abs(run["estimate_off"]) for runs in found.values() for run in runs])
        print(f"estimate off by {off.mean():.1%} (mean), {off.max():.1%} at most, n = {len(off)}")


def draw(path: Path, found: dict[str, list[dict[str, Any]]]) -> None:
    """Mean accuracy on minival against seconds of training, by arm."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 3.2), layout="constrained")
    for name, runs in found.items():
        curves = np.array(
            [[(seconds, 100 * accuracy) for _, accuracy, seconds in run["curve"]] for run in runs]
        )
        seconds, accuracies = curves.mean(axis=0).T
        axes.plot(np.cumsum(seconds), accuracies, marker=".", label=name.replace("_", ", "))
    axes.set(xlabel="seconds of training", ylabel="accuracy on minival (%)")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=90)


def main() -> None:
    """Trains in turn, prints the differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--test", help="images that accuracies are of (default: minival)")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=["progressive", "constant"])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--stages", type=int, default=3)
    parser.add_argument("--final-share", type=float, default=0.375)
    parser.add_argument("--equal-time", type=int, default=70, help="percent of constant's epochs")
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=0.064, help="per 256 images")
    parser.add_argument("--averaging-decay", type=float, default=0.99)
    parser.add_argument("--batch-norm-batches", type=int, default=8, help="0: running statistics")
    parser.add_argument("--crop-padding", type=float, default=0.125)
    parser.add_argument("--regularized", action="store_true", help="with the strengths of cifar10")
    parser.add_argument("--images", type=int, default=11_000)
    parser.add_argument("--minival", type=float, default=0.1)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--architecture", default="efficientnetv2-b0")
    parser.add_argument("--stem-stride", type=int)
    parser.add_argument("--estimate", action="store_true", help="estimates each training before it begins")
    parser.add_argument("--jsonl", type=Path, help="a line for each training; those that are there are kept")
    parser.add_argument("--png", type=Path)
    arguments = parser.parse_args()
    if not arguments.estimate:
        nas.training.estimate.SECONDS = 0.0
    total = len(open_images(DataConfig(source=arguments.source), resolution=arguments.resolution).labels)
    fraction = min(1.0, arguments.images / total)
    data = DataConfig(source=arguments.source, fraction=fraction, minival=arguments.minival)
    planned = recipes(arguments)
    lines = arguments.jsonl.read_text().splitlines() if arguments.jsonl and arguments.jsonl.exists() else []
    done = {(run["arm"], run["seed"]): run for run in map(json.loads, lines)}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in arguments.arms}
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        for name in arguments.arms[:: 1 if seed % 2 else -1]:
            run = done.get((name, seed)) or train_once(planned[name], arguments, data, seed=seed)
            found[name].append(run)
            if arguments.jsonl and (name, seed) not in done:
                with arguments.jsonl.open("a") as file:
                    file.write(json.dumps({"arm": name, "seed": seed, **run}) + "\n")
            print(f"seed {seed} {name:16s} {run['seconds']:6.1f} s  {run['accuracy']:.4f}", flush=True)
    report(found, arguments)
    if arguments.png:
        draw(arguments.png, found)


if __name__ == "__main__":
    main()
