"""Successive halving against the same strategy without it, on real trainings: epochs saved at equal reward.

    python tests/benchmarks/halving.py ../shared/data/cifar10_jpeg/train.parquet --seconds 200
    python tests/benchmarks/halving.py --curves runs/halving/curves.json

All architectures of a small space are trained for all epochs, twice, at a constant rate after warm-up: the
curve of a short trial that is continued is exactly that of a long one, so searches can be told any length of
it. Each search is then run many times on these curves, in other orders: it sees one training, and what it
recommends is evaluated by the other. Accuracies are of averaged weights; the reward is the paper's, with MACs
for step time.

Saved are 1 - (epochs that halving takes to the mean reward that the plain strategy has after --at whole
trainings) / (the epochs of these), with the 95 % interval of a bootstrap over searches. Also Kendall's tau
between the rewards at each rung and at the end. Training stops after --seconds; what is complete is used.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a process for each core, and a thread in each

import argparse
import json
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from analysis.intervals import resampled
from analysis.rank_correlation import kendall_tau
from nas.simulation.simulate import KnownOutcomes, recommended, simulate_search
from nas.strategies.table import build_strategy
from search_spaces.choices.choice_space import Choices, ChoiceSpace
from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import from_mapping, read_yaml
from trials.images.config import DataConfig
from trials.measurement import StepTime
from trials.recipe import Recipe
from trials.reward import REWARDABLE, Reward
from trials.run_trial import start_worker
from trials.trial import Outcome, RunTrial, Slot, Trial, TrialResult
from trials.worker_setup import WorkerSetup

EPOCHS = 9
RECIPE = {
    "epochs": EPOCHS, "batch_size": 64, "resolution": 16, "schedule": "constant", "warmup_epochs": 0.5,
    "averaging_decay": 0.99, "label_smoothing": 0.1,
}  # fmt: skip
REWARD = Reward({"macs": -0.07, "params": -0.05})
TRAININGS = 2  # of each architecture: one is seen, the other judges
OPTIONS: dict[tuple[int, str], list[Any]] = {  # 48 architectures of five decisions, out of `tiny`
    (1, "op"): ["mbconv", "fused_mbconv"],
    (1, "kernel_size"): [3, 5],
    (1, "expansion_ratio"): [1, 4],
    (2, "expansion_ratio"): [1, 4],
    (3, "layers"): [1, 2, 3],
}
BENEATH: dict[str, dict[str, Any]] = {
    "random_search": {"name": "random_search"},
    "evolution": {"name": "evolution", "population": 8, "tournament": 4},
}
RUNGS = {"3, 9": {"eta": 3, "min_epochs": 3}, "1, 3, 9": {"eta": 3, "min_epochs": 1}}

# ---------------------------------------------------------------------- trainings


@dataclass(frozen=True)
class Trained:
    """One architecture's trainings: accuracies by epoch, and ratios to the reference."""

    choices: list[int]
    curves: list[list[float]]  # (TRAININGS, EPOCHS)
    ratios: dict[str, float]
    epoch_seconds: float


def architecture_of(choices: Sequence[int]) -> Architecture:
    reference = read_yaml(SearchSpace, "tiny").reference
    mapping = json.loads(json.dumps(asdict(reference.without_provenance()), default=str))
    for ((stage, field), options), choice in zip(OPTIONS.items(), choices, strict=True):
        mapping["stages"][stage][field] = options[choice]
    mapping = {key: value for key, value in mapping.items() if value is not None}
    return from_mapping(Architecture, mapping, name="architecture")


_run_trial: RunTrial  # of a worker's process


def _start(data: DataConfig) -> None:
    global _run_trial
    setup = WorkerSetup(data=data, reference=read_yaml(SearchSpace, "tiny").reference)
    _run_trial = start_worker(Slot(index=0), setup=setup)


def train_both(choices: tuple[int, ...], deadline: float) -> Trained | None:
    """None where there was no time left."""
    results = []
    for seed in range(TRAININGS):
        if time.time() > deadline:
            return None
        trial = Trial(
            trial_id=0,
            choices=choices,
            architecture=architecture_of(choices),
            recipe=from_mapping(Recipe, RECIPE, name="recipe"),
            epochs=EPOCHS,
            seed=seed,
            step_time=NO_STEP_TIME,
        )
        *_, result = _run_trial(trial)
        assert isinstance(result, TrialResult)
        assert result.measurement is not None, result.error
        results.append(result)
    measured = results[0].measurement
    assert measured is not None
    return Trained(
        choices=list(choices),
        curves=[[end.minival_accuracy for end in result.epochs] for result in results],
        ratios={name: REWARDABLE[name](measured) for name in REWARD.terms},
        epoch_seconds=float(np.mean([end.train_seconds for result in results for end in result.epochs])),
    )


NO_STEP_TIME = StepTime(
    step_seconds=1.0, step_seconds_p10=1.0, step_seconds_p90=1.0, step_time_ratio=1.0,
    step_time_ratio_spread=0.0, reference_step_seconds=1.0, timing_seconds=0.0, device="none", resolution=16,
    batch_size=64, precision="fp32",
)  # fmt: skip


def train_all(data: DataConfig, *, processes: int, seconds: float) -> list[Trained]:
    """In a random order, as many architectures as there is time for."""
    every = list(product(*(range(len(options)) for options in OPTIONS.values())))
    order = np.random.default_rng(0).permutation(len(every))
    context = multiprocessing.get_context("spawn")
    deadline = time.time() + seconds
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_start, initargs=(data,)) as pool:
        found = pool.map(partial(train_both, deadline=deadline), [every[i] for i in order])
        return [trained for trained in found if trained is not None]


