"""What strategies are compared on: a table of real trainings, and larger stage spaces made by seed.

Each problem gives the outcomes of a search's seed: a table's are the same for all seeds, a synthetic space is
another one for each.
"""

import argparse
import math
from functools import lru_cache
from pathlib import Path

import numpy as np

from nas.simulation.outcome_table import OutcomeTable, known_outcomes, read_table
from nas.simulation.simulate import KnownOutcomes
from search_spaces.choices.choice_space import Choices, ChoiceSpace
from trials.reward import Reward
from trials.trial import Outcome

REWARDS = {"accuracy": Reward({}), "reward": Reward({"step_time_ratio": -0.07, "params": -0.05})}

# ---------------------------------------------------------------------- a table


def problem_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser of the arguments that choose a problem: a table, or synthetic ones."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--table", type=Path, help="Parquet: choices, accuracies of several runs, params")
    where.add_argument("--synthetic", action="store_true", help="20-40 decisions, 1e9-1e12 architectures")
    parser.add_argument("--accuracy", default="test_acc_*", help="the table's columns of runs")
    parser.add_argument("--seconds", default="flops", help="the table's column of durations and step time")
    return parser


def table_problem(path: str, accuracy: str, seconds: str, objective: str, *, seed: int = 0) -> KnownOutcomes:
    """A search sees one run; what it recommends is evaluated by the mean of the others.

    Which run that is goes by the seed: the noise of one is the same for all searches that see it, and whoever
    finds its luckiest architecture would win or lose with all seeds alike.
    """
    table = _table(path, accuracy, seconds)
    seen = seed % len(table.accuracies)
    others = np.delete(table.accuracies, seen, axis=0).mean(axis=0)
    return known_outcomes(table, REWARDS[objective], runs=[seen], expected_accuracies=others)


@lru_cache(maxsize=1)
def _table(path: str, accuracy: str, seconds: str) -> OutcomeTable:
    table = read_table(Path(path), named={"accuracy": accuracy, "seconds": seconds})
    if len(table.accuracies) < 2:
        raise ValueError(
            f"{path}: {accuracy} is one run; at least two are needed, one to see, one to judge by"
        )
    return table


# ---------------------------------------------------------------------- made by seed

FEWEST_DECISIONS, MOST_DECISIONS = 20, 40
LOG_SIZES = (9.0, 12.0)  # decimal
MOST_OPTIONS = 5
STAGE_DECISIONS = 5  # op, kernel, expansion, channels, layers
MIDDLE = 0.75  # accuracy of the median architecture
ACCURACY_SPREAD = 0.025  # standard deviation between architectures
RUN_NOISE = 0.004  # standard deviation of one training
STEP_SPREAD, PARAMS_SPREAD = 0.35, 0.5  # standard deviations of logarithms
PAIR_SCALE = 0.5  # of a pair's effects, to the geometric mean of its decisions' own
STARTS = 12  # climbs by which the best architecture is found
SECONDS = 600.0  # of the median trial


@lru_cache(maxsize=4)
def synthetic_problem(seed: int, objective: str) -> KnownOutcomes:
    """A stage space of 20 to 40 decisions and 1e9 to 1e12 architectures; accuracy is evaluated without noise.

    The logit of accuracy is a sum of effects of options and of pairs of decisions (of one stage, and some of
    neighbouring stages), step time and parameters are products; larger options tend to be better, slower and
    larger. Some decisions matter much more than others.
    """
    space = _StageSpace(seed)
    reward = REWARDS[objective]

    def worth(accuracy: float, costs: np.ndarray) -> float:
        ratios = {"step_time_ratio": math.exp(costs[0]), "params": math.exp(costs[1])}
        return reward.of(accuracy, ratios.__getitem__)

    def outcome(choices: Choices, search_seed: int, trial_id: int) -> Outcome:
        logit, costs = space.evaluate(choices)
        luck = np.random.default_rng([search_seed, trial_id, 9]).standard_normal()
        accuracy = _sigmoid(logit + RUN_NOISE / (MIDDLE * (1 - MIDDLE)) * luck)
        return Outcome(
            status="completed",
            reward=worth(accuracy, costs),
            accuracy=accuracy,
            step_time_ratio=math.exp(costs[0]),
            params=math.exp(costs[1]),
        )

    def expected_reward(choices: Choices) -> float:
        logit, costs = space.evaluate(choices)
        return worth(_sigmoid(logit), costs)

    def known(choices: Choices) -> dict[str, float]:
        _, costs = space.evaluate(choices)
        return {"params": math.exp(costs[1]), "macs": math.exp(costs[2])}

    return KnownOutcomes(
        space=ChoiceSpace(space.num_options, known=known),
        outcome=outcome,
        seconds=lambda choices: SECONDS * math.exp(space.evaluate(choices)[1][0]),
        expected_reward=expected_reward,
        best=space.best(dict(reward.terms)),
    )


