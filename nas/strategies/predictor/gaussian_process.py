"""A Gaussian process over choices whose samples are explicit: effects of options and of pairs of options.

The covariance of two architectures is s + q / 2 * s^2 + extras, where s sums the likeness of their options
over the decisions, weighted by the decision's relevance. It is a Bayesian linear model over one-hot choices,
their pairs and what is known of architectures beforehand (extras), in the dual form, whose cost depends on
the number of rows. Relevances, the pairs' share q and the noise maximise the marginal likelihood times a
prior (Rasmussen and Williams 2006, chapter 5); samples are drawn pathwise (Wilson et al. 2020, arXiv
2002.09309).
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import scipy  # its parts load at their first use: half a second that only a fit has to wait

ORDINAL = 0.3  # share of a decision's likeness that follows the distance of its options, not their equality
STEPS = 30  # most iterations of the optimizer of hyperparameters
LEAST_SPREAD = 1e-9  # standard deviation of values that are all equal
JITTER = 1e-6  # added to the noise, as a share of the signal's variance: the factorisation needs it


@dataclass(frozen=True)
class Prior:
    """Prior over hyperparameters, which are in units of the measured quantity's variance.

    The logarithm of each is normal: a median, and as `spread` a standard deviation.
    """

    noise: float = 0.1
    noise_spread: float = 1.5
    pairs: float = 0.5
    pairs_spread: float = 1.0
    relevance_spread: float = 1.0  # of one decision, around the mean of all
    relevance: float = 1.0  # of all decisions together
    scale_spread: float = 1.0  # of the relevance of all together
    extras: float = 0.3
    extras_spread: float = 1.5


@dataclass(frozen=True)
class Hyperparameters:
    """Variances, in units of the variance of what was measured."""

    relevances: np.ndarray  # (decisions)
    pairs: float
    extras: np.ndarray  # (extras)
    noise: float


class OneHot:
    """Choices as features: for each decision its one-hot options, centred, and its option's rank.

    Attributes:
        decision: (features), the decision that each feature belongs to.
        option_decision: (options of all decisions), the decision that each option belongs to.
        table: (options of all decisions, features).
        starts: (decisions), the index of a decision's first option among all options.
    """

    def __init__(self, num_options: Sequence[int]) -> None:
        self.num_options = np.asarray(num_options, dtype=np.int64)
        self.starts = np.cumsum([0, *num_options])[:-1].astype(np.int64)
        self.total = int(self.num_options.sum())
        blocks = [_features(count) for count in num_options]
        self.decision = np.repeat(np.arange(len(blocks)), [block.shape[1] for block in blocks])
        self.option_decision = np.repeat(np.arange(len(blocks)), self.num_options)
        self.table = np.zeros((self.total, len(self.decision)))
        column = 0
        for start, block in zip(self.starts, blocks, strict=True):
            self.table[start : start + block.shape[0], column : column + block.shape[1]] = block
            column += block.shape[1]

    def options(self, rows: np.ndarray) -> np.ndarray:
        """One-hot choices: (n, decisions) to (n, options of all decisions)."""
        chosen = np.zeros((len(rows), self.total))
        np.put_along_axis(chosen, rows + self.starts, 1.0, axis=1)
        return chosen

    def features(self, rows: np.ndarray) -> np.ndarray:
        """Features of choices: (n, decisions) to (n, features)."""
        return self.options(rows) @ self.table


def _features(count: int) -> np.ndarray:
    """Features of one decision's options, (options, features), with a mean square length of 1."""
    if count == 1:
        return np.zeros((1, 0))
    equal = (np.eye(count) - 1 / count) / np.sqrt(1 - 1 / count)
    place = np.arange(count) - (count - 1) / 2
    place = place / np.sqrt((place**2).mean())
    return np.concatenate([np.sqrt(1 - ORDINAL) * equal, np.sqrt(ORDINAL) * place[:, None]], axis=1)


