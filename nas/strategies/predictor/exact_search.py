"""Exact search of small spaces: all choices are scored at once, on a reward given as explicit effects."""

from collections.abc import Collection
from math import prod

import numpy as np

from nas.strategies.predictor.gaussian_process import Effects
from nas.strategies.predictor.local_search import RewardEffects, log_reward
from search_spaces.choices.choice_space import Choices, ChoiceSpace

MOST_TUPLES = 2**18  # of a space that is scored completely: a few milliseconds
MOST_LOOKED_AT = 2_000  # new tuples whose representative and limits are looked up


class ExactSearch:
    """All tuples of choices, scored together.

    The decisions are halved. Where there are n tuples of the first half and m of the second, scores are an
    (n, m) matrix: effects within each half, and a product of matrices for the pairs across. So no table of
    all choices is needed.
    """

    def __init__(self, space: ChoiceSpace) -> None:
        self._space = space
        counts = space.num_options
        middle = _middle(counts)
        self._first, self._second = _tuples(counts[:middle]), _tuples(counts[middle:])
        self._one_hots = _one_hot(self._first, counts[:middle]), _one_hot(self._second, counts[middle:])

    @staticmethod
    def fits(space: ChoiceSpace) -> bool:
        """True if the space is small enough."""
        return prod(space.num_options) <= MOST_TUPLES

    def best_unseen(self, reward: RewardEffects, seen: Collection[Choices], count: int) -> list[Choices]:
        """The `count` best new architectures, the best first; fewer where few of the best are allowed."""
        scores = log_reward(self._values(reward.logit), self._values(reward.log_cost)).ravel()
        # Those that may be looked at, the best first.
        most = min(MOST_LOOKED_AT + len(seen), len(scores))
        places = np.sort(np.argpartition(-scores, most - 1)[:most])
        places = places[np.argsort(-scores[places], kind="stable")]
        # Each architecture is one of its tuples: the representative, which has a score of its own.
        found: list[Choices] = []
        for first, second in zip(*np.divmod(places, len(self._second)), strict=True):
            choices = (*self._first[first].tolist(), *self._second[second].tolist())
            if choices in seen or self._space.canonical(choices) != choices:
                continue
            if self._space.is_allowed(choices):
                found.append(choices)
                if len(found) == count:
                    break
        return found

    def _values(self, effects: Effects) -> np.ndarray:
        """The function's values, (tuples of the first half, tuples of the second)."""
        first, second = self._one_hots
        end = first.shape[1]
        across = first @ effects.pairs[:end, end:] @ second.T
        within_first = effects.constant + _own(first, effects.own[:end], effects.pairs[:end, :end])
        return np.asarray(
            across + within_first[:, None] + _own(second, effects.own[end:], effects.pairs[end:, end:])
        )


def _middle(counts: Choices) -> int:
    """Number of decisions in the first half, so that both halves have about as many tuples."""
    return min(range(len(counts) + 1), key=lambda i: prod(counts[:i]) + prod(counts[i:]))


def _tuples(counts: Choices) -> np.ndarray:
    """All choices of some decisions, (n, decisions), in lexicographic order."""
    return np.asarray(np.indices(counts).reshape(len(counts), prod(counts)).T)


def _one_hot(rows: np.ndarray, counts: Choices) -> np.ndarray:
    """One-hot choices of some decisions: (n, decisions) to (n, options)."""
    blocks = [np.eye(count)[rows[:, i]] for i, count in enumerate(counts)]
    return np.concatenate([np.zeros((len(rows), 0)), *blocks], axis=1)


def _own(options: np.ndarray, own: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Effects of options and of their pairs, (n), from one-hot choices (n, options)."""
    return np.asarray(options @ own + (options @ pairs * options).sum(axis=1) / 2)
