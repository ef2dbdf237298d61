"""Model-based search: a Gaussian process of the reward, searched by Thompson sampling and local search."""

from array import array
from typing import ClassVar

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from nas.strategies.predictor.exact_search import ExactSearch
from nas.strategies.predictor.gaussian_process import OneHot
from nas.strategies.predictor.local_search import Climb, RewardEffects
from nas.strategies.predictor.reward_model import (
    Forecast,
    KnownCosts,
    RewardHyperparameters,
    RewardModel,
    Told,
    fit_reward,
)
from nas.strategies.strategy import SETTINGS, AvoidsAsked
from search_spaces.choices.choice_space import Choices, ChoiceSpace
from trials.trial import MAX_TRIALS, Ask, Outcome

# Starts of the local searches of one ask.
LEADERS = 5  # told trials with the highest expected reward
SAMPLE_LEADERS = 3  # told trials with the highest reward in the posterior sample
CROSSINGS = 4  # crossovers of two leaders, each decision from one or the other
FRESH = 3  # uniform draws

CHECKED = 16  # best candidates of the function, which are compared by their exact costs
FRESH_DRAWS = 50  # uniform draws until one is new
BLOCK = 16  # trials by which a model is extended before it is fitted as a whole
FEW = 128  # trials up to which a model is fitted as a whole for each
GROWTH = 1.2  # hyperparameters are learned again whenever the trials have grown by this factor
DERIVE_KNOWN = 2**63  # seeds the draws that describe the space apart from asks (seeded with their trial)


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class PredictorSettings:
    """Settings of the model: when it begins, how much proposals explore, how many trials it is fitted to.

    Attributes:
        initial: number of told trials from which on the model proposes; until then asks are uniform.
        temperature: 0 asks for the best by expectation, 1 for the best of a posterior sample.
        rows: most trials that the model is fitted to; of more, a quarter of `rows` are the earliest, the
            others the latest.
    """

    initial: int = Field(default=6, ge=2, le=MAX_TRIALS)
    temperature: float = Field(default=0.3, ge=0, le=10)
    rows: int = Field(default=1_000, ge=2, le=MAX_TRIALS)

    def __post_init__(self) -> None:
        if self.rows < self.initial:
            raise ValueError(
                f"rows is {self.rows}, but the model begins with the {self.initial} trials of initial; raise "
                "rows, or lower initial"
            )


