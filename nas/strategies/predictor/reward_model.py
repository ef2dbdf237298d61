"""A model of the reward, fitted to told trials: one process for the accuracy, another for its cost factor.

The reward is accuracy times powers of what a network costs. Only the accuracy is noisy, and only the cost
follows nearly from what is known before training, so each has a model of its own; nobody needs the exponents.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis.choice_model import ALMOST, accuracy_logit, spread_out
from nas.strategies.predictor.gaussian_process import (
    ChoiceProcess,
    Effects,
    Hyperparameters,
    OneHot,
    Prior,
    fit_hyperparameters,
)
from nas.strategies.predictor.local_search import RewardEffects, log_reward
from nas.strategies.robust_floor import robust_floor
from search_spaces.choices.choice_space import Choices, ChoiceSpace

SURROGATE_ROWS = 200  # uniform architectures from which known costs are learned as a function of choices
FIT_ROWS = 200  # most trials that hyperparameters are learned from: the cost is cubic in them
COST_ROWS = 400  # latest trials that the cost factor is learned from: without noise, few are enough
MOST_CACHED = 20_000  # architectures whose known costs are kept: counting a network takes milliseconds
OWN = 0.5  # share of a residual of the accuracy that is the network's own effect, not chance
HOPELESS = 0.9  # share of the best reward below which an expected reward counts as hopeless
EXACT = Prior(
    noise=1e-4,
    noise_spread=2.0,
    pairs=0.05,
    pairs_spread=2.0,
    relevance=0.1,
    scale_spread=3.0,
    extras=1.0,
    extras_spread=3.0,
)
ACCURACY = Prior()


@dataclass(frozen=True)
class Told:
    """Choices and results of trials; accuracy and reward of an infeasible one are 0."""

    rows: np.ndarray  # (n, decisions)
    accuracy: np.ndarray  # (n), 0-1
    reward: np.ndarray  # (n)

    def take(self, indices: np.ndarray) -> "Told":
        """The trials at these indices."""
        return Told(self.rows[indices], self.accuracy[indices], self.reward[indices])


class KnownCosts:
    """Costs that a space knows without training: standardised logarithms, also as functions of choices.

    Attributes:
        effects: each quantity as a function of choices, nearly.
    """

    def __init__(self, space: ChoiceSpace, one_hot: OneHot, rng: np.random.Generator) -> None:
        self._space = space
        self._cache: dict[Choices, tuple[float, ...]] = {}
        self._names = tuple(sorted(space.known(space.sample(rng))))
        self._middle = np.zeros(len(self._names))
        self._scale = np.ones(len(self._names))
        self.effects: list[Effects] = []
        if not self._names:
            return
        # Standardise by uniform architectures.
        drawn = list(dict.fromkeys(space.sample(rng) for _ in range(SURROGATE_ROWS)))
        logs = self.of(drawn)
        spread = logs.std(axis=0)
        self._middle, self._scale = logs.mean(axis=0), np.where(spread > 1e-9, spread, 1.0)
        # Learn each quantity as effects of options and pairs, so that local search need not count networks.
        rows, nothing = np.array(drawn, dtype=np.int64), np.zeros((len(drawn), 0))
        for values in self.of(drawn).T:
            hyper = fit_hyperparameters(one_hot, rows, nothing, values, EXACT)
            self.effects.append(ChoiceProcess(one_hot, rows, nothing, values, hyper).mean())

    def of(self, choices: Sequence[Choices]) -> np.ndarray:
        """The standardised quantities, (n, quantities)."""
        logs = np.array([self._logs(each) for each in choices]).reshape(len(choices), len(self._names))
        return (logs - self._middle) / self._scale

    def _logs(self, choices: Choices) -> tuple[float, ...]:
        found = self._cache.get(choices) if self._names else ()
        if found is None:
            if len(self._cache) >= MOST_CACHED:
                self._cache.clear()
            known = self._space.known(choices)
            found = tuple(float(np.log(max(known[name], 1e-12))) for name in self._names)
            self._cache[choices] = found
        return found


@dataclass(frozen=True)
class RewardHyperparameters:
    """Hyperparameters of both processes; None where the cost factor is the same everywhere."""

    logit: Hyperparameters
    log_cost: Hyperparameters | None


@dataclass(frozen=True)
class Forecast:
    """Logits of accuracies as the model expects them, each (n), normal.

    Attributes:
        spread: standard deviation of the network's expected logit: of the function of choices, and of the
            share OWN of the noise that is the network's own.
        trained: standard deviation of the logit of one training of it.
    """

    mean: np.ndarray
    spread: np.ndarray
    trained: np.ndarray


class RewardModel:
    """Both processes, fitted to told trials."""

    def __init__(
        self, one_hot: OneHot, known: KnownCosts, told: Told, extras: np.ndarray, hyper: RewardHyperparameters
    ) -> None:
        self._known, self._one_hot = known, one_hot
        self._logit = ChoiceProcess(one_hot, told.rows, extras, logits(told), hyper.logit)
        priced, log_costs = priced_rows(told)
        priced, log_costs = priced[-COST_ROWS:], log_costs[-COST_ROWS:]
        self._log_cost = _flat(one_hot.total, extras.shape[1], log_costs)
        if hyper.log_cost is not None:
            costs = ChoiceProcess(one_hot, told.rows[priced], extras[priced], log_costs, hyper.log_cost)
            self._log_cost = costs.mean()

    def later(self, told: Told, extras: np.ndarray) -> "RewardModel":
        """The model extended by trials told since (the last rows of `told`, which begins with those before).

        The cost factor is nearly without noise, and not learned again.
        """
        other = copy(self)
        other.__dict__.pop("mean", None)
        since = self._logit.count
        other._logit = self._logit.measured_at(told.rows[since:], extras[since:], logits(told))
        return other

    @cached_property
    def mean(self) -> RewardEffects:
        """The expected reward."""
        return RewardEffects(self._logit.mean(), self._log_cost)

    def forecast(self, rows: np.ndarray, extras: np.ndarray) -> Forecast:
        """Expected logits of the accuracies at rows (n, decisions), and how uncertain they are."""
        variances, noise = self._logit.variances(rows, extras)
        return Forecast(
            mean=self.mean.logit.of(self._one_hot.options(rows), extras),
            spread=np.sqrt(variances + OWN * noise),
            trained=np.sqrt(variances + noise),
        )

    def trained(self, told: Told, extras: np.ndarray) -> np.ndarray:
        """Logarithms of the rewards expected of the model's trials, (n); -inf for infeasible ones.

        A residual of the accuracy is in part the network's own, which no effect of options tells: the share
        OWN of it is believed, and more of the mean of several trainings, in which chance has less of a part.
        """
        # Mean residual of each network, over its trainings.
        _, networks, times = np.unique(told.rows, axis=0, return_inverse=True, return_counts=True)
        networks = networks.reshape(-1)
        deviations = np.bincount(networks, self._logit.deviations()) / times
        # Shrink it: of n trainings' mean, chance has a variance n times lower than of one.
        believed = OWN / (OWN + (1 - OWN) / times) * deviations
        # Expected accuracy with that, times the cost factor that was told.
        logit = self.mean.logit.of(self._one_hot.options(told.rows), extras) + believed[networks]
        with np.errstate(divide="ignore"):
            return log_reward(logit, np.log(told.reward / np.maximum(told.accuracy, ALMOST)))

    def sample(
        self, rng: np.random.Generator, *, temperature: float, pending: np.ndarray, extras: np.ndarray
    ) -> RewardEffects:
        """A sample of the reward's posterior, less uncertain where trials (n, decisions) are in flight."""
        logit = self._logit.believing(pending, extras) if len(pending) else self._logit
        return RewardEffects(logit.sample(rng, temperature=temperature), self._log_cost)

    def in_choices(self, reward: RewardEffects) -> RewardEffects:
        """Nearly the same reward as a function of choices alone, without looking up known costs."""
        effects = self._known.effects
        return RewardEffects(reward.logit.in_choices(effects), reward.log_cost.in_choices(effects))