@dataclass(frozen=True)
class Effects:
    """An explicit function of choices: a constant, effects of options, of pairs of them, and of extras.

    Attributes:
        own: effects of options, (options of all decisions).
        pairs: effects of pairs, (options, options), symmetric; 0 within a decision.
        extras: factors of the extras, (extras).
    """

    constant: float
    own: np.ndarray
    pairs: np.ndarray
    extras: np.ndarray

    def of(self, options: np.ndarray, extras: np.ndarray) -> np.ndarray:
        """Values of the function, (n), from one-hot choices (n, options) and extras (n, extras)."""
        paired = (options @ self.pairs * options).sum(axis=1) / 2
        return np.asarray(self.constant + options @ self.own + paired + extras @ self.extras)

    def in_choices(self, extras: Sequence["Effects"]) -> "Effects":
        """The function of choices alone, where each of the extras is given as a function of choices."""
        weighed = list(zip(self.extras.tolist(), extras, strict=True))
        return Effects(
            constant=self.constant + sum(weight * each.constant for weight, each in weighed),
            own=self.own + sum(weight * each.own for weight, each in weighed),
            pairs=self.pairs + sum(weight * each.pairs for weight, each in weighed),
            extras=np.zeros(0),
        )


class ChoiceProcess:
    """The process, given values that were measured at rows of choices.

    Args:
        rows: (n, decisions).
        extras: (n, extras), known of each row beforehand, centred, of a variance of about 1.
        values: (n), measured.
        hyperparameters: see `fit_hyperparameters`.
    """

    def __init__(
        self,
        one_hot: OneHot,
        rows: np.ndarray,
        extras: np.ndarray,
        values: np.ndarray,
        hyperparameters: Hyperparameters,
    ) -> None:
        self._one_hot, self._hyper = one_hot, hyperparameters
        self._middle, self._scale = _standard(values)
        self._values = (values - self._middle) / self._scale
        # Features weighted by relevance: their inner products are the likeness s.
        self._weights = np.sqrt(hyperparameters.relevances)[one_hot.decision]
        self._features = one_hot.features(rows) * self._weights
        self._extras = extras
        # Covariance of the measured values, and its factor.
        covariance = self._covariance(self._features, extras)
        self._noise = hyperparameters.noise + JITTER * max(float(np.diagonal(covariance).mean()), 1.0)
        covariance[np.diag_indices(len(rows))] += self._noise
        self._factor = scipy.linalg.cholesky(covariance, lower=True, overwrite_a=True, check_finite=False)

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(self._features)

    def _covariance(self, features: np.ndarray, extras: np.ndarray) -> np.ndarray:
        """Covariance between the rows (n) and others (m) with these features, (n, m)."""
        shared = self._features @ features.T
        likeness = shared + self._hyper.pairs / 2 * shared**2
        return np.asarray(likeness + (self._extras * self._hyper.extras) @ extras.T)

    def believing(self, rows: np.ndarray, extras: np.ndarray) -> "ChoiceProcess":
        """The process as if these rows (m, decisions) had been measured too, with their expected values."""
        expected = self.mean().of(self._one_hot.options(rows), extras)
        other = self._extended(rows, extras)
        other._values = np.append(self._values, (expected - self._middle) / self._scale)
        return other

    def measured_at(self, rows: np.ndarray, extras: np.ndarray, values: np.ndarray) -> "ChoiceProcess":
        """The process with more rows (m, decisions) and the values of all (n + m), which may have changed.

        The hyperparameters stay, and so it costs m / n of a new process.
        """
        other = self._extended(rows, extras) if len(rows) else copy(self)
        other._middle, other._scale = _standard(values)
        other._values = (values - other._middle) / other._scale
        return other

    def _extended(self, rows: np.ndarray, extras: np.ndarray) -> "ChoiceProcess":
        """The process with more rows, whose values are still to be set."""
        other = copy(self)
        features = self._one_hot.features(rows) * self._weights
        other._features = np.concatenate([self._features, features])
        other._extras = np.concatenate([self._extras, extras])
        # Block Cholesky: the factor's new rows are `below` (m, n) and `corner` (m, m).
        below = scipy.linalg.solve_triangular(
            self._factor, self._covariance(features, extras), lower=True, check_finite=False
        )
        own = features @ features.T
        own = own + self._hyper.pairs / 2 * own**2 + (extras * self._hyper.extras) @ extras.T
        own[np.diag_indices(len(rows))] += self._noise
        corner = scipy.linalg.cholesky(own - below.T @ below, lower=True, check_finite=False)
        before, after = len(self._factor), len(self._factor) + len(rows)
        factor = np.zeros((after, after), order="F")  # else every solution would copy it
        factor[:before, :before] = self._factor
        factor[before:, :before], factor[before:, before:] = below.T, corner
        other._factor = factor
        return other

    def _solved(self, values: np.ndarray) -> np.ndarray:
        """The inverse covariance times the values."""
        solved: np.ndarray = scipy.linalg.cho_solve((self._factor, True), values, check_finite=False)
        return solved

    def mean(self) -> Effects:
        """The expected value, as a function of choices."""
        return self._effects(self._solved(self._values), None)

    def variances(self, rows: np.ndarray, extras: np.ndarray) -> tuple[np.ndarray, float]:
        """Variances (m) of the function at rows (m, decisions), and the variance of one measurement."""
        features = self._one_hot.features(rows) * self._weights
        shared = (features**2).sum(axis=1)
        own = shared + self._hyper.pairs / 2 * shared**2 + extras**2 @ self._hyper.extras
        told = scipy.linalg.solve_triangular(
            self._factor, self._covariance(features, extras), lower=True, check_finite=False
        )
        left = np.maximum(own - (told**2).sum(axis=0), 0.0)
        return self._scale**2 * left, self._scale**2 * self._noise

    def deviations(self) -> np.ndarray:
        """Residuals, (n): measured minus expected values."""
        return np.asarray(self._scale * self._noise * self._solved(self._values))

    def sample(self, rng: np.random.Generator, *, temperature: float) -> Effects:
        """A function drawn from the posterior, whose standard deviations are multiplied by `temperature`."""
        # Draw the weights of features, pairs and extras from the prior.
        count, hyper = self._features.shape[1], self._hyper
        own = temperature * rng.standard_normal(count)
        pairs = temperature * np.sqrt(hyper.pairs / 2) * rng.standard_normal((count, count))
        extras = temperature * np.sqrt(hyper.extras) * rng.standard_normal(len(hyper.extras))
        # Evaluate that function at the rows, with noise.
        drawn = self._features @ own + (self._features @ pairs * self._features).sum(axis=1)
        drawn += self._extras @ extras
        drawn += temperature * np.sqrt(self._noise) * rng.standard_normal(len(self._values))
        # Matheron's rule: the prior's function plus the posterior mean of what it leaves of the values.
        return self._effects(self._solved(self._values - drawn), (own, pairs, extras))

    def _effects(
        self, weights: np.ndarray, drawn: tuple[np.ndarray, np.ndarray, np.ndarray] | None
    ) -> Effects:
        """The function with these weights of the rows (n), added to one drawn from the prior."""
        # Weights of features, of their pairs and of extras.
        hyper, one_hot = self._hyper, self._one_hot
        own = self._features.T @ weights
        pairs = hyper.pairs / 2 * (self._features.T * weights) @ self._features
        extras = hyper.extras * (self._extras.T @ weights)
        if drawn is not None:
            own, pairs, extras = own + drawn[0], pairs + drawn[1], extras + drawn[2]
        # From features to options and pairs of options.
        table = one_hot.table * self._weights
        by_option, by_pair = table @ own, table @ pairs @ table.T
        by_pair = by_pair + by_pair.T
        # The pair of an option with itself is its own effect; two options of one decision never meet.
        by_option += np.diagonal(by_pair) / 2
        by_pair[one_hot.option_decision[:, None] == one_hot.option_decision] = 0.0
        return Effects(self._middle, self._scale * by_option, self._scale * by_pair, self._scale * extras)