# ---------------------------------------------------------------------- searches on their curves


def known_curves(trained: list[Trained], seen: int) -> KnownOutcomes:
    """A search sees one training of each architecture; the other judges."""
    by_choices = {tuple(each.choices): each for each in trained}

    def reward(choices: Choices, accuracy: float) -> float:
        return REWARD.of(accuracy, by_choices[choices].ratios.__getitem__)

    def outcome(choices: Choices, seed: int, trial_id: int) -> Outcome:
        accuracy = by_choices[choices].curves[seen][-1]
        ratios = by_choices[choices].ratios
        return Outcome(
            status="completed",
            reward=reward(choices, accuracy),
            accuracy=accuracy,
            step_time_ratio=ratios["macs"],
            params=ratios["params"],
        )

    def expected_reward(choices: Choices) -> float:
        others = [curve[-1] for i, curve in enumerate(by_choices[choices].curves) if i != seen]
        return reward(choices, float(np.mean(others)))

    return KnownOutcomes(
        space=ChoiceSpace.from_table(list(by_choices)),
        outcome=outcome,
        seconds=lambda choices: EPOCHS * by_choices[choices].epoch_seconds,
        expected_reward=expected_reward,
        epochs=EPOCHS,
        curve=lambda choices, seed, trial_id: by_choices[choices].curves[seen],
    )


def rewards_of(trained: list[Trained], strategy: dict[str, Any], *, searches: int, at: int) -> np.ndarray:
    """(searches, at): what a search would recommend after the epochs of 1, 2, ... whole trainings."""
    settings = {key: value for key, value in strategy.items() if key != "name"}
    found = []
    for seed in range(searches):
        known = known_curves(trained, seed % TRAININGS)
        built = build_strategy(strategy["name"], known.space, seed=seed, epochs=EPOCHS, settings=settings)
        ends = simulate_search(known, built, seed=seed, trials=at)
        found.append(recommended(ends, known.expected_reward, trials=at))
    return np.array(found)


def trainings_to(rewards: np.ndarray, target: float) -> float:
    """After how many whole trainings' epochs the mean reward is there, by straight lines; at least all."""
    mean = rewards.mean(axis=0)
    reached = np.flatnonzero(mean >= target)
    if not len(reached):
        return float(len(mean))
    after = int(reached[0])
    if after == 0:
        return 1.0
    share = (target - mean[after - 1]) / (mean[after] - mean[after - 1])
    return float(after + share)


def compared(trained: list[Trained], *, searches: int, at: int) -> dict[str, Any]:
    """For each strategy beneath and each set of rungs: the rewards and the epochs saved."""
    figures: dict[str, Any] = {}
    for name, beneath in BENEATH.items():
        plain = rewards_of(trained, beneath, searches=searches, at=at)
        figures[name] = {"reward": float(plain[:, -1].mean())}
        for rungs, settings in RUNGS.items():
            halving = {"name": "successive_halving", "over": beneath, **settings}
            halved = rewards_of(trained, halving, searches=searches, at=2 * at)

            def saved(i: np.ndarray, plain: np.ndarray = plain, halved: np.ndarray = halved) -> float:
                return 1 - trainings_to(halved[i], float(plain[i, -1].mean())) / at

            figures[name][rungs] = {
                "reward": float(halved[:, at - 1].mean()),
                "saved": resampled(saved, searches)._asdict(),
            }
    return figures


def agreement(trained: list[Trained]) -> dict[str, dict[str, float]]:
    """Kendall's tau between rewards after fewer and after all epochs, of the same and of another training."""

    def rewards(epoch: int, training: int) -> list[float]:
        return [REWARD.of(each.curves[training][epoch - 1], each.ratios.__getitem__) for each in trained]

    return {
        str(epoch): {
            "same": kendall_tau(rewards(epoch, 0), rewards(EPOCHS, 0)),
            "another": kendall_tau(rewards(epoch, 0), rewards(EPOCHS, 1)),
        }
        for epoch in (1, 3, EPOCHS)
    }


def main() -> None:
    """Trains or reads curves; prints and writes figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source", nargs="?", help="Parquet of images")
    parser.add_argument("--curves", type=Path, help="of an earlier run, instead of training")
    parser.add_argument("--fraction", type=float, default=0.06, help="of the images; half of them judge")
    parser.add_argument("--seconds", type=float, default=200.0, help="of training, at most")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--searches", type=int, default=200)
    parser.add_argument("--at", type=int, default=16, help="whole trainings of the plain strategy")
    parser.add_argument("--output", type=Path, default=Path("runs/halving"))
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    if arguments.curves:
        trained = [Trained(**each) for each in json.loads(arguments.curves.read_text())]
    elif arguments.source:
        data = DataConfig(source=arguments.source, fraction=arguments.fraction, minival=0.5)
        trained = train_all(data, processes=arguments.processes, seconds=arguments.seconds)
        (arguments.output / "curves.json").write_text(json.dumps([asdict(each) for each in trained]))
    else:
        parser.error("a Parquet of images, or --curves, is needed")
    print(f"{len(trained)} architectures, {TRAININGS} trainings of {EPOCHS} epochs each")
    at = min(arguments.at, len(trained) // 2)
    figures = {"tau": agreement(trained), **compared(trained, searches=arguments.searches, at=at)}
    (arguments.output / "figures.json").write_text(json.dumps(figures, indent=1))
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
