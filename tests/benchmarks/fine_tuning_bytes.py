"""Bytes that a fine-tuning writes, by a made-up clock: states now and then, against a state after each epoch.

    python tests/benchmarks/fine_tuning_bytes.py efficientnetv2-s --images 2040

Nothing is trained and nothing is written: the states are those of the network, the epochs end by the clock.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "fixtures"))

from clocks import Clock
from training_states import PROGRESS

from nas.training.checkpoints import TrainingFolder
from nas.training.evaluated_epochs import epochs_per_evaluation, is_evaluated
from nas.training.saving import StateSaver
from nas.training.suited_batch import suited_batch
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import read_yaml
from trials.log.durable_files import DurableFiles
from trials.recipe import Recipe
from trials.recipe_stages import steps_of_epoch
from trials.training.step import build_step
from trials.training.weights_file import copied_weights

CPU, CLASSES = torch.device("cpu"), 102


class Counting(DurableFiles):
    """Files that are counted, and not written."""

    written = 0

    def write(self, path: Path, data: bytes, *, durable: bool = True) -> None:
        """Counts the bytes."""
        self.written += len(data)


def written(
    network: Architecture, recipe: Recipe, *, epochs: int, steps: int, step_seconds: float
) -> tuple[int, int, float]:
    """Bytes, evaluations and seconds of a fine-tuning in which each evaluation is the best so far."""
    step = build_step(network, recipe, num_classes=CLASSES, device=CPU, precision="fp32")
    state, (weights, facts) = step.state(), copied_weights(step.network, network)
    every, stages = epochs_per_evaluation(steps=steps, epochs=epochs), recipe.training_stages(epochs)
    clock, counted, evaluations = Clock(), Counting(), 0
    with TemporaryDirectory() as folder:
        files = TrainingFolder(Path(folder))
        files.files = counted
        saver = StateSaver(files, clock=clock)
        for epoch in range(1, epochs + 1):
            clock.sleep(steps * step_seconds)
            if is_evaluated(epoch, every=every, stages=stages):
                evaluations += 1
                saver.keep(state, replace(PROGRESS, epoch=epoch), {"best": (weights, facts)})
                saver.write_if_due(is_last=epoch == epochs)
    return counted.written, evaluations, clock.now


def main() -> None:
    """Prints the bytes of both ways, for several times of a step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("architecture", nargs="?", default="efficientnetv2-s")
    parser.add_argument("--images", type=int, default=2040)
    parser.add_argument("--step-seconds", type=float, nargs="+", default=[0.1, 0.25, 1.0])
    arguments = parser.parse_args()
    network, asked = read_yaml(Architecture, arguments.architecture), read_yaml(Recipe, "finetune")
    # A state after each epoch, with the batch that the recipe asks for.
    state = build_step(network, asked, num_classes=CLASSES, device=CPU, precision="fp32").state()
    size = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    epochs = asked.epochs_for(steps_of_epoch(arguments.images, asked.batch_size))
    print(f"a state {size / 1e6:,.0f} MB; after each of {epochs:,} epochs {epochs * size / 1e12:.2f} TB")
    # As it is.
    recipe = suited_batch(asked, images=arguments.images)
    steps = steps_of_epoch(arguments.images, recipe.batch_size)
    epochs = recipe.epochs_for(steps)
    for step_seconds in arguments.step_seconds:
        count, evaluations, seconds = written(
            network, recipe, epochs=epochs, steps=steps, step_seconds=step_seconds
        )
        print(
            f"{step_seconds:g} s a step: {epochs * steps:,} steps in {seconds / 60:,.0f} min, "
            f"{evaluations} evaluations, {count / 1e9:.2f} GB"
        )


if __name__ == "__main__":
    main()