def _standard(values: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation; where all values are equal, they are expected to be so everywhere."""
    return float(values.mean()), max(float(values.std()), LEAST_SPREAD)


def fit_hyperparameters(
    one_hot: OneHot, rows: np.ndarray, extras: np.ndarray, values: np.ndarray, prior: Prior
) -> Hyperparameters:
    """The most probable hyperparameters; the prior's medians where there is nothing to learn from."""
    middle, scale = _standard(values)
    fit = _Fit(one_hot, rows, extras, (values - middle) / scale, prior)
    if len(rows) < 2:
        return fit.hyperparameters(fit.start)
    found = scipy.optimize.minimize(
        fit.loss, fit.start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS, "ftol": 1e-6}
    )
    return fit.hyperparameters(found.x if np.isfinite(found.x).all() else fit.start)


class _Fit:
    """The loss that hyperparameters minimise, as a function of their logarithms.

    They are in this order: the mean relevance, each decision's over it, pairs, noise, extras.
    """

    def __init__(
        self, one_hot: OneHot, rows: np.ndarray, extras: np.ndarray, values: np.ndarray, prior: Prior
    ) -> None:
        self._features = one_hot.features(rows)
        self._decision, self._extras, self._values = one_hot.decision, extras, values
        self._decisions = len(one_hot.num_options)
        open_ = max(int((one_hot.num_options > 1).sum()), 1)
        one, each, more = np.ones(1), np.ones(self._decisions), np.ones(extras.shape[1])
        self.start = np.log(
            np.concatenate(
                [
                    one * prior.relevance / open_,
                    each,
                    one * prior.pairs,
                    one * prior.noise,
                    more * prior.extras,
                ]
            )
        )
        self._spreads = np.concatenate(
            [
                one * prior.scale_spread,
                each * prior.relevance_spread,
                one * prior.pairs_spread,
                one * prior.noise_spread,
                more * prior.extras_spread,
            ]
        )

    def hyperparameters(self, logs: np.ndarray) -> Hyperparameters:
        """The hyperparameters with these logarithms, within what can be computed with."""
        values, last = np.exp(np.clip(logs, -25, 10)), self._decisions + 1
        return Hyperparameters(
            relevances=values[0] * values[1:last],
            pairs=float(values[last]),
            extras=values[last + 2 :],
            noise=float(values[last + 1]),
        )

    def loss(self, logs: np.ndarray) -> tuple[float, np.ndarray]:
        """The negative logarithm of the posterior (but for a constant), and its gradient."""
        # Covariance of the values.
        hyper = self.hyperparameters(logs)
        n = len(self._values)
        features = self._features * np.sqrt(hyper.relevances)[self._decision]
        shared = features @ features.T
        covariance = shared + hyper.pairs / 2 * shared**2 + (self._extras * hyper.extras) @ self._extras.T
        covariance[np.diag_indices(n)] += hyper.noise + JITTER * max(float(np.trace(covariance)) / n, 1.0)
        factor = scipy.linalg.cholesky(covariance, lower=True, check_finite=False)
        inverse, _ = scipy.linalg.lapack.dpotri(factor, lower=1)
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        weights = inverse @ self._values
        # Minus the log marginal likelihood and the log prior.
        away = (logs - self.start) / self._spreads
        loss = 0.5 * self._values @ weights + np.log(np.diagonal(factor)).sum() + 0.5 * away @ away
        # Gradient: by the covariance, then by each hyperparameter's logarithm.
        slope = 0.5 * (inverse - np.outer(weights, weights))
        by_shared = slope * (1 + hyper.pairs * shared)
        by_feature = (features * (by_shared @ features)).sum(axis=0)
        by_relevance = np.bincount(self._decision, by_feature, minlength=self._decisions)
        by_pairs = hyper.pairs / 2 * (slope * shared**2).sum()
        by_extras = hyper.extras * (self._extras * (slope @ self._extras)).sum(axis=0)
        gradient = np.concatenate(
            [[by_relevance.sum()], by_relevance, [by_pairs, hyper.noise * np.trace(slope)], by_extras]
        )
        return float(loss), gradient + away / self._spreads
