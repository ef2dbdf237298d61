"""A made-up objective over the networks of the shipped `cifar` space, which is not of the predictor's class.

Accuracy saturates with each stage's capacity (layers, expansion, kernel, op), suffers from the weakest
stage, has a best receptive field and a penalty on size, and every network has a share of its own. Parameters
and MACs are the real networks'; the step time follows MACs and the number of depthwise layers.
"""

import hashlib
import math
from functools import lru_cache

import numpy as np
from problems import MIDDLE, REWARDS, RUN_NOISE, SECONDS

from nas.simulation.simulate import KnownOutcomes
from search_spaces.choices.choice_space import Choices
from search_spaces.choices.space import SearchSpace
from search_spaces.settings.yaml_files import read_yaml
from trials.trial import Outcome

SPREAD = 0.03  # standard deviation of accuracies over uniform networks
DRAWN = 300  # networks from which scale and middle are taken
OWN = 0.05  # standard deviation of a network's own share, before scaling
CLIMBS = 8  # by which the best network is found


class _Objective:
    """The score of a network, by constants drawn from a seed."""

    def __init__(self, seed: int, stages: int) -> None:
        rng = np.random.default_rng([seed, 4711])
        self._seed = seed
        self._gain, self._slack = rng.lognormal(0, 0.5, stages), rng.uniform(0.6, 1.6, stages)
        self._kernel, self._fused = rng.normal(0.15, 0.25, stages), rng.normal(0.1, 0.25, stages)
        self._expansion = rng.uniform(0.5, 1.2, stages)
        self._field, self._field_weight = rng.uniform(14, 26), rng.uniform(0.02, 0.12)
        self._bottleneck, self._size = rng.uniform(0.1, 0.5), rng.uniform(0.05, 0.3)

    def score(self, stages: np.ndarray, params: float, choices: Choices) -> float:
        """The score, from rows of (fused, 5x5 kernel, log expansion / log 6, layers)."""
        fused, large, expansion, layers = stages.T
        capacity = layers * (0.5 + self._expansion * expansion)
        capacity = capacity * (1 + self._kernel * large + self._fused * fused)
        field = float((layers * (2 + 2 * large)).sum())
        name = hashlib.blake2b(repr((self._seed, choices)).encode(), digest_size=8).digest()
        own = np.random.default_rng(int.from_bytes(name, "little")).standard_normal()
        return float(
            -(self._gain * np.exp(-capacity / self._slack)).sum() / 3
            - self._bottleneck * max(0.0, 0.8 - float(capacity.min()))
            - self._field_weight * ((field - self._field) / 8) ** 2
            - self._size * max(0.0, math.log(params)) ** 2
            + OWN * own
        )


@lru_cache(maxsize=4)
def network_problem(seed: int, objective: str) -> KnownOutcomes:
    """The objective of a seed; what is recommended is evaluated without noise."""
    networks = read_yaml(SearchSpace, "cifar")
    space = networks.choice_space(num_classes=10, resolution=32)
    reward, function = REWARDS[objective], _Objective(seed, len(networks.stages))

    def stages_of(choices: Choices) -> np.ndarray:
        stages = networks.decode(choices).stages
        return np.array(
            [
                (s.op == "fused_mbconv", s.kernel_size == 5, math.log(s.expansion_ratio, 6), s.layers)
                for s in stages
            ],
            dtype=float,
        )

    rng = np.random.default_rng([seed, 1])
    drawn = [space.sample(rng) for _ in range(DRAWN)]
    scores = [function.score(stages_of(each), space.known(each)["params"], each) for each in drawn]
    middle, slope = float(np.median(scores)), SPREAD / (MIDDLE * (1 - MIDDLE)) / float(np.std(scores))

    @lru_cache(maxsize=100_000)
    def evaluate(choices: Choices) -> tuple[float, float, float]:
        """Logit of the accuracy, and logarithms of the ratios of step time and parameters."""
        stages, known = stages_of(choices), space.known(choices)
        logit = math.log(MIDDLE / (1 - MIDDLE))
        logit += slope * (function.score(stages, known["params"], choices) - middle)
        depthwise = float(((1 - stages[:, 0]) * stages[:, 3]).sum())
        early = float((stages[:2, 1] * stages[:2, 3]).sum())
        step = 0.7 * math.log(known["macs"]) + 0.25 * math.log(1 + depthwise / 6) + 0.1 * early / 3
        return logit, step, math.log(known["params"])

    def worth(logit: float, step: float, params: float) -> float:
        ratios = {"step_time_ratio": math.exp(step), "params": math.exp(params)}
        return reward.of(1 / (1 + math.exp(-logit)), ratios.__getitem__)

    def outcome(choices: Choices, search_seed: int, trial_id: int) -> Outcome:
        logit, step, params = evaluate(choices)
        luck = np.random.default_rng([search_seed, trial_id, 9]).standard_normal()
        logit += RUN_NOISE / (MIDDLE * (1 - MIDDLE)) * luck
        return Outcome(
            status="completed",
            reward=worth(logit, step, params),
            accuracy=1 / (1 + math.exp(-logit)),
            step_time_ratio=math.exp(step),
            params=math.exp(params),
        )

    def expected_reward(choices: Choices) -> float:
        return worth(*evaluate(choices))

    def climbed() -> float:
        """The highest reward that a climb from a random network reaches."""
        at = space.sample(rng)
        while (best := max(space.neighbours(at), key=expected_reward)) and (
            expected_reward(best) > expected_reward(at)
        ):
            at = best
        return expected_reward(at)

    return KnownOutcomes(
        space=space,
        outcome=outcome,
        seconds=lambda choices: SECONDS * math.exp(evaluate(choices)[1]),
        expected_reward=expected_reward,
        best=max(climbed() for _ in range(CLIMBS)),
    )
