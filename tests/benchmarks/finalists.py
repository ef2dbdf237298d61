"""Finalists: longer trainings of the leaders against repeats of short ones, at equal epochs.

    python tests/benchmarks/finalists.py FILE.jsonl [--search quick] [--pools 8] [--networks 12]
        [--leaders 10] [--epochs 2] [--repeats 3] [--evaluation-epochs 18] [--evaluations 2]
        [--set key.path=value ...]

Of each pool of networks, drawn uniformly from the space, every one has a trial, and the leaders by its reward
are the finalists. One of them is chosen in three ways: by the trial; by the mean of `repeats` trainings of
`epochs` epochs each; by one training of `repeats` times `epochs` epochs. What was chosen is trained anew with
other seeds for `evaluation-epochs`; its mean reward there is the pool's figure. Pairs are of one pool: the
same networks, trials and evaluations.

S is not measured: multiply-adds stand for it. FILE has a line for each training,
written as it ends; those that are there are not trained again, so that it goes on where it was stopped.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from analysis.intervals import mean
from analysis.rank_correlation import kendall_tau
from nas.search.config import SearchConfig, read_search_config
from search_spaces.choices.choice_space import Choices
from trials.images.device_images import ResidentImages
from trials.images.recipe_images import evaluated_images, trained_images
from trials.timing.precision import choose_precision
from trials.training.step import build_step
from trials.training.train import EpochEnd, train

CPU = torch.device("cpu")
TERMS = {"macs": -0.07, "params": -0.05}
WAYS = ("trial", "repeats", "longer")
FIRST_OF = {"trial": 0, "repeats": 100, "longer": 200, "evaluation": 300}  # seeds of each kind, all different


@dataclass(frozen=True)
class Training:
    """One training of a network; equal ones are not repeated."""

    settings: str
    choices: tuple[int, ...]
    epochs: int
    seed: int


class Bench:
    """Accuracies of trainings: of the file, or trained here, and then written into it."""

    def __init__(self, config: SearchConfig, file: Path, settings: str) -> None:
        self.config, self.file, self.settings = config, file, settings
        recipe = config.recipe
        stage = recipe.training_stages()[-1]
        found = trained_images(config.data, recipe, stage.resolution)
        self.classes = found.num_classes
        self.images = ResidentImages(found, CPU)
        self.evaluated = self.images
        if recipe.evaluates_apart:
            apart = evaluated_images(config.data, recipe, recipe.evaluation_size(stage))
            self.evaluated = ResidentImages(apart, CPU)
        self.space = config.space.choice_space(num_classes=self.classes, resolution=stage.resolution)
        self.precision = choose_precision(
            "auto", CPU, reference=config.space.reference, resolution=stage.resolution
        ).precision
        lines = map(json.loads, file.read_text().splitlines() if file.exists() else [])
        self.known = {
            Training(line["settings"], tuple(line["choices"]), line["epochs"], line["seed"]): line["accuracy"]
            for line in lines
        }

    def reward(self, choices: Choices, *, epochs: int, seed: int) -> float:
        """The reward of one training."""
        training = Training(self.settings, tuple(choices), epochs, seed)
        if training not in self.known:
            self.known[training] = self._accuracy(training)
            with self.file.open("a") as file:
                file.write(json.dumps({**asdict(training), "accuracy": self.known[training]}) + "\n")
        known = self.space.known(choices)
        return self.known[training] * float(np.prod([known[name] ** power for name, power in TERMS.items()]))

    def _accuracy(self, training: Training) -> float:
        torch.manual_seed(training.seed)
        step = build_step(
            self.config.space.decode(training.choices), self.config.recipe,
            num_classes=self.classes, device=CPU, precision=self.precision,
        )  # fmt: skip
        ends = train(
            step, self.config.recipe, images_at=lambda _: self.images,
            evaluated_at=lambda _: self.evaluated, epochs=training.epochs, seed=training.seed,
        )  # fmt: skip
        return [event for event in ends if isinstance(event, EpochEnd)][-1].minival_accuracy


@dataclass(frozen=True)
class PoolFigures:
    """Rewards of what each way has chosen of one pool, trained anew, and how each way ranks the finalists."""

    evaluated: dict[str, float]
    chosen: dict[str, Choices]
    tau: float  # Kendall's, between the ranking by repeats and by longer trainings


def pool_figures(bench: Bench, pool: int, arguments: argparse.Namespace) -> PoolFigures:
    """Trials, finalists and evaluations of one pool."""
    rng = np.random.default_rng(pool)
    networks: list[Choices] = []
    while len(networks) < arguments.networks:
        drawn = bench.space.canonical(bench.space.sample(rng))
        if drawn not in networks:
            networks.append(drawn)

    def rewards(choices: Choices, kind: str, *, epochs: int, count: int) -> list[float]:
        first = 1000 * pool + FIRST_OF[kind]
        return [bench.reward(choices, epochs=epochs, seed=first + i) for i in range(count)]

    short, each = arguments.epochs, arguments.repeats
    trial = {net: rewards(net, "trial", epochs=short, count=1)[0] for net in networks}
    leaders = sorted(networks, key=lambda net: -trial[net])[: arguments.leaders]
    scores = {
        "trial": [trial[net] for net in leaders],
        "repeats": [float(np.mean(rewards(net, "repeats", epochs=short, count=each))) for net in leaders],
        "longer": [rewards(net, "longer", epochs=each * short, count=1)[0] for net in leaders],
    }
    chosen = {way: leaders[int(np.argmax(scores[way]))] for way in WAYS}
    evaluations = {"epochs": arguments.evaluation_epochs, "count": arguments.evaluations}
    evaluated = {
        way: float(np.mean(rewards(net, "evaluation", **evaluations))) for way, net in chosen.items()
    }
    return PoolFigures(evaluated, chosen, kendall_tau(scores["repeats"], scores["longer"]))


def report(found: Sequence[PoolFigures]) -> None:
    """Prints means over pools and paired differences with 95 % intervals."""
    evaluated = {way: np.array([each.evaluated[way] for each in found]) for way in WAYS}
    for way in WAYS:
        print(f"chosen by {way:8s} evaluated reward {evaluated[way].mean():.4f}   n = {len(found)} pools")
    for first, second in (("longer", "repeats"), ("longer", "trial"), ("repeats", "trial")):
        paired = mean(evaluated[first] - evaluated[second])
        same = sum(each.chosen[first] == each.chosen[second] for each in found)
        print(
            f"{first} - {second}: {paired.value:+.4f} [{paired.low:+.4f}, {paired.high:+.4f}], "
            f"the same network in {same} of {len(found)}"
        )
    print(f"Kendall's tau of repeats and longer trainings: {np.mean([each.tau for each in found]):.2f}")


def main() -> None:
    """Trains what is missing, pool by pool, and prints after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--search", default="quick")
    parser.add_argument("--pools", type=int, default=8)
    parser.add_argument("--networks", type=int, default=12)
    parser.add_argument("--leaders", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--evaluation-epochs", type=int, default=18)
    parser.add_argument("--evaluations", type=int, default=2)
    parser.add_argument("--set", nargs="*", default=[])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    overrides = [f"recipe.epochs={arguments.epochs}", *arguments.set]
    config = read_search_config(arguments.search, overrides=overrides)
    bench = Bench(config, arguments.file, " ".join([arguments.search, *overrides]))
    found = []
    for pool in range(arguments.pools):
        found.append(pool_figures(bench, pool, arguments))
        print(f"pool {pool}: {found[-1].evaluated}", flush=True)
    report(found)


if __name__ == "__main__":
    main()