class Predictor(AvoidsAsked):
    """Fits a model of the reward to all trials told, and asks for the best of one posterior sample.

    Accuracy is a Gaussian process over options and pairs of them; the cost factor is learned apart, almost
    without noise, also from what is known before training. An ask draws a function from the posterior, its
    uncertainty scaled by `temperature` (Thompson sampling), and takes its best: of all choices in a small
    space, else of those that local search meets from the leaders, their crossings and fresh draws. Trials in
    flight count as if they had given their expected result.
    """

    Settings: ClassVar[type[PredictorSettings]] = PredictorSettings

    def __init__(self, space: ChoiceSpace, seed: int, *, epochs: int, settings: PredictorSettings) -> None:
        self._space, self._seed, self._epochs, self._settings = space, seed, epochs, settings
        self._one_hot = OneHot(space.num_options)
        self._told: list[Choices] = []
        self._accuracy, self._reward = array("d"), array("d")
        self._seen: set[Choices] = set()
        self._pending: dict[int, Choices] = {}
        self._exact = ExactSearch(space) if ExactSearch.fits(space) else None
        self._known: KnownCosts | None = None
        # Caches, each with what it was computed from: numbers of told trials.
        self._hyper: tuple[int, RewardHyperparameters] | None = None
        self._block: tuple[tuple[int, int], RewardModel] | None = None
        self._model: tuple[int, RewardModel] | None = None

    # ------------------------------------------------------------------ asking

    def ask(self, trial_id: int) -> Ask:
        """The best new architecture of a posterior sample, or a uniform draw while little is told."""
        rng = np.random.default_rng([self._seed, trial_id])
        choices = None
        if len(self._told) >= self._settings.initial and self._one_hot.table.shape[1] and any(self._reward):
            choices = self._proposal(rng)
        if choices is None:
            choices = self._fresh(rng)
        return Ask(trial_id=trial_id, choices=choices, epochs=self._epochs)

    def _fresh(self, rng: np.random.Generator) -> Choices:
        """A uniform draw, new if one is found."""
        for _ in range(FRESH_DRAWS):
            choices = self._space.sample(rng)
            if choices not in self._seen:
                break
        return choices

    def _proposal(self, rng: np.random.Generator) -> Choices | None:
        """The model's proposal; None where nothing new is found."""
        # Model: fitted to the told trials; trials in flight take their expected values.
        known, model = self._known_costs(), self._fitted()
        pending = list(dict.fromkeys(self._pending.values()))
        # Thompson sampling: one reward function drawn from the posterior.
        reward = model.sample(
            rng,
            temperature=self._settings.temperature,
            pending=np.array(pending, dtype=np.int64).reshape(len(pending), len(self._space.num_options)),
            extras=known.of(pending),
        )
        # Its best, on the function with known costs as effects of choices too: exactly, or by local search.
        in_choices = model.in_choices(reward)
        best = self._exact.best_unseen(in_choices, self._seen, CHECKED) if self._exact else []
        if not best:
            climb = Climb(self._space, self._one_hot, in_choices, self._seen)
            best = climb.best_unseen(self._starts(rng, model, reward), CHECKED)
        if not best:
            return None
        # The best candidate, now by its exact costs.
        return best[int(np.argmax(self._scores(reward, best)))]

    def _starts(self, rng: np.random.Generator, model: RewardModel, reward: RewardEffects) -> list[Choices]:
        """Starts of local search: leaders by expectation and in the sample, crossings of leaders, draws."""
        told = list(dict.fromkeys(self._told[i] for i in self._used()))
        leaders = self._leading(model.mean, told, LEADERS)
        starts = leaders + self._leading(reward, told, SAMPLE_LEADERS)
        for _ in range(CROSSINGS):
            pair = rng.integers(len(leaders), size=2)
            first, second = (leaders[i] for i in pair)
            mixed = np.where(rng.random(len(first)) < 0.5, first, second)
            crossing = self._space.canonical(tuple(mixed.tolist()))
            if self._space.is_allowed(crossing):
                starts.append(crossing)
        return starts + [self._space.sample(rng) for _ in range(FRESH)]

    def _leading(self, reward: RewardEffects, among: list[Choices], count: int) -> list[Choices]:
        """The `count` architectures with the highest reward, the best first."""
        order = np.argsort(-self._scores(reward, among), kind="stable")
        return [among[i] for i in order[:count]]

    def _scores(self, reward: RewardEffects, choices: list[Choices]) -> np.ndarray:
        """Logarithms of the rewards, (n), by exact costs."""
        options = self._one_hot.options(np.array(choices, dtype=np.int64))
        return reward.of(options, self._known_costs().of(choices))

    def leaders(self, count: int) -> list[Choices]:
        """The `count` told ones with the highest expected rewards, not the luckiest results; best first."""
        if not len(self._told) or not self._one_hot.table.shape[1] or not any(self._reward):
            return []
        used = self._used()
        told, extras = self._data(used)
        scores = self._fitted().trained(told, extras)
        best = np.argsort(-scores, kind="stable")
        found = dict.fromkeys(self._told[used[i]] for i in best if scores[i] > -np.inf)
        return list(found)[:count]

    def forecast(self, choices: list[Choices]) -> Forecast | None:
        """Expected accuracies of these choices; None before a trial is told."""
        if not len(self._told) or not self._one_hot.table.shape[1]:
            return None
        return self._fitted().forecast(np.array(choices, dtype=np.int64), self._known_costs().of(choices))

    # ------------------------------------------------------------------ the model, from told trials alone

    def _used(self) -> np.ndarray:
        """Indices of the told trials that the model is fitted to."""
        count = len(self._told)
        block = _last_block(count)
        return np.concatenate([self._of_first(block), np.arange(block, count)])

    def _of_first(self, count: int) -> np.ndarray:
        """Indices of the trials that a fit to the first `count` uses: at most `rows`."""
        most = self._settings.rows
        if count <= most:
            return np.arange(count)
        early = most // 4
        return np.concatenate([np.arange(early), np.arange(count - most + early, count)])

    def _fitted(self) -> RewardModel:
        """The model of all told trials: that of the last full block, extended by the trials since."""
        count = len(self._told)
        if self._model is None or self._model[0] != count:
            told, extras = self._data(self._used())
            self._model = (count, self._of_block(count).later(told, extras))
        return self._model[1]

    def _of_block(self, count: int) -> RewardModel:
        """The model of the trials up to the last full block, which the later ones extend.

        It follows from `count` alone, so that a replay computes the same numbers, to the last digit.
        """
        key = (_last_block(count), self._learned_at(count))
        if self._block is None or self._block[0] != key:
            told, extras = self._data(self._of_first(key[0]))
            model = RewardModel(self._one_hot, self._known_costs(), told, extras, self._hyperparameters())
            self._block = (key, model)
        return self._block[1]

    def _hyperparameters(self) -> RewardHyperparameters:
        """Hyperparameters, learned from the trials up to the last of a few counts, live and in a replay."""
        count = self._learned_at(len(self._told))
        if self._hyper is None or self._hyper[0] != count:
            told, extras = self._data(self._of_first(count))
            self._hyper = (count, fit_reward(self._one_hot, told, extras))
        return self._hyper[1]

    def _learned_at(self, told: int) -> int:
        """The number of trials from which hyperparameters are learned while `told` trials are known."""
        count = min(self._settings.initial, told)
        while (more := int(np.ceil(count * GROWTH))) <= told:
            count = more
        return count

    def _data(self, indices: np.ndarray) -> tuple[Told, np.ndarray]:
        """These told trials, and what is known of their costs beforehand, (n, quantities)."""
        choices = [self._told[i] for i in indices]
        told = Told(
            rows=np.array(choices, dtype=np.int64),
            accuracy=np.array(self._accuracy)[indices],
            reward=np.array(self._reward)[indices],
        )
        return told, self._known_costs().of(choices)

    def _known_costs(self) -> KnownCosts:
        if self._known is None:
            rng = np.random.default_rng([self._seed, DERIVE_KNOWN])
            self._known = KnownCosts(self._space, self._one_hot, rng)
        return self._known

    # ------------------------------------------------------------------ what is recorded

    def asked(self, ask: Ask) -> None:
        """Remembers the ask as in flight, and its choices, which are not proposed again."""
        super().asked(ask)
        self._pending[ask.trial_id] = ask.choices

    def told(self, ask: Ask, outcome: Outcome) -> None:
        """Adds the trial to those that the model is fitted to."""
        self._pending.pop(ask.trial_id, None)
        # A stopped trial has no final accuracy; the equal of a cached one was told before.
        if outcome.status in ("completed", "infeasible"):
            self._told.append(ask.choices)
            good = outcome.status == "completed"
            self._accuracy.append(outcome.accuracy if good else 0.0)
            self._reward.append(max(outcome.reward, 0.0) if good else 0.0)

    def withdrawn(self, ask: Ask) -> None:
        """Forgets the choices, which may be proposed again."""
        super().withdrawn(ask)
        self._pending.pop(ask.trial_id, None)


def _last_block(count: int) -> int:
    """Number of trials that models are fitted to as a whole, of `count`."""
    return count if count < FEW else count - count % BLOCK