class _StageSpace:
    """Effects of every option, and of every pair that interacts, drawn from a seed."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 2021])
        self.num_options = _options(rng)
        counts = self.num_options
        weights = rng.lognormal(0.0, 0.8, len(counts))
        costs = [np.sort(rng.normal(0, 1, (3, count)), axis=1) for count in counts]
        # (step time, parameters, MACs): MACs follow step time, which is what makes them a stand-in.
        for cost in costs:
            cost[2] = 0.8 * cost[0] + 0.2 * cost[2]
        own = [
            w * (0.5 * c[:2].mean(axis=0) + 0.7 * rng.normal(0, 1, c.shape[1]))
            for w, c in zip(weights, costs, strict=True)
        ]
        self._pairs = _pairs(len(counts), rng)
        effects = [
            PAIR_SCALE * math.sqrt(weights[i] * weights[j]) * rng.normal(0, 1, (counts[i], counts[j]))
            for i, j in self._pairs
        ]
        # One long vector each, and where in it each decision's or pair's effects begin.
        self._starts = np.cumsum([0, *counts[:-1]])
        self._own = np.concatenate(own)
        self._costs = np.concatenate(
            [c * w for c, w in zip(costs, rng.lognormal(0, 0.5, len(counts)), strict=True)], axis=1
        )
        self._pair_starts = np.cumsum([0, *(e.size for e in effects[:-1])])
        self._pair_effects = np.concatenate([e.ravel() for e in effects])
        self._first = np.array([i for i, _ in self._pairs])
        self._second = np.array([j for _, j in self._pairs])
        self._width = np.array([counts[j] for _, j in self._pairs])
        self._scale(rng)

    def _scale(self, rng: np.random.Generator) -> None:
        """Brings accuracies and costs to their medians and spreads over uniform architectures."""
        drawn = rng.integers(self.num_options, size=(2_000, len(self.num_options)))
        scores, costs = self._raw(drawn)
        spread = ACCURACY_SPREAD / (MIDDLE * (1 - MIDDLE))  # of the logit
        self._slope, self._middle = spread / scores.std(), float(np.median(scores))
        spreads = np.array([STEP_SPREAD, PARAMS_SPREAD, STEP_SPREAD])
        self._cost_slopes, self._cost_middles = spreads / costs.std(axis=0), np.median(costs, axis=0)

    def _raw(self, choices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, decisions) to scores (n) and costs (n, 3)."""
        places = self._starts + choices
        pairs = self._pair_starts + choices[:, self._first] * self._width + choices[:, self._second]
        scores = self._own[places].sum(axis=1) + self._pair_effects[pairs].sum(axis=1)
        return scores, self._costs[:, places].sum(axis=2).T

    def evaluate_all(self, choices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits of accuracy (n), and logarithms of the ratios of step time, parameters and MACs (n, 3)."""
        scores, costs = self._raw(choices)
        logits = math.log(MIDDLE / (1 - MIDDLE)) + self._slope * (scores - self._middle)
        return logits, self._cost_slopes * (costs - self._cost_middles)

    def evaluate(self, choices: Choices) -> tuple[float, np.ndarray]:
        logits, costs = self.evaluate_all(np.array([choices]))
        return float(logits[0]), costs[0]

    def best(self, terms: dict[str, float]) -> float:
        """The highest reward that climbs from several places reach: of one decision at a time, noise-free."""
        exponents = np.array([terms.get("step_time_ratio", 0.0), terms.get("params", 0.0), 0.0])

        def rewards(choices: np.ndarray) -> np.ndarray:
            logits, costs = self.evaluate_all(choices)
            return np.asarray(np.exp(costs @ exponents) / (1 + np.exp(-logits)))

        rng = np.random.default_rng(0)
        reached = []
        for _ in range(STARTS):
            at, value = rng.integers(self.num_options), -np.inf
            while True:
                around = np.array(
                    [
                        [*at[:i], o, *at[i + 1 :]]
                        for i, count in enumerate(self.num_options)
                        for o in range(count)
                    ]
                )
                values = rewards(around)
                if values.max() <= value:
                    break
                at, value = around[values.argmax()], float(values.max())
            reached.append(value)
        return max(reached)


def _options(rng: np.random.Generator) -> tuple[int, ...]:
    log_size = rng.uniform(*LOG_SIZES)
    most = math.floor(log_size / math.log10(2))
    counts = np.full(rng.integers(FEWEST_DECISIONS, min(MOST_DECISIONS, most) + 1), 2)
    while np.log10(counts).sum() < log_size:
        growing = np.flatnonzero(counts < MOST_OPTIONS)
        place = rng.choice(growing)
        if np.log10(counts).sum() + math.log10((counts[place] + 1) / counts[place]) > LOG_SIZES[1]:
            break
        counts[place] += 1
    return tuple(counts.tolist())


def _pairs(decisions: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """All pairs within a stage, and a fifth of those between neighbouring stages."""
    pairs = []
    for i in range(decisions):
        for j in range(i + 1, decisions):
            apart = j // STAGE_DECISIONS - i // STAGE_DECISIONS
            if apart == 0 or (apart == 1 and rng.random() < 0.2):
                pairs.append((i, j))
    return pairs


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))