def fit_reward(one_hot: OneHot, told: Told, extras: np.ndarray) -> RewardHyperparameters:
    """The most probable hyperparameters, given these trials or FIT_ROWS of them."""
    some = spread_out(len(told.rows), most=FIT_ROWS)
    told, extras = told.take(some), extras[some]
    priced, log_costs = priced_rows(told)
    varies = len(log_costs) > 1 and float(np.ptp(log_costs)) > 1e-9
    return RewardHyperparameters(
        logit=fit_hyperparameters(one_hot, told.rows, extras, logits(told), ACCURACY),
        log_cost=(
            fit_hyperparameters(one_hot, told.rows[priced], extras[priced], log_costs, EXACT)
            if varies
            else None
        ),
    )


def logits(told: Told) -> np.ndarray:
    """Logits of the accuracies, (n), none below a floor.

    It is the robust floor, or so low that no cost factor that was told would bring it near the best reward.
    """
    values = accuracy_logit(told.accuracy)
    feasible = values[told.reward > 0]
    if not len(feasible):
        return np.zeros(len(values))
    _, log_costs = priced_rows(told)
    hopeless = HOPELESS * told.reward.max() / np.exp(log_costs.max(initial=0.0))
    floor = min(robust_floor(feasible), float(accuracy_logit(np.array(hopeless))))
    return np.maximum(values, floor)


def priced_rows(told: Told) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the trials whose cost factor is known (m), and its logarithms (m)."""
    priced = np.flatnonzero((told.reward > 0) & (told.accuracy > 0))
    return priced, np.log(told.reward[priced] / told.accuracy[priced])


def _flat(options: int, extras: int, log_costs: np.ndarray) -> Effects:
    """The mean of the cost factor's logarithm, everywhere."""
    middle = float(log_costs.mean()) if len(log_costs) else 0.0
    return Effects(middle, np.zeros(options), np.zeros((options, options)), np.zeros(extras))
