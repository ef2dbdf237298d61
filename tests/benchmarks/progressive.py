"""Progressive against constant image size: the same network, epochs and images; time, accuracy, estimate.

    python tests/benchmarks/progressive.py SOURCE [--test TEST] [--seeds 4] [--epochs 12] [--stages 4]
        [--resolution 32] [--images 4000] [--architecture FILE]

*progressive* trains by `cifar10`'s ramps (resolution from half to whole, with regularisation growing),
*constant* at the whole size with the last stage's regularisation. Runs of both take turns, each seed once. Of
each: seconds of training, best accuracy on minival, how far the estimate made before it was off, and how long
the first step of a stage took beyond a usual one. Differences by seed, with 95 % intervals.
"""

import argparse
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis.seed_curves import interval
from nas.training.config import TrainingConfig
from nas.training.train import train_fully
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import read_yaml
from trials.images.config import DataConfig
from trials.images.packed import open_images
from trials.recipe import Ramp, Recipe


def recipes(arguments: argparse.Namespace) -> dict[str, Recipe]:
    """Both, equal in the last stage."""
    whole = float(arguments.resolution)
    progressive = replace(
        read_yaml(Recipe, "cifar10"),
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        num_training_stages=arguments.stages,
        resolution=Ramp(whole / 2, whole),
        warmup_epochs=1,
        averaging_decay=0.99,
        randaugment=Ramp(0, arguments.randaugment),
    )
    ends = {
        name: Ramp(ramp.end, ramp.end) for name, ramp in vars(progressive).items() if isinstance(ramp, Ramp)
    }
    return {"progressive": progressive, "constant": replace(progressive, num_training_stages=1, **ends)}


def main() -> None:
    """Trains in turn, prints the differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--stages", type=int, default=4)
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--randaugment", type=float, default=0, help="its magnitude in the last stage")
    parser.add_argument("--architecture", default="efficientnetv2-b0")
    parser.add_argument("--stem-stride", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    architecture = replace(
        read_yaml(Architecture, arguments.architecture), stem_stride=arguments.stem_stride, provenance=None
    )
    total = len(open_images(DataConfig(source=arguments.source), resolution=arguments.resolution).labels)
    data = DataConfig(source=arguments.source, fraction=min(1.0, arguments.images / total), minival=0.25)
    found: dict[str, list[dict[str, Any]]] = {"progressive": [], "constant": []}
    for seed in range(arguments.seeds):
        for name, recipe in list(recipes(arguments).items())[:: 1 if seed % 2 else -1]:
            folder = Path(tempfile.mkdtemp())
            config = TrainingConfig(architecture=architecture, data=data, recipe=recipe, seed=seed)
            result = train_fully(config, folder / "run")
            shutil.rmtree(folder)
            images = [metrics.images_per_second for metrics in result.metrics]
            found[name].append(
                {
                    "seconds": sum(metrics.train_seconds for metrics in result.metrics),
                    "accuracy": result.metrics[-1].minival_accuracy,
                    "best": result.accuracy,
                    "estimate_off": result.seconds / result.estimated_seconds - 1,
                    "images_per_second": images,
                }
            )
            last = found[name][-1]
            print(
                f"seed {seed} {name:11s}  {last['seconds']:6.1f} s  accuracy {last['accuracy']:.4f}  "
                f"estimate off {last['estimate_off']:+.1%}",
                flush=True,
            )
    time = np.array([p["seconds"] / c["seconds"] - 1 for p, c in zip(*found.values(), strict=True)])
    accuracy = np.array([p["accuracy"] - c["accuracy"] for p, c in zip(*found.values(), strict=True)])
    off = np.array([abs(run["estimate_off"]) for runs in found.values() for run in runs])
    for label, values in (("time", time), ("accuracy", accuracy)):
        mean, half = interval(values)
        print(f"{label}: progressive - constant {mean:+.4f} +- {half or 0:.4f} (95 %, n = {len(values)})")
    print(f"estimate off by {np.mean(off):.1%} (mean), {np.max(off):.1%} at most, n = {len(off)}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
