"""Full trainings by recipe, with repeats: what the commands that train have in common."""

import argparse
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from paper_tables import save_figure
from pydantic import ValidationError

import nas.training.estimate
from analysis.plots import COLOURS
from analysis.seed_curves import interval
from nas.training.config import TrainingConfig
from nas.training.train import train_fully
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import read_yaml
from trials.images.chosen_images import find_images
from trials.images.config import DataConfig
from trials.recipe import Ramp, Recipe

# The paper's schedule, whatever a short recipe does to the sizes and the rate.
EQUAL_STAGES: dict[str, Any] = {"final_share": 0.0, "decay_share": 1.0}
STRENGTHS = ("dropout", "randaugment", "mixup", "cutmix")  # the ramps that regularise


def add_training(parser: argparse.ArgumentParser) -> None:
    """The flags of commands that train."""
    parser.add_argument("source", nargs="?", default="digits", help="images, as for nas train --data")
    parser.add_argument("--recipe", default="cifar10", help="what is not varied; the paper's: full_s")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, help="per 256 images (default: the recipe's)")
    parser.add_argument("--averaging-decay", type=float, help="of averaged weights (default: the recipe's)")
    parser.add_argument("--seeds", type=int, default=5, help="repeats of everything")
    parser.add_argument("--images", type=int, help="so many of them (default: all)")
    parser.add_argument("--minival", type=float, default=0.2, help="share by which trainings are evaluated")
    parser.add_argument("--stem-stride", type=int, choices=(1, 2), help="1 for small images (not ResNets)")


@dataclass(frozen=True)
class Training:
    """One training: seconds of training alone, the accuracies of its averaged weights by epoch."""

    seconds: tuple[float, ...]  # since its beginning, at each epoch's end
    accuracies: tuple[float, ...]

    @property
    def accuracy(self) -> float:
        return self.accuracies[-1]

    def seconds_until(self, accuracy: float) -> float:
        """To the end of the first epoch that is as good; its whole length where none is."""
        reached = (at for at, found in zip(self.seconds, self.accuracies, strict=True) if found >= accuracy)
        return next(reached, self.seconds[-1])


def base_recipe(arguments: Any, **changes: Any) -> Recipe:
    """The named recipe, as long and in such batches as asked for, in the paper's equal stages."""
    recipe = read_yaml(Recipe, arguments.recipe)
    epochs = max(arguments.epochs, changes.get("num_training_stages", recipe.num_training_stages))
    length = {"epochs": epochs, "batch_size": arguments.batch_size, "min_steps": 0}
    warmup = {"warmup_epochs": min(recipe.warmup_epochs, epochs / 4)}
    for name in ("learning_rate", "averaging_decay"):
        if (given := getattr(arguments, name)) is not None:
            changes = {name: given, **changes}
    if arguments.source == "digits":
        changes = {"flip": False, **changes}  # a mirrored digit is another digit
    return replace(recipe, **{**EQUAL_STAGES, **length, **warmup, **changes})


def at_its_end(recipe: Recipe) -> Recipe:
    """One stage, everything as in the recipe's last one."""
    ramps = {name: value for name, value in vars(recipe).items() if isinstance(value, Ramp)}
    constant = {name: Ramp(ramp.end, ramp.end) for name, ramp in ramps.items()}
    return replace(recipe, num_training_stages=1, **constant)


def network_of(name: str, arguments: Any) -> Architecture:
    """A published network or a file, without its provenance, with the stem that was asked for."""
    architecture = read_yaml(Architecture, name).without_provenance()
    if arguments.stem_stride and architecture.kind is None:
        architecture = replace(architecture, stem_stride=arguments.stem_stride)
    return architecture


@contextmanager
def refused(parser: argparse.ArgumentParser) -> Iterator[None]:
    """What cannot be read or trained ends the command with a sentence, before anything has been trained."""
    try:
        yield
    except ValidationError as error:
        parser.error("; ".join(found["msg"].removeprefix("Value error, ") for found in error.errors()))
    except ValueError as error:  # of a file, a name, or the images
        parser.error(str(error))


def config_of(architecture: Architecture, recipe: Recipe, *, seed: int, arguments: Any) -> TrainingConfig:
    """The training that `trained` does; ValueError where its images are not there or it cannot be done."""
    there = len(find_images(DataConfig(source=arguments.source)).labels)
    fraction = min(1.0, arguments.images / there) if arguments.images else 1.0
    data = DataConfig(source=arguments.source, fraction=fraction, minival=arguments.minival)
    return TrainingConfig(architecture=architecture, data=data, recipe=recipe, seed=seed)


def trained(architecture: Architecture, recipe: Recipe, *, seed: int, arguments: Any) -> Training:
    """One training from scratch; its files are removed."""
    config = config_of(architecture, recipe, seed=seed, arguments=arguments)
    nas.training.estimate.SECONDS = 0.0  # its estimate is of no use here
    folder = Path(tempfile.mkdtemp(prefix="paper-"))
    try:
        metrics = train_fully(config, folder / "run").metrics
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    seconds = np.cumsum([epoch.train_seconds for epoch in metrics])
    return Training(tuple(seconds.tolist()), tuple(epoch.minival_accuracy for epoch in metrics))


def shown(values: Sequence[float], *, percent: bool = True) -> str:
    """Mean and half the 95 % interval, in percent."""
    mean, half = interval(np.array(values))
    factor, digits = (100, 2) if percent else (1, 3)
    more = f" ± {factor * half:.{digits}f}" if half is not None else ""
    return f"{factor * mean:.{digits}f}{more}"


def difference(name: str, first: Sequence[float], second: Sequence[float], *, unit: str = "points") -> str:
    """The mean difference of two lists by seed, with its 95 % interval."""
    values = 100 * (np.array(first) - np.array(second))
    mean, half = interval(values)
    more = f" ± {half:.2f} (95 %)" if half is not None else ""
    return f"{name}: {mean:+.2f}{more} {unit}, n = {len(values)}"


def draw_curves(path: Path | None, curves: dict[str, list[Training]], *, title: str) -> None:
    """Accuracy against seconds of training, the mean over seeds, where a picture was asked for."""

    def draw(axes: Any) -> None:
        for i, (name, trainings) in enumerate(curves.items()):
            seconds = np.mean([one.seconds for one in trainings], axis=0)
            accuracies = 100 * np.mean([one.accuracies for one in trainings], axis=0)
            axes.plot(seconds, accuracies, label=name, color=COLOURS[i % len(COLOURS)])
        axes.set(
            xlabel="seconds of training",
            ylabel="minival accuracy (%), mean over seeds",
            title=title,
        )
        axes.legend()

    save_figure(path, draw)
