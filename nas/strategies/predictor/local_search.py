"""Local search over choices, one decision at a time, on a reward that is given as explicit effects."""

import heapq
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from nas.strategies.predictor.gaussian_process import Effects, OneHot
from search_spaces.choices.choice_space import Choices, ChoiceSpace

NOTED = 6  # most neighbours of each visited place that become candidates
STEPS_PER_DECISION = 2  # most steps of one climb, per decision of the space


@dataclass(frozen=True)
class RewardEffects:
    """The reward as accuracy times a cost factor: effects on the accuracy's logit and on the factor's log."""

    logit: Effects
    log_cost: Effects

    def of(self, options: np.ndarray, extras: np.ndarray) -> np.ndarray:
        """Logarithms of the reward, (n), from one-hot choices (n, options) and extras (n, extras)."""
        return log_reward(self.logit.of(options, extras), self.log_cost.of(options, extras))


def log_reward(logit: np.ndarray, log_cost: np.ndarray) -> np.ndarray:
    """Logarithm of accuracy times cost factor, from the accuracy's logit and the factor's logarithm."""
    return np.asarray(log_cost - np.logaddexp(0.0, -logit))


class Climb:
    """Steepest ascent from several starts to local maxima; what is new on the way becomes a candidate."""

    def __init__(
        self, space: ChoiceSpace, one_hot: OneHot, reward: RewardEffects, seen: Collection[Choices]
    ) -> None:
        self._space, self._one_hot, self._reward, self._seen = space, one_hot, reward, seen
        self._noted: dict[Choices, float] = {}

    def best_unseen(self, starts: Iterable[Choices], count: int) -> list[Choices]:
        """The `count` best new architectures met, the best first; fewer where fewer were met."""
        visited: set[Choices] = set()
        for start in starts:
            self._climb(start, visited)
        return heapq.nlargest(count, self._noted, key=lambda choices: (self._noted[choices], choices))

    def _climb(self, at: Choices, visited: set[Choices]) -> None:
        """Climbs from one start until a local maximum or a place that was visited before."""
        for _ in range(STEPS_PER_DECISION * len(at) + 1):
            if at in visited:
                return
            visited.add(at)
            # Score the place and all its neighbours; the new ones among the best become candidates.
            here, scores = self._neighbours(at)
            order = np.argsort(-scores, kind="stable")
            best = self._note_neighbours(at, scores, order)
            if at not in self._seen:
                self._noted[at] = here
            # Go on to the best allowed neighbour, unless no neighbour at all is better.
            if best is None or not scores[order[0]] > here:
                return
            at = best

    def _note_neighbours(self, at: Choices, scores: np.ndarray, order: np.ndarray) -> Choices | None:
        """Notes the NOTED best new neighbours; returns the best allowed one."""
        best: Choices | None = None
        noted = 0
        for option in order.tolist():
            if not np.isfinite(scores[option]) or noted == NOTED:
                break
            # The neighbour that takes this option, as its representative.
            decision = int(self._one_hot.option_decision[option])
            changed = option - int(self._one_hot.starts[decision])
            other = self._space.canonical((*at[:decision], changed, *at[decision + 1 :]))
            if other == at or not self._space.is_allowed(other):
                continue
            best = other if best is None else best
            if other not in self._seen:
                self._noted.setdefault(other, float(scores[option]))
                noted += 1
        return best

    def _neighbours(self, at: Choices) -> tuple[float, np.ndarray]:
        """The score of these choices, and that with each other option in one decision; -inf for its own."""
        places = self._one_hot.starts + np.asarray(at, dtype=np.int64)
        logit, logits = self._flipped(self._reward.logit, places)
        log_cost, log_costs = self._flipped(self._reward.log_cost, places)
        scores = log_reward(logits, log_costs)
        scores[places] = -np.inf
        return float(log_reward(np.asarray(logit), np.asarray(log_cost))), scores

    def _flipped(self, effects: Effects, places: np.ndarray) -> tuple[float, np.ndarray]:
        """The function's value at the chosen options (`places`), and its value for each option instead."""
        # Effect of each option beside those chosen.
        slopes = effects.own + effects.pairs[places].sum(axis=0)
        here = effects.constant + float(effects.own[places].sum() + slopes[places].sum()) / 2
        return here, here + slopes - slopes[places][self._one_hot.option_decision]
