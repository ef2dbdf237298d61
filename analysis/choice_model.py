"""A quantity as a smooth function of choices, fitted to measured values.

A Gaussian process whose covariance is a linear model's over one-hot choices and over their pairs (two
architectures are alike by how many decisions they share, and by how many pairs of decisions), which needs no
list of features. Scale, noise and the share of the pairs are those of the highest marginal likelihood
(Rasmussen and Williams 2006, equations 2.30 and 5.12).

The predictor has a process of its own, which may differ: it learns how relevant each decision is, knows costs
beforehand and draws samples. This one has two hyperparameters, found on a grid from one factorisation, and
expected values of each row by all others, by which it is evaluated.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_ROWS = 1_000  # a fit is cubic in the rows
PAIR_SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)  # share of the covariance that is of pairs
ALMOST = 1e-4  # accuracies of 0 and 1 have no logit
NOISES = np.geomspace(1e-4, 10, 26)  # variance of the noise over that of the signal


@dataclass(frozen=True)
class ChoiceModel:
    """A fitted model: called with choices, it gives the expected value.

    Attributes:
        rows: (rows, decisions), the choices it was fitted to.
        noise: standard deviation of one measurement around the expected value.
        left_out: (rows), the value expected of each row by all others.
    """

    rows: np.ndarray
    noise: float
    left_out: np.ndarray
    _mean: float
    _weights: np.ndarray
    _pair_share: float

    def __call__(self, choices: Sequence[int]) -> float:
        shared = (self.rows == np.asarray(choices, dtype=self.rows.dtype)).sum(axis=1)
        likeness = _likeness(shared, self.rows.shape[1], self._pair_share)
        return self._mean + float(likeness @ self._weights)


def spread_out(count: int, *, most: int = MOST_ROWS) -> np.ndarray:
    """Indices of the rows (of `count`) that a model is fitted to: all, or `most` at equal distances."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def accuracy_logit(accuracies: np.ndarray) -> np.ndarray:
    """The scale on which accuracies (0-1) are modelled, so that no expected one lies outside 0 and 1."""
    inside = np.clip(accuracies, ALMOST, 1 - ALMOST)
    return np.asarray(np.log(inside / (1 - inside)))


def fit_choice_model(choices: Sequence[Sequence[int]], values: Sequence[float]) -> ChoiceModel:
    """The model of values measured at choices; of very many, take those that `spread_out` names."""
    rows = np.asarray(choices, dtype=np.int16).reshape(len(choices), -1)
    measured = np.asarray(values, dtype=np.float64)
    mean = float(measured.mean())
    centred = measured - mean
    # Number of decisions in which each two rows agree, (rows, rows).
    decisions = rows.shape[1]
    shared = sum(
        ((rows[:, i, None] == rows[None, :, i]).astype(np.int16) for i in range(decisions)),
        np.zeros((len(rows), len(rows)), dtype=np.int16),
    )
    if not centred.any():
        zeros = np.zeros(len(rows))
        return ChoiceModel(rows, 0.0, measured, mean, zeros, 0.0)
    # The share of pairs and the noise of the highest marginal likelihood.
    _, share, noise = max(
        _likelihoods(_likeness(shared, decisions, share), centred, share)
        for share in (PAIR_SHARES if decisions > 1 else PAIR_SHARES[:1])
    )
    # Posterior mean and leave-one-out predictions, both from the inverse covariance.
    inverse = np.linalg.inv(_likeness(shared, decisions, share) + noise * np.eye(len(rows)))
    weights = inverse @ centred
    scale = float(centred @ weights) / len(rows)
    return ChoiceModel(
        rows=rows,
        noise=float(np.sqrt(scale * noise)),
        left_out=measured - weights / np.diag(inverse),
        _mean=mean,
        _weights=weights,
        _pair_share=share,
    )


def _likeness(shared: np.ndarray, decisions: int, pair_share: float) -> np.ndarray:
    """Covariance of choices that agree in `shared` decisions; 1 for equal ones."""
    alone = shared / max(decisions, 1)
    pairs = shared * (shared - 1.0) / max(decisions * (decisions - 1), 1)
    return np.asarray((1 - pair_share) * alone + pair_share * pairs)


def _likelihoods(likeness: np.ndarray, centred: np.ndarray, share: float) -> tuple[float, float, float]:
    """The highest log marginal likelihood (but for a constant) over NOISES, with the share and that noise."""
    # One factorisation serves all noises: they are added to the eigenvalues.
    powers, vectors = np.linalg.eigh(likeness)
    projected = (vectors.T @ centred) ** 2
    best = (-np.inf, share, float(NOISES[0]))
    for noise in NOISES.tolist():
        variances = np.maximum(powers, 0.0) + noise
        scale = float((projected / variances).mean())  # the most likely one for this noise
        likelihood = -0.5 * float(np.log(variances).sum() + len(centred) * np.log(scale))
        best = max(best, (likelihood, share, noise))
    return best
